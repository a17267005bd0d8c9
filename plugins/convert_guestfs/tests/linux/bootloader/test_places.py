# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB 2 of RHEL, Fedora, SUSE and ALT: where its configuration is, what is saved in grubenv, entries of BLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.bootloader import find_bootloader
from v2v_convert_guestfs.linux.bootloader.places import find_grub2
from v2v_convert_guestfs.linux.bootloader.settings import ON_THE_SERIAL_PORT
from v2v_convert_guestfs.linux.editors import grub_cfg, grubenv
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import ConversionError, SourceDisk

Make = Callable[..., Any]
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")
MACHINE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OLD, NEW = "4.18.0-477.10.1.el8_8.x86_64", "4.18.0-513.5.1.el8_9.x86_64"
HEAD = b"""\
set pager=1
if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
"""
BLS_MENU = (
    HEAD
    + b"""\
if [ -z "${kernelopts}" ]; then
  set kernelopts="root=/dev/sda2 ro resume=/dev/sda3 "
fi
insmod blscfg
blscfg
"""
)
EL7 = (
    HEAD
    + b"""\
menuentry 'CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)' --class centos $menuentry_id_option 'gnulinux-new' {
\tlinux16 /vmlinuz-3.10.0-1160.el7.x86_64 root=/dev/sda2 ro
\tinitrd16 /initramfs-3.10.0-1160.el7.x86_64.img
}
menuentry 'CentOS Linux (3.10.0-957.el7.x86_64) 7 (Core)' --class centos $menuentry_id_option 'gnulinux-old' {
\tlinuxefi /vmlinuz-3.10.0-957.el7.x86_64 root=/dev/sda2 ro console=hvc0
\tinitrdefi /initramfs-3.10.0-957.el7.x86_64.img
}
menuentry 'SLES, with Xen hypervisor' --class xen $menuentry_id_option 'xen' {
\tmultiboot /boot/xen.gz
\tmodule /boot/vmlinuz-3.10.0-957.el7.x86_64 root=/dev/sda2
}
"""
)
SIGNPOST = b"""\
search --no-floppy --root-dev-only --fs-uuid --set=dev 1-2-3
set prefix=($dev)/grub2
export $prefix
configfile $prefix/grub.cfg
"""


def entry(version: str, options: str = "$kernelopts $tuned_params") -> bytes:
    return (
        f"title Rocky Linux ({version}) 8\nversion {version}\nlinux /vmlinuz-{version}\n"
        f"initrd /initramfs-{version}.img $tuned_initrd\noptions {options}\ngrub_class rocky\n"
    ).encode()


def block(**values: str) -> bytes:
    data = grubenv.empty()
    for name, value in values.items():
        data = grubenv.set_value(data, name, value)
    return data


def bls_guest(phony: Make, **values: str) -> Any:
    rescue = f"{MACHINE}-0-rescue"
    return phony(
        {
            "/boot/efi/EFI/rocky/grub.cfg": SIGNPOST,
            "/boot/grub2/grub.cfg": BLS_MENU,
            "/boot/efi/EFI/rocky/grubenv": block(**values),
            f"/boot/loader/entries/{MACHINE}-{OLD}.conf": entry(OLD),
            f"/boot/loader/entries/{MACHINE}-{NEW}.conf": entry(NEW),
            f"/boot/loader/entries/{rescue}.conf": entry(f"0-rescue-{MACHINE}"),
            "/etc/default/grub": b'GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="resume=/dev/sda3"\n',
            "/etc/kernel/cmdline": b"root=/dev/sda2 ro console=hvc0\n",
            "/etc/sysconfig/kernel": b"UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel\n",
        },
        links={
            "/boot/grub2/grubenv": "../efi/EFI/rocky/grubenv",
            "/etc/sysconfig/grub": "/etc/default/grub",
        },
        uefi=True,
        distro="rocky",
    )


