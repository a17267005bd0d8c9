# SPDX-License-Identifier: GPL-2.0-or-later
"""An image that dracut made without virtio is extended in the appliance, and then boots from a virtio disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import guestfs
import pytest

from guests.boot import boot
from guests.disk_images import overlay
from guests.dracut import dracut_guest
from guests.host import appliance_environment
from guests.recipes import MARKER
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs import update
from v2v_convert_guestfs.linux.initramfs.kinds import Kind
from v2v_convert_guestfs.linux.kernels import find_kernels
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConvertRequest, Inspection, SourceDisk
from v2v_core.testing import FakeReporter

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(1800)]

DEBIAN = Inspection(root="/dev/sda", os_type="linux", distro="debian", arch="x86_64", major_version=12)
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")


@pytest.fixture
def handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield an appliance in which an overlay on the guest's disk is mounted."""
    for name, value in appliance_environment().items():
        monkeypatch.setenv(name, value)
    opened = guestfs.GuestFS(python_return_dict=True)
    opened.add_drive_opts(
        str(overlay(dracut_guest() / "disk.img", tmp_path / "disk.qcow2")), format="qcow2", cachemode="unsafe"
    )
    opened.launch()
    opened.mount("/dev/sda", "/")
    yield opened
    opened.close()


def test_an_extended_image_of_dracut_boots(tmp_path: Path, handle: Any) -> None:
    report = FakeReporter()
    request = SimpleNamespace(report=report, temporary=tmp_path)
    session = Session(cast("ConvertRequest", request), handle, found=DEBIAN)
    files, blockers = GuestFiles(session), Blockers()
    (kernel,) = find_kernels(session, files)

    work = update.examine_kernels(session, files, [kernel], NAMES, blockers)
    (before,) = work.examinations
    assert (before.kind, before.boots, blockers.reasons) == (Kind.DRACUT, False, [])
    assert before.lacking == ("virtio_pci", "virtio_blk", "virtio_scsi")
    update.update(session, files, work, NAMES)
    work.discard()

    (change,) = (change for change in session.changes if change.path == kernel.initramfs)
    assert change.what.startswith("virtio_pci, virtio_blk, virtio_scsi added; ")
    assert "anew" not in change.what
    assert b'add_drivers+=" virtio_pci virtio_blk' in bytes(handle.read_file("/etc/dracut.conf.d/50-v2v.conf"))
    handle.download(str(kernel.initramfs), str(tmp_path / "initrd.img"))
    handle.umount_all()
    handle.shutdown()
    booted = boot(
        [tmp_path / "disk.qcow2"],
        until=rf"{MARKER} root=\S+\n",
        # No root=: the image has it in its own configuration, by the new name.
        kernel=[dracut_guest() / "vmlinuz", tmp_path / "initrd.img", "console=ttyS0"],
    )
    assert booted.reached, booted.tail()
    assert booted.facts["root"] == "/dev/vda"
