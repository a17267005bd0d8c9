# SPDX-License-Identifier: GPL-2.0-or-later
"""What libosinfo calls an operating system, from its database of XML files."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SHORT_ID = re.compile("[a-z0-9][a-z0-9._-]*")


def osinfo_database() -> Path | None:
    """Give the directory of the operating systems in libosinfo's database; None if it is not installed."""
    # OSINFO_SYSTEM_DIR is libosinfo's own way to name another place
    directory = Path(os.environ.get("OSINFO_SYSTEM_DIR", "/usr/share/osinfo")) / "os"
    return directory if directory.is_dir() else None


def osinfo_id(short_id: str, database: Path) -> str | None:
    """Give the identifier of an operating system, such as ``http://debian.org/debian/12`` for ``debian12``."""
    if _SHORT_ID.fullmatch(short_id) is None:
        return None
    wanted = f"<short-id>{short_id}</short-id>".encode()
    for file in sorted(database.glob("*/*.xml")):
        try:
            text = file.read_bytes()
        except OSError:
            continue
        if wanted in text:
            found = re.search(rb'<os id="([^"&<]+)"', text)
            return found[1].decode("utf-8", "replace") if found else None
    return None
