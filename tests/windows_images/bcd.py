# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the boot configuration of a Windows, by the example of a real one: a hive with objects and their elements."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from typing import Any

from windows_images.places import GptPlace, MbrPlace, Place
from windows_images.regf import Tree, Value, at, binary, dword, merged, multi_sz, sz, write_hive

BOOT_MANAGER = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
LOADER = "{733b62e5-f608-11eb-825c-c112f60133ab}"
RESUME = "{733b62e4-f608-11eb-825c-c112f60133ab}"
MEMORY_TESTER = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
GLOBAL_SETTINGS = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"


def write_bcd(path: Path, *, system: Place, windows: Place, uefi: bool, name: str) -> None:
    """Write the boot configuration.

    :param system: the partition with the boot manager. :param windows: the one with Windows.
    """
    suffix = "efi" if uefi else "exe"
    manager = {
        "11000001": _device(system),
        "12000004": sz("Windows Boot Manager"),
        "12000005": sz("en-US"),
        "14000006": multi_sz(GLOBAL_SETTINGS),
        "23000003": sz(LOADER),
        "23000006": sz(RESUME),
        "24000001": multi_sz(LOADER),
        "24000010": multi_sz(MEMORY_TESTER),
        "25000004": _integer(30),
    }
    if uefi:
        manager["12000002"] = sz(r"\EFI\Microsoft\Boot\bootmgfw.efi")
    loader = {
        "11000001": _device(windows),
        "12000002": sz(rf"\Windows\system32\winload.{suffix}"),
        "12000004": sz(name),
        "12000005": sz("en-US"),
        "16000046": binary(b"\x01"),  # no graphics modes
        "21000001": _device(windows),
        "22000002": sz(r"\Windows"),
        "23000003": sz(RESUME),
        "25000020": _integer(0),
    }
    resume = {
        "11000001": _device(windows),
        "12000002": sz(rf"\Windows\system32\winresume.{suffix}"),
        "12000004": sz("Windows Resume Application"),
        "21000001": _device(windows),
        "22000002": sz(r"\hiberfil.sys"),
    }
    tester = {
        "11000001": _device(system),
        "12000002": sz(r"\EFI\Microsoft\Boot\memtest.efi" if uefi else r"\boot\memtest.exe"),
        "12000004": sz("Windows Memory Diagnostic"),
    }
    objects = (
        _object(BOOT_MANAGER, 0x10100002, manager),
        _object(LOADER, 0x10200003, loader),
        _object(RESUME, 0x10200004, resume),
        _object(MEMORY_TESTER, 0x10200005, tester),
        _object(GLOBAL_SETTINGS, 0x20100000, {}),
    )
    description = at("Description", {"KeyName": sz("BCD00000000"), "System": dword(1), "TreatAsSystem": dword(1)})
    write_hive(path, merged(description, *objects))


def _object(identity: str, kind: int, elements: dict[str, Value]) -> Tree:
    described: dict[str, Any] = {"Description": {"Type": dword(kind)}}
    described["Elements"] = {number: {"Element": value} for number, value in elements.items()}
    return at(rf"Objects\{identity}", described)


def _integer(number: int) -> Value:
    return binary(struct.pack("<Q", number))


def _device(place: Place) -> Value:
    """Return the element that names a partition: its kind (6, a partition), its length, the partition, its disk."""
    match place:
        case MbrPlace():
            partition = struct.pack("<QQ", place.start * 512, 0)
            disk = struct.pack("<II", 0, 1) + struct.pack("<I", place.signature).ljust(16, b"\0")
        case GptPlace():
            partition = uuid.UUID(place.partition).bytes_le
            disk = struct.pack("<II", 0, 0) + uuid.UUID(place.disk).bytes_le
    content = (partition + disk).ljust(0x48 - 16, b"\0")
    return binary(bytes(16) + struct.pack("<IIII", 6, 0, 0x48, 0) + content)
