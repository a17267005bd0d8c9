# SPDX-License-Identifier: GPL-2.0-or-later
"""Old guests find the drivers of their disks and NICs by aliases."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.linux import (
    modprobe,
)


@pytest.mark.parametrize(
    ("old", "driver", "new"),
    [
        (b"alias eth0 e1000", "virtio_blk", b"alias eth0 virtio_net\nalias scsi_hostadapter virtio_blk\n"),
        (b"alias scsi_hostadapter1 mptspi\n", "virtio_blk", b"alias scsi_hostadapter1 virtio_blk\n"),
        (b"alias scsi_hostadapter mptspi\nalias x y\n", None, b"alias x y\n"),
        (b"", None, b""),
    ],
)
def test_old_guests_get_an_alias_for_their_disks(guest: Any, old: bytes, driver: str | None, new: bytes) -> None:
    guest.add("/etc/modprobe.conf", old)
    modprobe.set_aliases(guest.session, guest.files, block_driver=driver, net_driver="virtio_net")
    assert guest.read("/etc/modprobe.conf") == new
    modprobe.set_aliases(guest.session, guest.files, block_driver=driver, net_driver="virtio_net")
    assert guest.read("/etc/modprobe.conf") == new


def test_new_guests_get_no_alias_and_those_of_xen_are_told(guest: Any) -> None:
    guest.add("/etc/modprobe.d/x.conf", b"alias blk xenblk\n#alias a xennet\nalias net-pf-10 off\n")
    modprobe.set_aliases(guest.session, guest.files, block_driver="virtio_blk", net_driver="virtio_net")
    assert not guest.session.changes
    assert len(guest.report.warnings) == 1
    assert "alias blk xenblk" in guest.report.warnings[0]
