# SPDX-License-Identifier: GPL-2.0-or-later
"""The display: an X server that was told to use the old graphics card is told to use any."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: One of the first two is read, the rest always is.
_CONFIGURATIONS = ("/etc/X11/xorg.conf", "/etc/X11/XF86Config")
_SNIPPETS = "/etc/X11/xorg.conf.d/*.conf"
_SERVERS = ("/usr/bin/X", "/usr/bin/X11/X", "/usr/bin/Xorg", "/usr/X11R6/bin/X")
_DRIVERS = tuple(
    f"{root}/xorg/modules/drivers/{{}}_drv.so" for root in ("/usr/lib", "/usr/lib64", "/usr/lib/*-linux-gnu*")
)
_SECTION = re.compile(r"^[ \t]*Section[ \t]+\"(?P<name>[^\"]*)\"", re.IGNORECASE | re.ASCII)
_END = re.compile(r"^[ \t]*EndSection\b", re.IGNORECASE | re.ASCII)
_DRIVER = re.compile(r"^(?P<before>[ \t]*Driver[ \t]+\")(?P<name>[^\"]*)(?P<after>\".*)$", re.IGNORECASE | re.ASCII)
#: What names the card, or the slot that it is in.
_CARD = re.compile(r"^[ \t]*(?:VendorName|BoardName|BusID)\b", re.IGNORECASE | re.ASCII)


def set_display_driver(session: Session, files: GuestFiles) -> None:
    """Make the X server use a driver that works with any card.

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
            "the guest has a configuration for an X server, which names the new graphics driver now, and no X server"
        )


def xorg(data: bytes, driver: str) -> bytes:
    """Set the driver in every Device section, and take out what names the card."""
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
    """Give the driver for whatever the kernel drives, or, where X is too old to have it, the one for any VGA card."""
    has = {name: any(files.glob(pattern.format(name)) for pattern in _DRIVERS) for name in ("modesetting", "vesa")}
    return "vesa" if has["vesa"] and not has["modesetting"] else "modesetting"