@pytest.mark.parametrize(
    ("saved", "expected"), [("", NEW), (f"{MACHINE}-{OLD}", OLD), ("1", OLD), ("long gone", NEW), ("0", NEW)]
)
def test_the_default_of_bls(phony: Make, kernel: Make, saved: str, expected: str) -> None:
    guest = bls_guest(phony, **({"saved_entry": saved} if saved else {}))
    kernels = [kernel(OLD), kernel(NEW)]
    grub = guest.bootloader()
    assert grub.bootable(kernels) == kernels
    assert grub.default_kernel(kernels).version == expected


def test_the_default_of_bls_is_saved(phony: Make, kernel: Make) -> None:
    guest = bls_guest(phony, saved_entry=f"{MACHINE}-{NEW}")
    guest.tree.programs["rpm"] = "kernel-core\n"
    old = guest.content("/boot/grub2/grubenv")
    guest.bootloader().set_default(kernel(OLD))
    new = guest.content("/boot/efi/EFI/rocky/grubenv")
    assert len(new) == 1024
    assert new == old.replace(NEW.encode(), OLD.encode())[:1024].ljust(1024, b"#")
    assert "/boot/grub2/grubenv" in guest.tree.links
    assert guest.content("/boot/grub2/grub.cfg") == BLS_MENU
    assert b"DEFAULTKERNEL=kernel-core\n" in guest.content("/etc/sysconfig/kernel")
    assert guest.changed == ["/boot/efi/EFI/rocky/grubenv", "/etc/sysconfig/kernel"]


def test_disks_and_consoles_of_bls(phony: Make) -> None:
    guest = bls_guest(phony, kernelopts="root=/dev/sda2 ro resume=/dev/sda3 console=hvc0", other="/dev/sda2")
    grub = guest.bootloader()
    grub.change_consoles(ON_THE_SERIAL_PORT)
    grub.rename_devices(NAMES)
    assert grubenv.parse(guest.content("/boot/grub2/grubenv")) == {
        "kernelopts": "root=UUID=1-2-3 ro resume=/dev/vda3 console=ttyS0",
        "other": "/dev/sda2",
    }
    assert b'set kernelopts="root=UUID=1-2-3 ro resume=/dev/vda3 "' in guest.content("/boot/grub2/grub.cfg")
    assert guest.content("/etc/kernel/cmdline") == b"root=UUID=1-2-3 ro console=ttyS0\n"
    assert b'GRUB_CMDLINE_LINUX="resume=/dev/vda3"' in guest.content("/etc/default/grub")
    assert guest.content("/boot/efi/EFI/rocky/grub.cfg") == SIGNPOST


def test_disks_in_the_options_of_bls(phony: Make) -> None:
    guest = bls_guest(phony)
    path = f"/boot/loader/entries/{MACHINE}-{NEW}.conf"
    guest.tree.files[path] = entry(NEW, "root=/dev/sda2 ro resume=/dev/sda3")
    guest.bootloader().rename_devices(NAMES)
    assert guest.content(path) == entry(NEW, "root=UUID=1-2-3 ro resume=/dev/vda3")


def test_a_full_environment_block_gets_names(phony: Make) -> None:
    filled = "root=/dev/sda2 " + "x" * 972
    guest = bls_guest(phony, kernelopts=filled)
    guest.bootloader().rename_devices(NAMES)
    assert grubenv.parse(guest.content("/boot/grub2/grubenv"))["kernelopts"] == filled.replace("sda", "vda")


def test_a_kernel_without_an_entry_gets_one(phony: Make, kernel: Make) -> None:
    guest = bls_guest(phony)
    version = "4.18.0-372.el8.x86_64"
    guest.bootloader().set_default(kernel(version))
    assert guest.content(f"/boot/loader/entries/{MACHINE}-{version}.conf") == entry(version)
    assert grubenv.parse(guest.content("/boot/grub2/grubenv"))["saved_entry"] == f"{MACHINE}-{version}"
    assert [argv[2] for argv in guest.tree.commands] == ["rpm"]


