# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of disks and CD-ROM drives in the guest, before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import (
    block_devices,
)
from v2v_convert_guestfs.linux.editors import devices_in
from v2v_core.api import (
    Bus,
    Guest,
    Inspection,
    Removable,
    SourceDisk,
)

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")


def test_the_names_of_old_kernels() -> None:
    def prefix(bus: Bus, distro: str, major: int) -> str:
        found = Inspection(root="/", os_type="linux", distro=distro, arch="x86_64", major_version=major)
        return block_devices.prefix_of(bus, found)

    assert prefix(Bus.VIRTIO_BLK, "rhel", 5) == "vd"
    assert [prefix(Bus.IDE, "rhel", major) for major in (4, 5, 6)] == ["hd", "hd", "sd"]
    assert [prefix(Bus.IDE, "sles", major) for major in (10, 11)] == ["hd", "sd"]
    assert prefix(Bus.SATA, "rhel", 5) == "sd"


def test_the_cdrom_of_old_guests(tmp_path: Path, make_guest: Callable[..., Any]) -> None:
    described = Guest(
        name="g", disks=(SourceDisk(index=1, bus=Bus.IDE),), removables=(Removable(kind="cdrom", bus=Bus.IDE, slot=2),)
    )
    guest = make_guest(tmp_path, "centos", 5, described)
    names = DeviceNames.of(described.disks, "vd", block_devices.renamed_drives(guest.session))
    old = b"/dev/hda1 / ext3 defaults 1 1\n/dev/hdc /media/cdrom auto noauto 0 0\n"
    assert devices_in.fstab(old, names) == old.replace(b"hda1", b"vda1").replace(b"hdc", b"cdrom")
    assert block_devices.renamed_drives(make_guest(tmp_path, "centos", 6, described).session) == {}


def test_crypttab_names_devices_by_their_uuids(guest: Any) -> None:
    guest.add("/etc/crypttab", b"# x\nroot /dev/sda5 none luks\nswap /dev/sda6 /dev/urandom swap\nd UUID=7 none luks\n")
    guest.session.filesystems = {"/dev/sda5": "crypto_LUKS", "/dev/sda6": "unknown", "/dev/vg/x": "crypto_LUKS"}
    guest.handle.uuids = {"/dev/sda5": "1-2"}
    block_devices.rename_devices(guest.session, guest.files, DeviceNames.of([SourceDisk(index=1)], "vd"))
    assert guest.read("/etc/crypttab") == (
        b"# x\nroot UUID=1-2 none luks\nswap /dev/vda6 /dev/urandom swap\nd UUID=7 none luks\n"
    )


def test_the_devices_file_of_lvm_goes(guest: Any) -> None:
    guest.add("/etc/lvm/devices/system.devices", b"IDTYPE=sys_wwid IDNAME=naa.6 DEVNAME=/dev/sda2 PVID=x PART=2\n")
    guest.add("/etc/lvm/cache/.cache")
    block_devices.rename_devices(guest.session, guest.files, NAMES)
    assert guest.everything() == set()
    assert "vgimportdevices" in guest.report.infos[0]
