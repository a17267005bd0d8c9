# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest of ``phony`` whose files name its disks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.bootloader.grub2 import Grub2
from v2v_convert_guestfs.linux.bootloader.grub_legacy import GrubLegacy
from v2v_convert_guestfs.linux.fstab_devices import known_disks, uuids_of_links
from v2v_core.api import Bus, Guest, SourceDisk

PATH = "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:%d:0"
WWID = "/dev/disk/by-id/scsi-36000c29a5d1f7c1e2b3a49586778899%d"


def with_disks(guest: Any, *buses: Bus | None, kinds: dict[str, str], root: str = "/dev/sda1") -> Any:
    """Give a guest disks, and file systems whose UUIDs are their names in the appliance."""
    disks = tuple(SourceDisk(index=i, bus=bus) for i, bus in enumerate(buses, 1))
    session = guest.session
    session.request = replace(session.request, guest=Guest(name="g", disks=disks))
    session.filesystems = kinds
    session.found = replace(session.inspection, root=root, mountpoints=(("/", root),))
    guest.handle.uuids = {device: f"uuid-of-{device[-4:]}" for device in kinds}
    guest.handle.partitions = list(kinds)
    return guest


def renamed(guest: Any) -> DeviceNames:
    """Rename the disks of a guest with GRUB 2 or GRUB legacy, and return their names."""
    session, files = guest.session, guest.files
    names = DeviceNames.of(session.request.guest.disks, "vd", known=known_disks(session, files))
    names = replace(names, uuids=uuids_of_links(session, files, names))
    block_devices.rename_devices(session, files, names)
    if files.glob("/boot/grub/grub.cfg"):
        Grub2(session, files, "/boot/grub/grub.cfg").rename_devices(names)
    if files.glob("/boot/grub/menu.lst"):
        GrubLegacy(session, files, "/boot/grub/menu.lst").rename_devices(names)
    return names
