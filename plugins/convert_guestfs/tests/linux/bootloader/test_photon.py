# SPDX-License-Identifier: GPL-2.0-or-later
"""Photon OS: a menu whose kernel is in variables, in a file of each kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.bootloader.grub2 import Grub2
from v2v_convert_guestfs.linux.bootloader.photon import Photon
from v2v_convert_guestfs.linux.bootloader.settings import ON_THE_SERIAL_PORT
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_core.api import Bus, ConversionError, SourceDisk

NAMES = DeviceNames.of([SourceDisk(index=1, bus=Bus.SCSI)], "vd")
ESX, GENERIC = "6.1.10-11.ph5-esx", "6.1.10-11.ph5"
MENU = b"""\
# Begin /boot/grub2/grub.cfg
set default=0
set timeout=2
search -n -u 0123 -s
loadfont /boot/grub2/ascii.pf2
load_env -f /boot/photon.cfg
if [ -f  /boot/systemd.cfg ]; then
    load_env -f /boot/systemd.cfg
else
    set systemd_cmdline=net.ifnames=0
fi
set rootpartition=/dev/sda3

menuentry "Photon" {
    linux /boot/$photon_linux root=$rootpartition $photon_cmdline $systemd_cmdline
    if [ -f /boot/$photon_initrd ]; then
        initrd /boot/$photon_initrd
    fi
}
# End /boot/grub2/grub.cfg
"""


def variables(version: str, more: str = "") -> bytes:
    return (
        "# GRUB Environment Block\n"
        f"photon_cmdline=init=/lib/systemd/systemd ro loglevel=3 quiet{more}\n"
        f"photon_linux=vmlinuz-{version}\nphoton_initrd=initrd.img-{version}\n"
    ).encode()


def photon(phony: Callable[..., Any], *, menu: bytes = MENU, images: bool = True, **more: bytes) -> Any:
    files = {
        "/boot/grub2/grub.cfg": menu,
        f"/boot/linux-{ESX}.cfg": variables(ESX, " resume=/dev/sda2 console=hvc0"),
        f"/boot/linux-{GENERIC}.cfg": variables(GENERIC),
        f"/boot/vmlinuz-{ESX}": b"x",
        f"/boot/vmlinuz-{GENERIC}": b"x",
        **({f"/boot/initrd.img-{version}": b"x" for version in (ESX, GENERIC)} if images else {}),
        **more,
    }
    return phony(files, links={"/boot/photon.cfg": f"linux-{ESX}.cfg"}, distro="photon")


def test_the_kernel_in_the_variables(phony: Callable[..., Any], kernel: Callable[..., Kernel]) -> None:
    """libguestfs/virt-v2v#33: Photon OS 5 was not converted at all."""
    guest = photon(phony)
    loader = guest.bootloader()
    esx, generic, other = kernel(ESX), kernel(GENERIC), kernel("6.0")
    assert isinstance(loader, Photon)
    assert loader.bootable([other, generic, esx]) == [generic, esx]
    assert loader.default_kernel([generic, esx]) is esx
    assert [k.initramfs for k in loader.with_own_images([esx, generic])] == [
        *(f"/boot/initrd.img-{ESX}", f"/boot/initrd.img-{GENERIC}"),
    ]
    loader.set_default(generic)
    assert guest.tree.links["/boot/photon.cfg"] == f"linux-{GENERIC}.cfg"
    assert loader.default_kernel([generic, esx]) is generic
    with pytest.raises(ConversionError, match=r"kernel 6\.0"):
        loader.set_default(other)


def test_a_kernel_whose_initramfs_does_not_exist_boots_without(
    phony: Callable[..., Any], kernel: Callable[..., Kernel]
) -> None:
    (found,) = photon(phony, images=False).bootloader().with_own_images([kernel(ESX)])
    assert found.initramfs is None


@pytest.mark.parametrize(("images", "root"), [(True, b"UUID=1-2-3"), (False, b"/dev/vda3")])
def test_disks_and_consoles(phony: Callable[..., Any], images: bool, root: bytes) -> None:
    guest = photon(phony, images=images)
    loader = guest.bootloader()
    loader.change_consoles(ON_THE_SERIAL_PORT)
    loader.rename_devices(NAMES)
    assert b"\nset rootpartition=" + root + b"\n" in guest.content("/boot/grub2/grub.cfg")
    assert b" resume=/dev/vda2 console=ttyS0\n" in guest.content("/boot/photon.cfg")
    assert guest.tree.links["/boot/photon.cfg"] == f"linux-{ESX}.cfg"
    before = dict(guest.tree.files)
    loader.rename_devices(NAMES)
    assert guest.tree.files == before


def test_a_partuuid_stays(phony: Callable[..., Any]) -> None:
    """kubev2v/forklift#494: a guest with Photon OS 5.0, whose root is /dev/sda3."""
    menu = MENU.replace(b"/dev/sda3", b"PARTUUID=8e3c8a0c-1111")
    guest = photon(phony, menu=menu)
    guest.bootloader().rename_devices(NAMES)
    assert guest.content("/boot/grub2/grub.cfg") == menu


def test_a_link_becomes_a_uuid(phony: Callable[..., Any]) -> None:
    menu = MENU.replace(b"/dev/sda3", b"/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part3")
    guest = photon(phony, menu=menu)
    names = replace(
        NAMES,
        disks={**NAMES.disks, "disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0": "vda"},
        uuids={"/dev/vda3": "11-22"},
    )
    guest.bootloader().rename_devices(names)
    assert b"\nset rootpartition=UUID=11-22\n" in guest.content("/boot/grub2/grub.cfg")


def test_other_menus_are_not_photons(phony: Callable[..., Any]) -> None:
    menu = b"menuentry 'x' {\n  linux /boot/vmlinuz-6.1 root=UUID=1\n  initrd /boot/initrd.img-6.1\n}\n"
    assert isinstance(photon(phony, menu=menu).bootloader(), Grub2)
