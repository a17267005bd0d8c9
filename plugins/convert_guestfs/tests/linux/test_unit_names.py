# SPDX-License-Identifier: GPL-2.0-or-later
"""Units of systemd that are called after their devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from disk_guest import WWID, renamed, with_disks
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import block_devices
from v2v_core.api import Bus


def test_swap_units_are_called_as_their_devices(guest: Any) -> None:
    """systemd/systemd#39969: a swap unit must have the name of its device."""
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4", "/dev/sda2": "swap", "/dev/sda3": "swap"})
    link = rf"dev-disk-by\x2did-scsi\x2d{(WWID % 0)[-33:]}\x2dpart3.swap"
    guest.add("/etc/systemd/system/dev-sda2.swap", b"[Swap]\nWhat=/dev/sda2\n[Install]\nWantedBy=swap.target\n")
    guest.add(f"/etc/systemd/system/{link}", f"[Unit]\nAfter=dev-sda2.swap\n[Swap]\nWhat={WWID % 0}-part3\n".encode())
    guest.add("/etc/systemd/system/dev-vg-swap.swap", b"[Swap]\nWhat=/dev/vg/swap\n")
    guest.add(
        "/etc/systemd/system/db.service", b"[Unit]\nBindsTo=dev-sda2.device\n[Service]\nExecStart=/bin/x /dev/sda2\n"
    )
    wants = "/etc/systemd/system/swap.target.wants"
    guest.add(f"{wants}/dev-sda2.swap", link="../dev-sda2.swap")
    guest.add(f"{wants}/dev-vg-swap.swap", link="/etc/systemd/system/dev-vg-swap.swap")
    renamed(guest)
    by_uuid = r"/etc/systemd/system/dev-disk-by\x2duuid-uuid\x2dof\x2dsda3.swap"
    assert guest.everything() == {
        "/etc/systemd/system/dev-vda2.swap",
        by_uuid,
        "/etc/systemd/system/dev-vg-swap.swap",
        "/etc/systemd/system/db.service",
        f"{wants}/dev-vda2.swap",
        f"{wants}/dev-vg-swap.swap",
    }
    assert guest.read("/etc/systemd/system/dev-vda2.swap").startswith(b"[Swap]\nWhat=/dev/vda2\n")
    assert guest.read(by_uuid) == b"[Unit]\nAfter=dev-vda2.swap\n[Swap]\nWhat=/dev/disk/by-uuid/uuid-of-sda3\n"
    assert (guest.root / wants.lstrip("/") / "dev-vda2.swap").readlink() == Path("../dev-vda2.swap")
    assert guest.read("/etc/systemd/system/db.service") == (
        b"[Unit]\nBindsTo=dev-vda2.device\n[Service]\nExecStart=/bin/x /dev/sda2\n"
    )


def test_swap_units_that_exchange_their_names(guest: Any) -> None:
    kinds = {"/dev/sda1": "swap", "/dev/sdb1": "swap", "/dev/sdb2": "ext4"}
    with_disks(guest, None, None, kinds=kinds, root="/dev/sdb2")
    names = DeviceNames({"sda": "sdb", "sdb": "sda"})
    for letter in "ab":
        guest.add(
            f"/etc/systemd/system/dev-sd{letter}1.swap", f"[Swap]\nWhat=/dev/sd{letter}1\nPriority={letter}\n".encode()
        )
    block_devices.rename_devices(guest.session, guest.files, names)
    assert guest.read("/etc/systemd/system/dev-sdb1.swap") == b"[Swap]\nWhat=/dev/sdb1\nPriority=a\n"
    assert guest.read("/etc/systemd/system/dev-sda1.swap") == b"[Swap]\nWhat=/dev/sda1\nPriority=b\n"
