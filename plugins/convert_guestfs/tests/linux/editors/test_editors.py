# SPDX-License-Identifier: GPL-2.0-or-later
"""The editors of configuration files: what they change, and that they change nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.editors import debconf, devices_in, grub_cfg, grubenv, shell
from v2v_core.api import SourceDisk

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")
EDITORS = (
    devices_in.fstab,
    devices_in.crypttab,
    devices_in.grub_defaults,
    devices_in.resume,
    devices_in.resume_device,
    devices_in.kernel_lines,
    devices_in.kernel_cmdline,
    devices_in.device_map,
    devices_in.mount_unit,
    debconf.rename_disks,
)
#: Lines that are almost, or quite, what the editors look for.
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                *(b"/dev/sda1", b"/dev/sdb2", b"/dev/vda1", b"/dev/sdz9", b"GRUB_CMDLINE_LINUX=", b'"', b"'", b"\\"),
                *(b"\n", b" ", b"\t", b"#", b"RESUME=", b"linux /vmlinuz root=", b"(hd0) ", b"What=", b"\r\n", b"="),
                *(b"Name: grub-pc/install_devices\n", b"Value: ", b"\n\n", b"resume device = ", b"UUID=1 / ext4 "),
            ]
        ),
    ),
    max_size=30,
).map(b"".join)


def test_fstab() -> None:
    old = (
        b"# /dev/sda1 was here\n/dev/sda1\t/  ext4 errors=remount-ro 0 1\nUUID=1-2 /boot ext4 defaults 0 2\n"
        b"  /dev/sdb1 /dev/sda1 xfs defaults,logdev=/dev/sda3 0 0\n/dev/sda2 none swap sw 0 0\r\n"
        b"/dev/mapper/vg-x /x ext4 defaults 0 0\nLABEL=\xff\xfe /y ext4\n/dev/fd0 /floppy auto"
    )
    assert devices_in.fstab(old, NAMES) == (
        b"# /dev/sda1 was here\n/dev/vda1\t/  ext4 errors=remount-ro 0 1\nUUID=1-2 /boot ext4 defaults 0 2\n"
        b"  /dev/vdb1 /dev/sda1 xfs defaults,logdev=/dev/vda3 0 0\n/dev/vda2 none swap sw 0 0\r\n"
        b"/dev/mapper/vg-x /x ext4 defaults 0 0\nLABEL=\xff\xfe /y ext4\n/dev/fd0 /floppy auto"
    )


def test_crypttab() -> None:
    assert devices_in.crypttab(b"data /dev/sdb1 none luks\nkeyed UUID=1 /dev/sda3:/key header=/dev/sda4\n", NAMES) == (
        b"data /dev/vdb1 none luks\nkeyed UUID=1 /dev/vda3:/key header=/dev/vda4\n"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'GRUB_CMDLINE_LINUX="root=/dev/sda1 quiet"\n', b'GRUB_CMDLINE_LINUX="root=/dev/vda1 quiet"\n'),
        (b"GRUB_CMDLINE_LINUX_DEFAULT='resume=/dev/sda5'", b"GRUB_CMDLINE_LINUX_DEFAULT='resume=/dev/vda5'"),
        (
            b"export GRUB_CMDLINE_LINUX=resume=/dev/sda5 #/dev/sda5",
            b"export GRUB_CMDLINE_LINUX=resume=/dev/vda5 #/dev/sda5",
        ),
        (b'GRUB_CMDLINE_LINUX="a \\\n resume=/dev/sda5"\n', b'GRUB_CMDLINE_LINUX="a \\\n resume=/dev/vda5"\n'),
        (b"#GRUB_CMDLINE_LINUX=/dev/sda1\n", b"#GRUB_CMDLINE_LINUX=/dev/sda1\n"),
        (b"GRUB_BACKGROUND=/dev/sda1\n", b"GRUB_BACKGROUND=/dev/sda1\n"),
        (b'GRUB_CMDLINE_LINUX="root=/dev/sda1\n', b'GRUB_CMDLINE_LINUX="root=/dev/sda1\n'),
    ],
)
def test_grub_defaults(old: bytes, new: bytes) -> None:
    assert devices_in.grub_defaults(old, NAMES) == new


def test_resume() -> None:
    assert (
        devices_in.resume(b"RESUME=/dev/sda5\nMODULES=/dev/sda5\n", NAMES) == b"RESUME=/dev/vda5\nMODULES=/dev/sda5\n"
    )


def test_kernel_lines() -> None:
    old = b"\tset root='hd0,msdos1'\n\tlinux\t/vmlinuz root=/dev/sda1 ro resume=/dev/sdb2 \n\techo /dev/sda1\n"
    assert devices_in.kernel_lines(old, NAMES) == (
        b"\tset root='hd0,msdos1'\n\tlinux\t/vmlinuz root=/dev/vda1 ro resume=/dev/vdb2 \n\techo /dev/sda1\n"
    )
    assert b"root=UUID=7 ro resume=/dev/vdb2 \n" in devices_in.kernel_lines(old, NAMES, root=lambda _: "UUID=7")


def test_each_root_gets_its_own_name() -> None:
    old = b"linux /a root=/dev/sda1 ro\nlinux /b root=/dev/sdb1 root=/dev/sda2 resume=/dev/sda1\n"
    known = {"/dev/vda1": "UUID=7", "/dev/vdb1": "UUID=8"}
    new = b"linux /a root=UUID=7 ro\nlinux /b root=UUID=8 root=/dev/vda2 resume=/dev/vda1\n"
    assert devices_in.kernel_lines(old, NAMES, root=known.get) == new
    # Disks that change their places are renamed once.
    swapped = DeviceNames({"sda": "sdb", "sdb": "sda"})
    assert devices_in.command_line("root=/dev/sda1 x=/dev/sdb1", swapped) == "root=/dev/sdb1 x=/dev/sda1"


def test_a_root_that_is_no_disk_stays() -> None:
    old = b"linux /vmlinuz root=/dev/mapper/vg-root ro\n"
    assert devices_in.kernel_lines(old, NAMES, root=lambda _: "UUID=7") == old


def test_device_map() -> None:
    old = b"(hd0)\t/dev/sda\n(hd1) /dev/disk/by-id/ata-VMware_1\n(fd0) /dev/fd0\n(hd7) /dev/disk/by-id/x\n"
    assert devices_in.device_map(old, NAMES) == (
        b"(hd0)\t/dev/vda\n(hd1) /dev/vdb\n(fd0) /dev/fd0\n(hd7) /dev/disk/by-id/x\n"
    )


def test_debconf() -> None:
    other = b"Name: other/disk\nValue: /dev/sda\n\n"
    old = other + b"Name: grub-pc/install_devices\nTemplate: x\nValue: /dev/sda, /dev/sdb\nOwners: grub-pc\n"
    assert debconf.rename_disks(old, NAMES) == (
        other + b"Name: grub-pc/install_devices\nTemplate: x\nValue: /dev/vda, /dev/vdb\nOwners: grub-pc\n"
    )


def test_mount_unit() -> None:
    assert devices_in.mount_unit(b"[Mount]\nWhat=/dev/sdb1\nWhere=/dev/sdb1\n", NAMES) == (
        b"[Mount]\nWhat=/dev/vdb1\nWhere=/dev/sdb1\n"
    )


@pytest.mark.parametrize("editor", EDITORS)
@given(data=PIECES)
def test_an_editor_changes_names_of_disks_only(editor: Callable[[bytes, DeviceNames], bytes], data: bytes) -> None:
    new = editor(data, NAMES)
    for old_name, new_name in ((b"/dev/sda", b"/dev/vda"), (b"/dev/sdb", b"/dev/vdb")):
        data, new = data.replace(old_name, new_name), new.replace(old_name, new_name)
    assert new == data


@pytest.mark.parametrize("editor", EDITORS)
@given(data=PIECES)
def test_an_editor_is_done_after_one_time(editor: Callable[[bytes, DeviceNames], bytes], data: bytes) -> None:
    once = editor(data, NAMES)
    assert editor(once, NAMES) == once


@given(PIECES, st.from_regex(r"[A-Za-z0-9 >._/()$-]{0,40}", fullmatch=True))
def test_a_value_that_was_set_is_read_again(data: bytes, value: str) -> None:
    plain = data.replace(b'"', b"").replace(b"'", b"").replace(b"\\", b"")
    assert shell.value(shell.set_value(plain, "GRUB_DEFAULT", value), "GRUB_DEFAULT") == value


def test_setting_a_value_keeps_the_rest() -> None:
    assert shell.set_value(b"A=1\nGRUB_DEFAULT=0 # first\nB=2\n", "GRUB_DEFAULT", "a b") == (
        b"A=1\nGRUB_DEFAULT='a b' # first\nB=2\n"
    )
    assert shell.set_value(b"A=1", "GRUB_DEFAULT", "2") == b"A=1\nGRUB_DEFAULT=2\n"


GRUB_CFG = b"""\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="0"
fi
function load_video {
  insmod vbe
}
menuentry 'Debian' --class debian $menuentry_id_option 'simple' {
\tlinux\t/vmlinuz-6.2 root=UUID=1 ro
}
submenu 'Advanced' $menuentry_id_option 'advanced' {
\tmenuentry 'Debian 6.2' $menuentry_id_option 'one' {
\t\tif [ x = y ]; then
\t\tlinux\t/vmlinuz-6.2 root=UUID=1 ro
\t\tfi
\t}
\tmenuentry 'Debian 6.1 (recovery)' --id two {
\t\tlinux\t/vmlinuz-6.1 root=UUID=1 ro single console=hvc0
\t}
}
menuentry "Other" {
\tchainloader +1
}
"""


def test_the_menu_is_read() -> None:
    entries = grub_cfg.menu(GRUB_CFG)
    assert [(entry.path, entry.indexes, entry.kernel) for entry in entries] == [
        (("simple",), (0,), "/vmlinuz-6.2"),
        (("advanced", "one"), (1, 0), "/vmlinuz-6.2"),
        (("advanced", "two"), (1, 1), "/vmlinuz-6.1"),
    ]


@pytest.mark.parametrize("default", ["1>1", "advanced>two", "Advanced>Debian 6.1 (recovery)", "1>two"])
def test_the_default_is_found_however_it_is_named(default: str) -> None:
    data = GRUB_CFG.replace(b'default="0"', b'default="' + default.encode() + b'"')
    entry = grub_cfg.default_entry(data, None)
    assert entry is not None
    assert entry.kernel == "/vmlinuz-6.1"


def test_the_default_may_be_saved() -> None:
    data = GRUB_CFG.replace(b'default="0"', b'default="${saved_entry}"')
    saved = grubenv.parse(b"# GRUB Environment Block\nsaved_entry=advanced>two\n####")["saved_entry"]
    assert saved == "advanced>two"
    entry = grub_cfg.default_entry(data, saved)
    assert entry is not None
    assert entry.path == ("advanced", "two")


def test_the_default_can_be_set() -> None:
    wanted = grub_cfg.menu(GRUB_CFG)[2]
    new = grub_cfg.set_default(GRUB_CFG, wanted)
    assert b'set default="${next_entry}"' in new
    assert grub_cfg.default_entry(new, None) == wanted
    assert new.replace(b'"advanced>two"', b'"0"') == GRUB_CFG


def test_kernels_without_initramfs_are_noticed() -> None:
    assert not grub_cfg.all_have_initramfs(b"linux /a\nlinux /b\n\tinitrd /a\n")
    assert grub_cfg.all_have_initramfs(b"\tlinux16 /a\n\tinitrd16 /a\n")


def test_consoles_of_xen_are_replaced() -> None:
    assert b"single console=ttyS0\n" in grub_cfg.replace_consoles(GRUB_CFG)
    assert grub_cfg.replace_consoles(b'A="console=hvc01 console=xvc0,9600"') == b'A="console=hvc01 console=ttyS0,9600"'


@given(PIECES)
def test_no_menu_is_too_broken_to_read(data: bytes) -> None:
    grub_cfg.default_entry(GRUB_CFG + data, None)
    grub_cfg.menu(data)
