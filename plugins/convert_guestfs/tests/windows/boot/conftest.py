# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with one disk: with a BIOS and an MBR, and with UEFI and a GPT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bcd_hives import DATA, DISK, ESP, SIGNATURE
from boot_guest import DATA_TYPE, ESP_TYPE, boot_guest, gpt_disk, mbr_disk
from windows_guest import SimulatedGuest

LOADER = b"MZ winload"
#: A boot manager has its name in its version resource.
BOOTMGFW = b"MZ" + "bootmgr.exe".encode("utf-16-le") + b"new"


@pytest.fixture
def bios(tmp_path: Path) -> Callable[..., SimulatedGuest]:
    """Return a function that makes a guest whose Windows is on the active partition, or behind it."""

    def make(bcd: bytes | None, *, apart: bool = False, files: Mapping[str, bytes] | None = None, **more: Any) -> Any:
        boot = {"/bootmgr": b"x"} | ({"/Boot/BCD": bcd} if bcd is not None else {})
        own = {"/Windows/System32/winload.exe": LOADER, **(files or {})}
        if apart:
            disk = mbr_disk(SIGNATURE, (2048, 204800, True), (206848, 8000000, False))
            return boot_guest(tmp_path, [disk], {"/dev/sda1": boot, "/dev/sda2": own}, root="/dev/sda2", **more)
        disk = mbr_disk(SIGNATURE, (2048, 8000000, True))
        return boot_guest(tmp_path, [disk], {"/dev/sda1": {**own, **boot}}, **more)

    return make


@pytest.fixture
def uefi(tmp_path: Path) -> Callable[..., SimulatedGuest]:
    """Return a function that makes a guest with an EFI system partition."""

    def make(esp: Mapping[str, bytes], *, files: Mapping[str, bytes] | None = None, **more: Any) -> Any:
        disk = gpt_disk(DISK, (2048, 206847, ESP_TYPE, ESP), (206848, 8000000, DATA_TYPE, DATA))
        own = {"/Windows/System32/winload.efi": LOADER, **(files or {})}
        volumes = {"/dev/sda1": esp, "/dev/sda2": own}
        return boot_guest(tmp_path, [disk], volumes, root="/dev/sda2", uefi=True, **more)

    return make
