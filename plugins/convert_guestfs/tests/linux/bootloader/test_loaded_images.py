# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs that is examined is the one that the boot loader loads, whatever its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]

GRUB = "/boot/grub2/grub.cfg"
MENU = """\
set default="{default}"
set mine=/initrd-of-mine
menuentry 'main' {{
\tlinux ($root)/vmlinuz-6.1 root=UUID=1
\tinitrd {initrd}
}}
menuentry 'rescue' --id rescue {{
\tlinux /vmlinuz-6.1 root=UUID=1
\tinitrd /initrd-rescue-6.1
}}
"""


def images(*names: str) -> dict[str, bytes]:
    return {f"/boot/{name}": b"image" for name in ("vmlinuz-6.1", "initrd-6.1", "initramfs-6.1.img", *names)}


@pytest.mark.parametrize(
    ("initrd", "loaded"),
    [
        # The shortest name is that of an image that nothing loads.
        ("/initramfs-6.1.img", "/boot/initramfs-6.1.img"),
        ("/initrd-of-mine", "/boot/initrd-of-mine"),
        ("/intel-ucode.img /initrd-of-mine", "/boot/initrd-of-mine"),
        ('"($root)/initrd-of-mine"', "/boot/initrd-of-mine"),
        ("(hd0,gpt2)/initrd-of-mine", "/boot/initrd-of-mine"),
        ("/boot/initrd-of-mine", "/boot/initrd-of-mine"),
        ("/@/boot/initrd-of-mine", "/boot/initrd-of-mine"),
        ("$mine $tuned_initrd", "/boot/initrd-of-mine"),
        ("/link", "/boot/initrd-of-mine"),
        # Nothing is known about these, so the guess stays.
        ("/nowhere", "/boot/initramfs-6.1.img"),
        ("$unknown", "/boot/initramfs-6.1.img"),
        ("/../etc/shadow", "/boot/initramfs-6.1.img"),
    ],
)
def test_grub2_loads_the_image_of_its_default_entry(phony: Make, kernel: Make, initrd: str, loaded: str) -> None:
    menu = MENU.format(initrd=initrd, default=0).encode()
    guest = phony(
        {**images("initrd-of-mine", "initrd-rescue-6.1"), GRUB: menu, "/etc/shadow": b""},
        links={"/boot/link": "/boot/initrd-of-mine"},
    )
    (found,) = guest.bootloader().with_own_images([kernel("6.1")])
    assert found.initramfs == loaded


def test_grub2_prefers_the_entry_that_boots_by_default(phony: Make, kernel: Make) -> None:
    menu = MENU.format(initrd="/initramfs-6.1.img", default="rescue").encode()
    guest = phony({**images("initrd-rescue-6.1"), GRUB: menu})
    loader = guest.bootloader()
    (found,) = loader.with_own_images([kernel("6.1")])
    assert found.initramfs == "/boot/initrd-rescue-6.1"
    assert loader.default_kernel([found]) is found


def test_an_image_that_is_known_already_leaves_the_kernel_as_it_is(phony: Make, kernel: Make) -> None:
    guest = phony({**images(), GRUB: MENU.format(initrd="/initramfs-6.1.img", default=0).encode()})
    made = kernel("6.1")
    other = kernel("5.9")
    assert all(a is b for a, b in zip(guest.bootloader().with_own_images([made, other]), [made, other], strict=True))


def test_an_entry_without_an_initramfs_loads_none(phony: Make, kernel: Make) -> None:
    guest = phony({**images(), GRUB: b"menuentry 'x' {\n linux /vmlinuz-6.1 root=/dev/sda1\n}\n"})
    (found,) = guest.bootloader().with_own_images([kernel("6.1")])
    assert found.initramfs is None


def test_entries_of_the_boot_loader_specification(phony: Make, kernel: Make) -> None:
    entry = b"title x\nversion 6.1\nlinux /vmlinuz-6.1\ninitrd /mine.img $tuned_initrd\noptions root=UUID=1\n"
    guest = phony({**images("mine.img"), GRUB: b"blscfg\n", "/boot/loader/entries/m-6.1.conf": entry})
    (found,) = guest.bootloader().with_own_images([kernel("6.1")])
    assert found.initramfs == "/boot/mine.img"


@pytest.mark.parametrize("initrd", ["/initrd-of-mine", "(hd0,0)/initrd-of-mine", "=/initrd-of-mine", "/boot/link"])
def test_grub_legacy_loads_the_image_of_its_entry(phony: Make, kernel: Make, initrd: str) -> None:
    menu = f"default 1\ntitle a\n kernel /vmlinuz-5.9\n initrd /x\ntitle b\n kernel /vmlinuz-6.1 ro\n initrd {initrd}\n"
    guest = phony(
        {**images("initrd-of-mine", "vmlinuz-5.9"), "/boot/grub/grub.conf": menu.encode()},
        links={"/boot/link": "/boot/initrd-of-mine"},
    )
    found = guest.bootloader().with_own_images([kernel("6.1"), kernel("5.9")])
    assert [one.initramfs for one in found] == ["/boot/initrd-of-mine", "/boot/initramfs-5.9.img"]
