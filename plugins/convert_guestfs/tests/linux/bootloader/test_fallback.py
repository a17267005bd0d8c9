# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader that UEFI starts from an unknown disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.bootloader import fallback
from v2v_convert_guestfs.linux.editors import debconf

Make = Callable[..., Any]
EFI = "/boot/efi/EFI"
CONFIG = (
    b"Name: grub2/force_efi_extra_removable\nTemplate: grub2/force_efi_extra_removable\nOwners: grub-common\n\n"
    b"Name: other\nValue: false\n"
)


def ensure(guest: Any) -> None:
    fallback.ensure(guest.session, guest.files)


def test_a_loader_that_is_there_stays(phony: Make) -> None:
    files = {f"{EFI}/Boot/bootx64.efi": b"shim", f"{EFI}/Boot/fbx64.efi": b"fb", f"{EFI}/redhat/shimx64.efi": b"shim"}
    guest = phony(dict(files), uefi=True)
    ensure(guest)
    assert guest.tree.files == files
    assert not guest.report.warnings


def test_shim_leads_to_what_the_guest_keeps_up_to_date(phony: Make) -> None:
    own = ("shimx64.efi", "grubx64.efi", "fbx64.efi", "mmx64.efi", "BOOTX64.CSV", "grub.cfg")
    guest = phony(
        {
            **{f"{EFI}/debian/{name}": name.encode() for name in own},
            f"{EFI}/Microsoft/Boot/bootmgfw.efi": b"",
            "/var/cache/debconf/config.dat": CONFIG,
        },
        distro="debian",
        uefi=True,
    )
    ensure(guest)
    assert {path: data for path, data in guest.tree.files.items() if "/BOOT/" in path} == {
        f"{EFI}/BOOT/BOOTX64.EFI": b"shimx64.efi",
        f"{EFI}/BOOT/fbx64.efi": b"fbx64.efi",
        f"{EFI}/BOOT/mmx64.efi": b"mmx64.efi",
    }
    assert guest.content("/var/cache/debconf/config.dat") == CONFIG
    assert guest.changed == [f"{EFI}/BOOT/{name}" for name in ("BOOTX64.EFI", "fbx64.efi", "mmx64.efi")]


def test_grub_with_shim_and_without_its_helper(phony: Make) -> None:
    guest = phony(
        {
            f"{EFI}/ubuntu/shimx64.efi": b"shim",
            f"{EFI}/ubuntu/grubx64.efi": b"grub",
            f"{EFI}/ubuntu/grub.cfg": b"configfile x\n",
            "/var/cache/debconf/config.dat": CONFIG,
        },
        distro="ubuntu",
        uefi=True,
    )
    ensure(guest)
    assert guest.content(f"{EFI}/BOOT/BOOTX64.EFI") == b"shim"
    assert guest.content(f"{EFI}/BOOT/grubx64.efi") == b"grub"
    assert guest.content(f"{EFI}/BOOT/grub.cfg") == b"set prefix=($root)/EFI/ubuntu\nconfigfile $prefix/grub.cfg\n"
    assert b"Template: grub2/force_efi_extra_removable\nValue: true\n" in guest.content("/var/cache/debconf/config.dat")


def test_a_shim_that_stands_alone_gets_company(phony: Make) -> None:
    guest = phony(
        {
            f"{EFI}/BOOT/BOOTX64.EFI": b"shim",
            f"{EFI}/redhat/shimx64.efi": b"shim",
            f"{EFI}/redhat/grubx64.efi": b"grub",
        },
        uefi=True,
    )
    ensure(guest)
    assert guest.content(f"{EFI}/BOOT/grubx64.efi") == b"grub"
    assert guest.changed == [f"{EFI}/BOOT/grubx64.efi"]


def test_grub_of_suse_and_of_other_architectures(phony: Make) -> None:
    guest = phony(
        {f"{EFI}/opensuse/shim.efi": b"shim", f"{EFI}/opensuse/grub.efi": b"grub"}, distro="opensuse", uefi=True
    )
    ensure(guest)
    assert (guest.content(f"{EFI}/BOOT/BOOTX64.EFI"), guest.content(f"{EFI}/BOOT/grub.efi")) == (b"shim", b"grub")
    assert not guest.tree.exists(f"{EFI}/BOOT/BOOTIA32.EFI")
    for arch, grub, loader in (
        ("i386", "grubia32.efi", "BOOTIA32.EFI"),
        ("aarch64", "grubaa64.efi", "BOOTAA64.EFI"),
        ("i686", "grubx64.efi", "BOOTX64.EFI"),
    ):
        other = phony({f"/efi/EFI/debian/{grub}": b"grub"}, distro="debian", arch=arch, uefi=True)
        ensure(other)
        assert other.content(f"/efi/EFI/BOOT/{loader}") == b"grub"
        assert other.changed == [f"/efi/EFI/BOOT/{loader}"]


def test_the_menu_of_grub_legacy_is_copied(phony: Make) -> None:
    guest = phony(
        {f"{EFI}/redhat/grub.efi": b"grub", f"{EFI}/redhat/grub.conf": b"default=0\n"}, distro="centos", uefi=True
    )
    ensure(guest)
    assert guest.content(f"{EFI}/BOOT/BOOTX64.EFI") == b"grub"
    assert guest.content(f"{EFI}/BOOT/BOOTX64.conf") == b"default=0\n"
    assert "efibootmgr" in guest.report.warnings[0]


def test_the_own_directory_comes_first(phony: Make) -> None:
    guest = phony(
        {f"{EFI}/{name}/grubx64.efi": name.encode() for name in ("Acme", "redhat", "rocky")}, distro="rocky", uefi=True
    )
    ensure(guest)
    assert guest.content(f"{EFI}/BOOT/BOOTX64.EFI") == b"rocky"


@pytest.mark.parametrize("files", [{"/boot/vmlinuz": b""}, {f"{EFI}/x/readme": b""}])
def test_no_loader_is_a_warning(phony: Make, files: dict[str, bytes]) -> None:
    guest = phony(files, uefi=True)
    ensure(guest)
    assert "chosen in the firmware's setup" in guest.report.warnings[0]


def test_an_answer_of_debconf() -> None:
    name = "grub2/force_efi_extra_removable"
    new = debconf.set_value(CONFIG, name, "true")
    assert new.replace(b"Value: true\n", b"") == CONFIG
    assert debconf.set_value(new, name, "true") == new
    assert debconf.set_value(new, name, "false") == new.replace(b"true", b"false")
    assert debconf.set_value(CONFIG, "nobody/asked", "true") == CONFIG


@given(
    st.lists(st.one_of(st.binary(max_size=9), st.sampled_from([b"Name: a\n", b"\n\n", b"Value: ", b"Template: b\n"])))
)
def test_answers_of_anything(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert debconf.set_value(data, "no/such", "x") == data
    once = debconf.set_value(data, "a", "x")
    assert debconf.set_value(once, "a", "x") == once