def test_entries_that_the_menu_does_not_use_are_left_alone(phony: Make, kernel: Make) -> None:
    guest = bls_guest(phony)
    guest.tree.files["/boot/grub2/grub.cfg"] = EL7
    path = f"/boot/loader/entries/{MACHINE}-{NEW}.conf"
    guest.tree.files[path] = entry(NEW, "root=/dev/sda2")
    grub = guest.bootloader()
    assert grub.bootable([kernel(NEW)]) == []
    grub.rename_devices(NAMES)
    assert guest.content(path) == entry(NEW, "root=/dev/sda2")


def test_a_saved_title(phony: Make, kernel: Make) -> None:
    title = "CentOS Linux (3.10.0-957.el7.x86_64) 7 (Core)"
    guest = phony(
        {"/boot/grub2/grub.cfg": EL7, "/boot/grub2/grubenv": block(saved_entry=title), "/etc/default/grub": b""},
        distro="centos",
    )
    kernels = [kernel("3.10.0-957.el7.x86_64"), kernel("3.10.0-1160.el7.x86_64")]
    grub = guest.bootloader()
    assert grub.bootable(kernels) == kernels
    assert grub.default_kernel(kernels) is kernels[0]
    grub.set_default(kernels[1])
    saved = grubenv.parse(guest.content("/boot/grub2/grubenv"))["saved_entry"]
    assert saved == "CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)"
    assert guest.content("/etc/default/grub") == b"GRUB_DEFAULT=saved\n"
    assert guest.content("/boot/grub2/grub.cfg") == EL7
    guest.tree.files["/boot/grub2/grubenv"] = block(saved_entry="xen")
    assert grub.default_kernel(kernels) is None


def test_a_default_is_saved_where_nothing_was(phony: Make, kernel: Make) -> None:
    guest = phony({"/boot/grub2/grub.cfg": EL7}, distro="centos")
    old = kernel("3.10.0-957.el7.x86_64")
    guest.bootloader().set_default(old)
    assert len(guest.content("/boot/grub2/grubenv")) == 1024
    assert guest.bootloader().default_kernel([old]) is old


@pytest.mark.parametrize(
    ("files", "uefi", "expected"),
    [
        # RHEL 7 and 8 with UEFI: the whole configuration is on the EFI system partition; what is in /boot is left over.
        ({"/boot/efi/EFI/redhat/grub.cfg": EL7, "/boot/grub2/grub.cfg": EL7}, True, "/boot/efi/EFI/redhat/grub.cfg"),
        ({"/boot/efi/EFI/redhat/grub.cfg": EL7, "/boot/grub2/grub.cfg": EL7}, False, "/boot/grub2/grub.cfg"),
        ({"/boot/efi/EFI/redhat/grub.cfg": SIGNPOST, "/boot/grub2/grub.cfg": EL7}, True, "/boot/grub2/grub.cfg"),
        ({"/boot/efi/EFI/redhat/grub.cfg": SIGNPOST}, True, None),
        # SUSE.
        (
            {
                "/boot/efi/EFI/opensuse/grub.cfg": b'set btrfs_relative_path="yes"\nsearch --fs-uuid --set=root 1\n'
                b'set prefix=(${root})/@/boot/grub2\nsource "${prefix}/grub.cfg"\n',
                "/boot/grub2/grub.cfg": EL7,
            },
            True,
            "/boot/grub2/grub.cfg",
        ),
        # Debian, with the directory of another distribution that was there before.
        (
            {
                "/boot/efi/EFI/rhel/grub.cfg": b"search.fs_uuid 1 root hd0,gpt2\nset prefix=($root)'/boot/grub'\n"
                b"configfile $prefix/grub.cfg\n",
                "/boot/efi/EFI/centos/grub.cfg": EL7,
                "/boot/grub/grub.cfg": EL7,
            },
            True,
            "/boot/efi/EFI/centos/grub.cfg",
        ),
        # Two signposts, and one that leads to itself.
        (
            {
                "/boot/efi/EFI/BOOT/grub.cfg": b"configfile /EFI/redhat/grub.cfg\n",
                "/boot/efi/EFI/redhat/grub.cfg": SIGNPOST,
                "/boot/grub2/grub.cfg": EL7,
            },
            True,
            "/boot/grub2/grub.cfg",
        ),
        ({"/boot/grub2/grub.cfg": b"configfile /boot/grub2/grub.cfg\n"}, False, None),
        # One of these has the modules of GRUB beside it, so that it is the one.
        (
            {"/boot/grub/grub.cfg": EL7, "/boot/grub2/grub.cfg": EL7, "/boot/grub2/i386-pc/normal.mod": b""},
            False,
            "/boot/grub2/grub.cfg",
        ),
        ({"/boot/grub/grub.cfg": b"# nothing\n", "/boot/grub2/grub.cfg": EL7}, False, "/boot/grub2/grub.cfg"),
    ],
)
def test_the_configuration_in_effect(phony: Make, files: dict[str, bytes], uefi: bool, expected: str | None) -> None:
    guest = phony(files, uefi=uefi, distro="centos")
    assert find_grub2(guest.session, guest.files) == expected


