# SPDX-License-Identifier: GPL-2.0-or-later
"""The display: make an X server that is configured for the old graphics card work with any card."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: The X server reads the first of these that exists, and all snippets.
_CONFIGURATIONS = ("/etc/X11/xorg.conf", "/etc/X11/XF86Config")
_SNIPPETS = "/etc/X11/xorg.conf.d/*.conf"
_SERVERS = ("/usr/bin/X", "/usr/bin/X11/X", "/usr/bin/Xorg", "/usr/X11R6/bin/X")
_DRIVERS = tuple(
    f"{root}/xorg/modules/drivers/{{}}_drv.so" for root in ("/usr/lib", "/usr/lib64", "/usr/lib/*-linux-gnu*")
)
_SECTION = re.compile(r"^[ \t]*Section[ \t]+\"(?P<name>[^\"]*)\"", re.IGNORECASE | re.ASCII)
_END = re.compile(r"^[ \t]*EndSection\b", re.IGNORECASE | re.ASCII)
_DRIVER = re.compile(r"^(?P<before>[ \t]*Driver[ \t]+\")(?P<name>[^\"]*)(?P<after>\".*)$", re.IGNORECASE | re.ASCII)
#: Entries that name the card or its slot.
_CARD = re.compile(r"^[ \t]*(?:VendorName|BoardName|BusID)\b", re.IGNORECASE | re.ASCII)


def set_display_driver(session: Session, files: GuestFiles) -> None:
    """Configure the X server to use a driver that works with any card.

    :raises ConversionError: a file cannot be written.
    """
    paths = [path for path in _CONFIGURATIONS if files.glob(path)][:1] + files.glob(_SNIPPETS)
    if not paths:
        return
    driver = _universal_driver(files)
    edited = [
        files.edit(
            path,
            lambda data: xorg(data, driver),
            what=f"the driver is {driver}",
            why="the old hypervisor's graphics card is gone",
        )
        for path in paths
    ]
    if any(edited) and not any(files.glob(path) for path in _SERVERS):
        session.report.warning(
            "the guest has no X server, but a configuration for one; it now names the new graphics driver"
        )


def xorg(data: bytes, driver: str) -> bytes:
    """Set the driver in every Device section, and remove the entries that name the card."""
    lines: list[str] = []
    section = ""
    for line in data.decode("latin-1").split("\n"):
        start = _SECTION.match(line)
        if start:
            section = start["name"].lower()
        elif _END.match(line):
            section = ""
        if section == "device":
            if _CARD.match(line):
                continue
            match = _DRIVER.match(line)
            if match and match["name"] != driver:
                lines.append(f"{match['before']}{driver}{match['after']}")
                continue
        lines.append(line)
    return "\n".join(lines).encode("latin-1")


def _universal_driver(files: GuestFiles) -> str:
    """Return the driver for any card that the kernel drives, or the VESA driver if this X server is too old for it."""
    has = {name: any(files.glob(pattern.format(name)) for pattern in _DRIVERS) for name in ("modesetting", "vesa")}
    return "vesa" if has["vesa"] and not has["modesetting"] else "modesetting"
