# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries of the Boot Loader Specification, and GRUB's environment block."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.editors import bls, devices_in, grub_cfg, grub_legacy, grubenv
from v2v_core.api import SourceDisk

MACHINE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
ENTRY = b"""\
title Rocky Linux (5.14.0-362.8.1.el9_3.x86_64) 9.3 (Blue Onyx)
version 5.14.0-362.8.1.el9_3.x86_64
linux /vmlinuz-5.14.0-362.8.1.el9_3.x86_64
initrd /initramfs-5.14.0-362.8.1.el9_3.x86_64.img $tuned_initrd
options root=/dev/sda2 ro crashkernel=1G-4G:192M resume=/dev/sda3 $tuned_params
grub_users $grub_users
grub_arg --unrestricted
grub_class rocky
"""
NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")
BLOCK = (b"# GRUB Environment Block\nsaved_entry=abc\nkernelopts=root=/dev/sda2 ro\nboot_success=0\n").ljust(1024, b"#")
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                *(b"# GRUB Environment Block\n", b"a=1\n", b"saved_entry=x", b"#", b"\n", b"\\", b"kernelopts=", b"="),
                *(
                    b"title x\n",
                    b"linux /vmlinuz-5\n",
                    b"options root=/dev/sda1 ",
                    b"version 5-1\n",
                    b" ",
                    b"\t",
                    b"\r\n",
                ),
            ]
        ),
    ),
    max_size=30,
).map(b"".join)
NAME = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
VALUE = st.text(st.characters(max_codepoint=255), max_size=60)


def entry(name: str) -> bls.BlsEntry:
    found = bls.parse(name, b"linux /vmlinuz-1\n")
    assert found is not None
    return found


def test_an_entry_is_read() -> None:
    found = bls.parse(f"/boot/loader/entries/{MACHINE}-5.14.0-362.8.1.el9_3.x86_64.conf", ENTRY)
    assert found is not None
    assert found.name == f"{MACHINE}-5.14.0-362.8.1.el9_3.x86_64"
    assert found.version == "5.14.0-362.8.1.el9_3.x86_64"
    assert found.linux == "/vmlinuz-5.14.0-362.8.1.el9_3.x86_64"
    assert found.initrd == ("/initramfs-5.14.0-362.8.1.el9_3.x86_64.img", "$tuned_initrd")
    assert found.options.startswith("root=/dev/sda2 ro ")


def test_options_on_several_lines_are_one_command_line() -> None:
    found = bls.parse("x.conf", b"title\tX\r\nlinux\t/vmlinuz\r\noptions a\noptions b\n#options c\n")
    assert found is not None
    assert (found.title, found.linux, found.options) == ("X", "/vmlinuz", "a b")


def test_what_boots_no_linux_is_no_entry() -> None:
    assert bls.parse("auto-windows.conf", b"title Windows\nefi /EFI/Microsoft/Boot/bootmgfw.efi\n") is None


def test_the_order_is_that_of_packages() -> None:
    names = [
        f"{MACHINE}-0-rescue",
        f"{MACHINE}-5.14.0-70.el9.x86_64",
        f"{MACHINE}-5.14.0-362.8.1.el9_3.x86_64",
        f"{MACHINE}-5.14.0-362.el9.x86_64",
        f"{MACHINE}-5.14.0~rc1-1.el9.x86_64",
    ]
    assert [found.name for found in bls.in_order(map(entry, names))] == [
        names[2],
        names[3],
        names[1],
        names[4],
        names[0],
    ]


def test_the_entry_of_another_kernel() -> None:
    new = bls.for_version(ENTRY, "5.14.0-362.8.1.el9_3.x86_64", "5.14.0-70.el9.x86_64")
    found = bls.parse("x", new)
    assert found is not None
    assert (found.version, found.linux) == ("5.14.0-70.el9.x86_64", "/vmlinuz-5.14.0-70.el9.x86_64")
    assert found.initrd[0] == "/initramfs-5.14.0-70.el9.x86_64.img"
    assert bls.for_version(new, "5.14.0-70.el9.x86_64", "5.14.0-362.8.1.el9_3.x86_64") == ENTRY


def test_disks_in_entries() -> None:
    assert devices_in.kernel_lines(ENTRY, NAMES, root=lambda _: "UUID=7") == ENTRY.replace(
        b"root=/dev/sda2", b"root=UUID=7"
    ).replace(b"/dev/sda3", b"/dev/vda3")
    assert devices_in.kernel_cmdline(b"# /dev/sda1\nroot=/dev/sda1 ro\n", NAMES, root=lambda _: "UUID=7") == (
        b"# /dev/sda1\nroot=UUID=7 ro\n"
    )


@given(PIECES, NAME)
def test_no_entry_is_too_broken_to_read(data: bytes, name: str) -> None:
    found = [one for one in (bls.parse(name, data), bls.parse(f"{name}-~1-2", data)) if one]
    assert len(bls.in_order([*found, entry("a-1-2"), entry("-"), entry("")])) == len(found) + 3
    assert bls.for_version(data, "none of that", "x") == data


MENU = b"""\
set default="${saved_entry}"
menuentry 'Tool' --id tool {
  chainloader /memtest.efi
}
if [ -z "${kernelopts}" ]; then
  set kernelopts="root=/dev/sda2 ro "
fi
insmod blscfg
blscfg
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
  fwsetup
}
"""


