# SPDX-License-Identifier: GPL-2.0-or-later
"""Compile the service of the first boot of Windows guests into the wheel, for 32-bit and 64-bit Windows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SERVICE = "src/v2v_convert_guestfs/windows/firstboot/service"
#: By architecture: Debian's package of the compiler, Fedora's, the symbol of the first function, the oldest Windows.
COMPILERS = {
    "i686": ("gcc-mingw-w64-i686-win32", "mingw32-gcc", "_v2v_start", "5.1"),
    "x86_64": ("gcc-mingw-w64-x86-64-win32", "mingw64-gcc", "v2v_start", "5.2"),
}
#: The same source makes the same bytes: no time stamp, no names of files, no code of the C library's start.
FLAGS = ("-std=c99", "-Os", "-Wall", "-Wextra", "-ffreestanding", "-fno-ident", "-fno-asynchronous-unwind-tables",
         "-nostdlib", "-s", "-Wl,--no-insert-timestamp")  # fmt: skip


def compile_service(source: Path, architecture: str, output: Path) -> None:
    """Compile the service for one architecture.

    :raises RuntimeError: there is no compiler, or it fails.
    """
    debian, fedora, start, windows = COMPILERS[architecture]
    compiler = f"{architecture}-w64-mingw32-gcc"
    if shutil.which(compiler) is None:
        raise RuntimeError(
            f"{compiler} is not installed, and the service of the first boot of Windows guests is compiled by it: "
            f"install {debian} (Debian, Ubuntu) or {fedora} (Fedora), or run ./setup-system build"
        )
    made = output.with_suffix(".new")
    link = (f"-Wl,-e,{start}", f"-Wl,--subsystem,windows:{windows}", "-ladvapi32", "-lkernel32")
    built = subprocess.run(
        [compiler, *FLAGS, "-o", str(made), str(source), *link], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise RuntimeError(f"{compiler} cannot compile {source.name}: {built.stderr.strip()}")
    # a conversion that reads the file meanwhile sees the old one or the new one
    made.replace(output)


class ServiceBuildHook(BuildHookInterface[Any]):
    """Compile the service before the files of the wheel are collected, and for an editable installation, too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for each architecture."""
        directory = Path(self.root, SERVICE)
        for architecture in COMPILERS:
            output = directory / f"v2v_firstboot_{architecture}.exe"
            compile_service(directory / "v2v_firstboot.c", architecture, output)
            # git ignores it, so hatchling would leave it out
            build_data["artifacts"].append(f"/{output.relative_to(self.root)}")
