# SPDX-License-Identifier: GPL-2.0-or-later
"""Libosinfo's identifiers of operating systems, from its database of XML files."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from v2v_core.metadata.parser import UntrustedXmlError, parse_untrusted_xml

_SHORT_ID = re.compile("[a-z0-9][a-z0-9._-]*")


def osinfo_database() -> Path | None:
    """Return the directory of operating systems in libosinfo's database, or None if the database is not installed."""
    # OSINFO_SYSTEM_DIR is libosinfo's own way to name another place
    directory = Path(os.environ.get("OSINFO_SYSTEM_DIR", "/usr/share/osinfo")) / "os"
    return directory if directory.is_dir() else None


@cache
def osinfo_id(short_id: str, database: Path) -> str | None:
    """Return the identifier of an operating system: ``http://debian.org/debian/11`` for ``debian11``.

    :return: None if the database has no operating system with that short identifier.
    """
    if _SHORT_ID.fullmatch(short_id) is None:
        return None
    # Parsing all 800 files takes 80 ms. Looking for the word first takes 10 ms, and leaves a few files to parse.
    for file in sorted(database.glob("*/*.xml")):
        try:
            data = file.read_bytes()
            if short_id.encode() not in data:
                continue
            root = parse_untrusted_xml(data, what=str(file))
        except (OSError, UntrustedXmlError):
            # a damaged file of the database is not a reason to fail; the others may know the name
            continue
        for system in root.iterfind("os"):
            if any((named.text or "").strip() == short_id for named in system.iterfind("short-id")):
                return system.get("id")
    return None
