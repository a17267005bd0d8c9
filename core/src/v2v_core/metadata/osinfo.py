# SPDX-License-Identifier: GPL-2.0-or-later
"""Libosinfo's identifiers of operating systems, from its database of XML files."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from v2v_core.metadata.parser import UntrustedXmlError, parse_untrusted_xml

#: The Windows before this one, which an older database has.
_BEFORE = {"win2k25": "win2k22", "win2k22": "win2k19", "win2k19": "win2k16", "win11": "win10"}
_SHORT_ID = re.compile("[a-z0-9][a-z0-9._-]*")


def osinfo_database() -> Path | None:
    """Return the directory of operating systems in libosinfo's database, or None if the database is not installed."""
    # OSINFO_SYSTEM_DIR is libosinfo's own way to name another place
    directory = Path(os.environ.get("OSINFO_SYSTEM_DIR", "/usr/share/osinfo")) / "os"
    return directory if directory.is_dir() else None


@cache
def osinfo_id(short_id: str, database: Path) -> str | None:
    """Return the identifier of an operating system: ``http://debian.org/debian/11`` for ``debian11``.

    A Windows that is too new for the database has the identifier of the one before it: management tools take no other
    for Windows, and offer what Windows needs.

    :return: None if the database has no operating system with that short identifier.
    """
    found = _find(short_id, database)
    return osinfo_id(_BEFORE[short_id], database) if found is None and short_id in _BEFORE else found


def _find(short_id: str, database: Path) -> str | None:
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