def test_a_menu_that_is_made_anew_is_for_uefi(phony: Make, kernel: Make) -> None:
    path = "/boot/efi/EFI/centos/grub.cfg"
    guest = phony({path: EL7, "/usr/sbin/grub2-mkconfig": b""}, uefi=True, distro="centos")
    made = EL7.replace(b"linuxefi", b"linux16").replace(b"initrdefi", b"initrd16").replace(b"-957.", b"-862.")

    def mkconfig(argv: list[str]) -> str:
        if argv[2:] == ["grub2-mkconfig", "-o", path]:
            guest.tree.files[path] = made
        return ""

    guest.tree.command = mkconfig
    old = kernel("3.10.0-862.el7.x86_64")
    guest.bootloader().set_default(old)
    assert guest.content(path) == made.replace(b"linux16", b"linuxefi").replace(b"initrd16", b"initrdefi")
    assert guest.bootloader().default_kernel([old]) is old


@pytest.mark.parametrize(("loader", "supported"), [("debian/grubx64.efi", True), ("BOOT/grubx64.efi", False)])
def test_systemd_boot_beside_what_is_left_of_grub(phony: Make, loader: str, supported: bool) -> None:
    files = {
        "/boot/grub/grub.cfg": EL7,
        "/boot/efi/EFI/systemd/systemd-bootx64.efi": b"",
        "/boot/efi/loader/loader.conf": b"",
        f"/boot/efi/EFI/{loader}": b"",
    }
    guest, blockers = phony(files, uefi=True, distro="debian"), Blockers()
    assert (find_bootloader(guest.session, guest.files, blockers) is not None) is supported
    assert ("systemd-boot" in str(blockers.reasons)) is not supported


def test_signposts() -> None:
    assert grub_cfg.leads_to(SIGNPOST) == "/grub2/grub.cfg"
    assert grub_cfg.leads_to(b"configfile ($root)/boot/grub/grub.cfg\n") == "/boot/grub/grub.cfg"
    assert grub_cfg.leads_to(b"configfile $unknown/grub.cfg\n") is None
    assert grub_cfg.leads_to(EL7 + SIGNPOST) is None
    assert grub_cfg.leads_to(BLS_MENU) is None


@pytest.mark.parametrize(
    ("path", "name"), [("/boot/efi/loader/loader.conf", "systemd-boot"), ("/etc/elilo.conf", "ELILO")]
)
def test_what_is_not_supported_is_named(phony: Make, path: str, name: str) -> None:
    guest, blockers = phony({path: b""}), Blockers()
    assert find_bootloader(guest.session, guest.files, blockers) is None
    with pytest.raises(ConversionError, match=name):
        blockers.stop()
