# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of ``-o local`` as core calls it, and small places to write to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import (
    Bus,
    Capabilities,
    Firmware,
    Guest,
    Inspection,
    OptionValues,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    OwnedObject,
    SourceDisk,
    TargetDisk,
    TargetGuest,
)
from v2v_core.metadata import write_source, write_target
from v2v_core.testing import FakeLedger, FakeReporter
from v2v_output_local.local.plugin import LocalOutput

MIB = 1024 * 1024


class Run:
    """One conversion, as the plugin sees it."""

    def __init__(self, tmp_path: Path, sizes: tuple[int, ...] = (MIB, MIB), **settings: Any) -> None:
        self.storage = tmp_path / "out"
        self.storage.mkdir(exist_ok=True)
        self.directory = tmp_path / "private"
        self.directory.mkdir(exist_ok=True)
        display = settings.pop("display", None)
        options = {key: (value,) for key, value in settings.pop("options", {}).items()}
        self.settings = OutputSettings(
            **{"name": "guest", "storage": str(self.storage), **settings}, options=OptionValues(values=options)
        )
        self.ledger = FakeLedger()
        self.report = FakeReporter()
        self.plugin = LocalOutput()
        guest = Guest(
            name="guest",
            disks=tuple(SourceDisk(index=i, size=size) for i, size in enumerate(sizes, start=1)),
            display=display,
        )
        self.target = TargetGuest(
            source=guest,
            inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
            capabilities=Capabilities(),
            firmware=Firmware.BIOS,
            disks=tuple(
                TargetDisk(index=disk.index, bus=Bus.VIRTIO_BLK, device=f"vd{chr(96 + disk.index)}", size=disk.size)
                for disk in guest.disks
            ),
        )
        self.state: dict[str, Any] = {}

    def check(self) -> None:
        self.plugin.v2v_output_check(
            OutputCheckRequest(
                directory=self.directory, settings=self.settings, guest=self.target.source, report=self.report
            )
        )

    def setup(self) -> OutputSetup:
        made = self.plugin.v2v_output_setup(
            OutputSetupRequest(
                directory=self.directory,
                settings=self.settings,
                guest=self.target.source,
                disks=self.target.source.disks,
                ledger=self.ledger,
                report=self.report,
            )
        )
        self.state = json.loads(json.dumps(dict(made.state)))
        return made

    def write(self, word: bytes = b"new") -> None:
        for disk in self.state["disks"]:
            with Path(disk["written"]).open("r+b") as file:
                file.write(word)

    def finalize(self) -> OutputResult:
        write_source(self.directory / "in", self.target.source)
        write_target(self.directory / "out", self.directory / "in", self.target)
        return self.plugin.v2v_output_finalize(
            OutputFinalizeRequest(
                directory=self.directory,
                settings=self.settings,
                target=self.target,
                state=self.state,
                metadata=self.directory / "out",
                ledger=self.ledger,
                report=self.report,
            )
        )

    def abort(self, *, state: bool = True, owned: tuple[OwnedObject, ...] | None = None) -> tuple[OwnedObject, ...]:
        """Abort, and return what is left.

        :param owned: what an earlier abort has left; None for all that was recorded.
        """
        result = self.plugin.v2v_output_abort(
            OutputAbortRequest(
                directory=self.directory,
                settings=self.settings,
                owned=self.ledger.owned() if owned is None else owned,
                state=self.state if state else {},
                report=self.report,
            )
        )
        return result.left

    def files(self) -> list[str]:
        return sorted(entry.name for entry in self.storage.iterdir())


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., Run]:
    """Return the function that starts a conversion, with other sizes and settings if they are given."""
    return partial(Run, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MiB on the output directory."""
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=20", "tmpfs", tmp_path / "out"],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    yield tmp_path / "out"
    subprocess.run(["umount", "-l", tmp_path / "out"], check=True)


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[Path]:
    """Make a loop device of 2 MiB."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xff" * (2 * MIB))
    done = subprocess.run(["losetup", "-f", "--show", backing], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no loop devices here")
    yield Path(done.stdout.strip())
    subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)
