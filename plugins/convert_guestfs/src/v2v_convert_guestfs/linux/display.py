# SPDX-License-Identifier: GPL-2.0-or-later
"""The display: an X server that was told to use the old graphics card is told to use any."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles

_SECTION = re.compile(r"^[ \t]*Section[ \t]+\"(?P<name>[^\"]*)\"", re.IGNORECASE | re.ASCII)
_END = re.compile(r"^[ \t]*EndSection\b", re.IGNORECASE | re.ASCII)
_DRIVER = re.compile(r"^(?P<before>[ \t]*Driver[ \t]+\")[^\"]*(?P<after>\".*)$", re.IGNORECASE | re.ASCII)
_CARD = re.compile(r"^[ \t]*(?:VendorName|BoardName)\b", re.IGNORECASE | re.ASCII)


def set_display_driver(files: GuestFiles) -> None:
    """Make the X server use the kernel's own graphics driver.

    :raises ConversionError: the file cannot be written.
    """
    for path in ("/etc/X11/xorg.conf", "/etc/X11/XF86Config"):
        if files.glob(path):
            files.edit(path, xorg, what="the driver is modesetting", why="the old hypervisor's graphics card is gone")
            return


def xorg(data: bytes) -> bytes:
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
            driver = _DRIVER.match(line)
            if driver and '"modesetting"' not in line:
                lines.append(f"{driver['before']}modesetting{driver['after']}")
                continue
        lines.append(line)
    return "\n".join(lines).encode("latin-1")
