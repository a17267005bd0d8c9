# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs and drivers for the guests' processors, made by mingw-w64. They do nothing."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Literal

from guests.host import run

Arch = Literal["i386", "x86_64"]

_COMPILERS: dict[Arch, str] = {"i386": "i686-w64-mingw32-gcc", "x86_64": "x86_64-w64-mingw32-gcc"}

_DRIVER = "long __stdcall DriverEntry(void *driver, void *path) { (void)driver; (void)path; return 0; }\n"
_PROGRAM = "void __stdcall start(void) { }\n"


@dataclasses.dataclass(frozen=True)
class Programs:
    """The bytes of a program, of a driver and of what is started by the firmware of UEFI."""

    program: bytes
    driver: bytes
    efi: bytes


def programs(arch: Arch) -> Programs:
    """Make them for one architecture."""
    entry = {"i386": ("_DriverEntry@8", "_start@0"), "x86_64": ("DriverEntry", "start")}[arch]
    return Programs(
        program=_made(arch, _PROGRAM, entry[1], "console"),
        driver=_made(arch, _DRIVER, entry[0], "native"),
        efi=_made(arch, _PROGRAM, entry[1], "10"),
    )


def _made(arch: Arch, source: str, entry: str, subsystem: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="v2v-program.") as name:
        text, result = Path(name, "source.c"), Path(name, "result.exe")
        text.write_text(source)
        # the time of linking would make it another file each time
        linking = [f"-Wl,--subsystem,{subsystem}", f"-Wl,-e,{entry}", "-Wl,--no-insert-timestamp", "-s", "-nostdlib"]
        run([_COMPILERS[arch], "-O1", *linking, "-o", result, text])
        return result.read_bytes()
