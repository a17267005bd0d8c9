# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that the simulator can export, and exporting them in tests."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from export_stream import as_sent
from v2v_core.api import QemuImage
from v2v_core.testing import FakeReporter
from vcenter_input import setup
from vcenter_simulator import Vcenter


def content(seed: int) -> bytes:
    """Return the content of a disk: random data, zeros, text."""
    made = random.Random(seed)  # noqa: S311 - the same bytes in each run
    return b"".join((made.randbytes(300_000), bytes(500_000), b"disk " * 100_000)).ljust(2 * 1024 * 1024, b"\0")


CONTENTS = (content(1), content(2))


def add_exported(
    vcenter: Vcenter, directory: Path, name: str, contents: tuple[bytes, ...] = CONTENTS, **more: Any
) -> str:
    """Create a machine with disks and their streams, and return its moref."""
    images = [directory / f"image{number}" for number in range(len(contents))]
    for image, content in zip(images, contents, strict=True):
        image.write_bytes(content)
    moref = vcenter.add_vm(name, images, **more)
    for number, content in enumerate(contents):
        vcenter.stream_of(name, number).write_bytes(as_sent(content))
    return moref


def leases(vcenter: Vcenter) -> list[list[str]]:
    """Return the leases: id, state, signs of life, percent, most downloads at once."""
    return [line.split(" ") for line in vcenter.control("leases").splitlines()]


def exported(vcenter: Vcenter, tmp_path: Path, name: str = "exported", **more: Any) -> tuple[list[bytes], FakeReporter]:
    """Run the set-up and return the contents of its images and the reporter."""
    result, report = setup(vcenter, tmp_path, name, transport="export", **more)
    images = [disk for disk in result.disks if isinstance(disk, QemuImage)]
    assert [image.format for image in images] == ["raw"] * len(result.disks)
    assert all(image.backing is None for image in images)
    return [image.path.read_bytes() for image in images], report


def power_on(vcenter: Vcenter, name: str, *, snapshots: tuple[str, ...] = ()) -> list[str]:
    """Take snapshots of a machine, switch it on, and return the morefs of the snapshots."""
    from pyVim.task import WaitForTask

    found = []
    with vcenter.service() as service:
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath(f"DC0/vm/{name}")
        for snapshot in snapshots:
            task = vm.CreateSnapshot_Task(name=snapshot, memory=False, quiesce=False)
            WaitForTask(task, si=service)
            found.append(str(task.info.result._moId))
        WaitForTask(vm.PowerOnVM_Task(), si=service)
    return found
