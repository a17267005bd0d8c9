# SPDX-License-Identifier: GPL-2.0-or-later
"""The program of the host that becomes the service: the user's rhsrvany.exe or pvvxsvc.exe, else this project's own."""

from __future__ import annotations

import os
from pathlib import Path

from v2v_core.api import ConversionError, Reporter

#: As for virt-v2v: the directory of the tools for Windows guests, and the services that may be in it.
_VARIABLE, _DIRECTORY = "VIRT_TOOLS_DATA_DIR", "/usr/share/virt-tools"
_NAMES = ("rhsrvany.exe", "pvvxsvc.exe")

#: Our own by libguestfs's name of the architecture. Windows on ARM runs programs for i386.
_OWN = {"x86_64": "v2v_firstboot_x86_64.exe"}
_OWN_ELSEWHERE = "v2v_firstboot_i686.exe"


def find_program(arch: str, report: Reporter) -> Path:
    """Return the program for a guest.

    :raises ConversionError: v2v was installed without its own.
    """
    directory = Path(os.environ.get(_VARIABLE) or _DIRECTORY)
    for path in (directory / name for name in _NAMES):
        if _is_program(path):
            return path
        if path.exists():
            report.warning(f"{path} is not a program for Windows: the service of v2v is used in its place")
    own = Path(__file__).parent / "service" / _OWN.get(arch, _OWN_ELSEWHERE)
    if not _is_program(own):
        raise ConversionError(
            f"the service that runs the first boot of Windows guests is missing: there is no {own}",
            hint="install v2v-convert-guestfs again, or put rhsrvany.exe into the directory VIRT_TOOLS_DATA_DIR",
        )
    return own


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"MZ"
    except OSError:
        return False
