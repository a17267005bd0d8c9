# SPDX-License-Identifier: GPL-2.0-or-later
"""MAC addresses, as sources and guests write them."""

from __future__ import annotations

import re

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)


def mac_address(text: str | None) -> str | None:
    """Return the MAC address in lower case with colons, or None if it cannot be that of a NIC."""
    mac = (text or "").strip().strip("\"'").lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or mac == "00:00:00:00:00:00" or int(mac[:2], 16) & 1:
        return None
    return mac
