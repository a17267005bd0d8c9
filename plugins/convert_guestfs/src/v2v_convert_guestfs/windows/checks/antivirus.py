# SPDX-License-Identifier: GPL-2.0-or-later
"""Find programs that watch what is written into the system's directories, or which drivers are loaded."""

from __future__ import annotations

import re

from v2v_convert_guestfs.windows.registry.hives import HiveName, Key, Registry

_UNINSTALL = (
    r"Microsoft\Windows\CurrentVersion\Uninstall",
    r"WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall",
)
_ANTIVIRUS = re.compile(
    r"virus|anti-?malware|endpoint (?:security|protection)|\b(?:avast|avg|avira|bitdefender|carbon black|crowdstrike|"
    r"cylance|eset|f-secure|kaspersky|mcafee|norton|sentinel agent|sentinelone|sophos|symantec endpoint|trellix|"
    r"trend micro|webroot|withsecure|cortex xdr|deep security agent)\b",
    re.IGNORECASE,
)
_LONGEST_NAME = 80


def antivirus_programs(registry: Registry) -> tuple[str, ...]:
    """Return the sorted names of installed antivirus programs, each once."""
    names = set()
    for path in _UNINSTALL:
        key = registry.key(HiveName.SOFTWARE, path)
        for program in key.keys() if key is not None else ():
            name = _text(program, "DisplayName")
            if name and (_ANTIVIRUS.search(name) or _ANTIVIRUS.search(_text(program, "Publisher"))):
                names.add(name[:_LONGEST_NAME])
    return tuple(sorted(names))


def _text(key: Key, name: str) -> str:
    found = key.value(name)
    return (found.text if found is not None else None) or ""
