# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot loader on real file systems in the appliance: FAT has no owners, no attributes, and does not care for case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.firmware import find_firmware
from v2v_convert_guestfs.linux.bootloader import find_bootloader
from v2v_convert_guestfs.linux.bootloader.grub2 import Grub2
from v2v_convert_guestfs.linux.editors import grubenv
from v2v_convert_guestfs.mounts import mount_guest, unmount_guest
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConvertRequest, ConvertSettings, DiskEndpoint, Firmware, Guest, Inspection, SourceDisk
from v2v_core.testing import FakeReporter

pytestmark = pytest.mark.slow

_MIB = 1024 * 1024
_ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
MACHINE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
VERSIONS = ("5.14.0-362.8.1.el9_3.x86_64", "5.14.0-70.el9.x86_64")
ON_ESP = {
    "/boot/efi/efi/redhat/grub.cfg": b"search --fs-uuid --set=dev 1\nset prefix=($dev)/boot/grub2\n"
    b"configfile $prefix/grub.cfg\n",
    "/boot/efi/efi/redhat/grubenv": grubenv.set_value(grubenv.empty(), "kernelopts", "root=/dev/sda2 ro"),
    "/boot/efi/efi/redhat/ShimX64.EFI": b"shim",
    "/boot/efi/efi/redhat/grubx64.efi": b"grub",
    "/boot/efi/efi/redhat/BOOTX64.CSV": "shimx64.efi,Red Hat,,\n".encode("utf-16-le"),
    "/boot/efi/efi/redhat/fbx64.efi": b"fb",
}
IN_BOOT = {
    "/boot/grub2/grub.cfg": b'load_env\nset default="${saved_entry}"\ninsmod blscfg\nblscfg\n',
    "/etc/default/grub": b"GRUB_DEFAULT=saved\n",
    **{f"/boot/vmlinuz-{version}": b"" for version in VERSIONS},
    **{
        f"/boot/loader/entries/{MACHINE}-{version}.conf": (
            f"title RHEL ({version})\nversion {version}\nlinux /boot/vmlinuz-{version}\n"
            f"initrd /boot/initramfs-{version}.img\noptions $kernelopts resume=/dev/sda3\n"
        ).encode()
        for version in VERSIONS
    },
}


@pytest.fixture
def request_for(serve_blank: Callable[[int], DiskEndpoint], tmp_path: Path) -> ConvertRequest:
    return ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="phony", disks=(SourceDisk(index=1),)),
        disks=(serve_blank(256 * _MIB),),
        settings=ConvertSettings(emulation=True),
        report=FakeReporter(),
    )


def fill(handle: Any) -> None:
    handle.part_init("/dev/sda", "gpt")
    handle.part_add("/dev/sda", "p", 2048, 2048 + 64 * 2048 - 1)
    handle.part_add("/dev/sda", "p", 65 * 2048, -2048)
    handle.part_set_gpt_type("/dev/sda", 1, _ESP_TYPE)
    handle.mkfs("vfat", "/dev/sda1")
    handle.mkfs("ext4", "/dev/sda2")
    handle.mount("/dev/sda2", "/")
    handle.mkdir_p("/boot/efi")
    handle.mount("/dev/sda1", "/boot/efi")
    for path, content in {**ON_ESP, **IN_BOOT}.items():
        handle.mkdir_p(path.rpartition("/")[0])
        handle.write(path, content)
    handle.ln_s("../efi/EFI/redhat/grubenv", "/boot/grub2/grubenv")
    handle.umount_all()


def test_bls_and_the_efi_system_partition(request_for: ConvertRequest, kernel: Callable[..., Any]) -> None:
    with Appliance(request_for) as appliance:
        handle = appliance.handle
        fill(handle)
        session = Session(request=request_for, handle=handle, filesystems={"/dev/sda1": "vfat", "/dev/sda2": "ext4"})
        places = (("/", "/dev/sda2"), ("/boot/efi", "/dev/sda1"))
        session.found = Inspection(
            root="/dev/sda2", os_type="linux", distro="rhel", arch="x86_64", major_version=9, mountpoints=places
        )
        session.firmware = find_firmware(session)
        assert session.firmware is Firmware.UEFI
        mount_guest(session, Blockers(), untouched=False)
        uuid = str(handle.vfs_uuid("/dev/sda2"))

        grub = find_bootloader(session, GuestFiles(session), Blockers())
        assert isinstance(grub, Grub2)
        kernels = [kernel(version) for version in VERSIONS]
        assert grub.bootable(kernels) == kernels
        assert grub.default_kernel(kernels) is kernels[0]
        grub.set_default(kernels[1])
        grub.rename_devices(DeviceNames.of(request_for.guest.disks, "vd"))
        grub.ensure_fallback(session.firmware)
        assert grub.default_kernel(kernels) is kernels[1]

        environment = bytes(handle.read_file("/boot/efi/EFI/redhat/grubenv"))
        assert len(environment) == 1024
        assert grubenv.parse(environment) == {
            "kernelopts": f"root=UUID={uuid} ro",
            "saved_entry": f"{MACHINE}-{VERSIONS[1]}",
        }
        assert handle.is_symlink("/boot/grub2/grubenv")
        entry = bytes(handle.read_file(f"/boot/loader/entries/{MACHINE}-{VERSIONS[0]}.conf"))
        assert entry.endswith(b"options $kernelopts resume=/dev/vda3\n")
        assert bytes(handle.read_file("/boot/efi/EFI/BOOT/BOOTX64.EFI")) == b"shim"
        assert bytes(handle.read_file("/boot/efi/EFI/BOOT/fbx64.efi")) == b"fb"
        assert bytes(handle.read_file("/boot/efi/efi/redhat/grub.cfg")) == ON_ESP["/boot/efi/efi/redhat/grub.cfg"]
        assert not [name for name in handle.find("/boot") if "v2v-" in str(name)]
        unmount_guest(session)
    assert isinstance(request_for.report, FakeReporter)
    assert not request_for.report.warnings