def test_entries_are_in_the_menu_where_the_command_is() -> None:
    assert grub_cfg.uses_bls(MENU)
    assert not grub_cfg.uses_bls(b"insmod blscfg\n#blscfg\n")
    entries = [entry("m-2-1"), entry("m-1-1")]
    assert [(one.path, one.indexes) for one in grub_cfg.everything(MENU, entries)] == [
        (("tool",), (0,)),
        (("m-2-1",), (1,)),
        (("m-1-1",), (2,)),
        (("uefi-firmware",), (3,)),
    ]
    for saved, path in (("m-1-1", ("m-1-1",)), ("2", ("m-1-1",)), ("m-2-1", ("m-2-1",))):
        chosen = grub_cfg.default_entry(MENU, saved, entries)
        assert chosen is not None
        assert chosen.path == path
    assert grub_cfg.default_entry(MENU, "tool", entries) is None


def test_variables_of_a_command_line() -> None:
    known = {**grub_cfg.variables(MENU), "tuned_params": "skew_tick=1 ${a}", "a": "$a$a"}
    assert grub_cfg.expand("$kernelopts ${tuned_params} $other", known).startswith("root=/dev/sda2 ro  skew_tick=1 $a")
    assert b'set kernelopts="root=/dev/vda2 ro "' in devices_in.kernel_lines(MENU, NAMES)


def test_an_environment_block() -> None:
    assert grubenv.parse(BLOCK) == {"saved_entry": "abc", "kernelopts": "root=/dev/sda2 ro", "boot_success": "0"}
    new = grubenv.set_value(BLOCK, "saved_entry", f"{MACHINE}-5.14.0-70.el9.x86_64")
    assert len(new) == 1024
    assert grubenv.parse(new)["saved_entry"] == f"{MACHINE}-5.14.0-70.el9.x86_64"
    assert new.replace(f"{MACHINE}-5.14.0-70.el9.x86_64".encode(), b"abc").rstrip(b"#") == BLOCK.rstrip(b"#")
    assert grubenv.set_value(BLOCK, "new", "1").startswith(BLOCK.rstrip(b"#") + b"new=1\n#")


def test_disks_in_an_environment_block() -> None:
    new = grubenv.edit_values(BLOCK, re.compile("kernelopts"), NAMES.rename_in)
    assert new == BLOCK.replace(b"/dev/sda2", b"/dev/vda2")
    with pytest.raises(ValueError, match="1024"):
        grubenv.edit_values(BLOCK, re.compile("kernelopts"), lambda _: "x" * 1024)


@pytest.mark.parametrize("old", [b"", b"\n" * 1024, b"saved_entry=1\n"])
def test_what_is_no_block_is_made_anew_to_save_something(old: bytes) -> None:
    assert grubenv.parse(old) == {}
    assert grubenv.set_value(old, "a", "1") == b"# GRUB Environment Block\na=1\n".ljust(1024, b"#")
    assert grubenv.edit_values(old, re.compile(".*"), lambda _: "x") == old


@given(PIECES, NAME, VALUE)
def test_a_block_keeps_its_size(data: bytes, name: str, value: str) -> None:
    block = (b"# GRUB Environment Block\n" + data.replace(b"\\", b"")).ljust(1024, b"#")
    new = grubenv.set_value(block, name, value)
    assert len(new) == len(block)
    assert grubenv.parse(new) == {**grubenv.parse(block), name: value}
    assert grubenv.set_value(new, name, value) == new


@given(PIECES)
def test_no_block_is_too_broken_to_read(data: bytes) -> None:
    grubenv.parse(data)
    assert grubenv.edit_values(data, re.compile(".*"), lambda value: value) == data


@given(PIECES)
def test_signposts_and_variables_of_anything(data: bytes) -> None:
    grub_cfg.leads_to(data)
    grub_cfg.expand(data.decode("latin-1"), grub_cfg.variables(data))


@pytest.mark.parametrize(
    "data",
    [
        b"set a=" + b" " * 500_000 + b"x",
        b"configfile " + b" " * 500_000 + b"x",
        b"options " + b" \t" * 250_000 + b"x\nlinux /a",
        b"default" + b" " * 500_000,
        b"title" + b" " * 500_000 + b"x",
        b"kernel /a" + b" " * 500_000 + b"x",
        b"submenu x {\n" * 40_000,
        b"menuentry x {\nlinux /a\n}\n" * 20_000,
        b"menuentry " + b"{" * 500_000 + b"x",
        b"x=" + b"\\" * 500_000,
    ],
    ids=range(10),
)
@pytest.mark.timeout(20)
def test_hostile_files_take_no_longer_than_others(data: bytes) -> None:
    grub_cfg.leads_to(data)
    grub_cfg.default_entry(data, "1")
    bls.parse("x", data)
    grubenv.parse(b"# GRUB Environment Block\n" + data)
    grub_legacy.default_entry(b"title x\n" + data)
    grub_legacy.set_default(data, 1)
    grub_legacy.rename_devices(data, NAMES)
    devices_in.kernel_lines(data, NAMES, root=lambda _: "UUID=7")
