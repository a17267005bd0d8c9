# SPDX-License-Identifier: GPL-2.0-or-later
"""What the files of a guest are called: ``NAME-sda``, ``NAME-sdb`` …, ``NAME.xml``.

A guest can have any name. Its files cannot: 255 bytes, no slash, nothing that confuses a terminal.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

#: ``/`` and NUL cannot be in a name; control characters, and bytes that are no UTF-8, should not be.
_REPLACED = re.compile("[/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
#: Room for the longest of ``-sdzz``, ``.xml``, ``.yaml``.
_SUFFIX_ROOM = 6
#: The limit of nearly every file system on Linux, for where the kernel does not say.
_USUAL_LIMIT = 255


@dataclass(frozen=True, kw_only=True)
class OutputNames:
    """The names of the files of one guest in one directory."""

    directory: Path
    stem: str
    limit: int = _USUAL_LIMIT

    @classmethod
    def of_guest(cls, directory: Path, name: str) -> OutputNames:
        """Make the names of a guest's files.

        What cannot be in a file name becomes ``_``. A name that is too long is cut between two characters and gets a
        ``~`` and eight digits made from the whole of it, so that two long names that begin alike stay different.
        """
        limit = _name_limit(directory)
        stem = _cut(_REPLACED.sub("_", name), limit - _SUFFIX_ROOM)
        return cls(directory=directory, stem=stem if stem.strip() else "unnamed", limit=limit)

    def disk(self, index: int) -> Path:
        """Give the file of a disk, counted from 1: ``NAME-sda`` for the first, ``NAME-sdaa`` for the 27th."""
        return self.directory / f"{self.stem}-sd{_letters(index)}"

    def metadata(self, suffix: str = ".xml") -> Path:
        """Give the file that describes the guest."""
        return self.directory / f"{self.stem}{suffix}"

    def partial(self, final: Path, kind: str = "partial") -> Path:
        """Give a hidden name beside a file, for as long as it is not finished. Every call gives another one."""
        end = f".v2v-{secrets.token_hex(8)}.{kind}"
        return self.directory / f".{_cut(final.name, self.limit - 1 - len(end))}{end}"


def _name_limit(directory: Path) -> int:
    try:
        limit = os.pathconf(directory, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _USUAL_LIMIT
    # encrypting file systems have less (eCryptfs 143); some say a number of characters that is more
    return min(limit, _USUAL_LIMIT) if limit >= 64 else _USUAL_LIMIT


def _cut(text: str, limit: int) -> str:
    whole = text.encode("utf-8", "replace")
    if len(whole) <= limit:
        return text
    digest = hashlib.sha256(whole).hexdigest()[:8]
    return f"{whole[: limit - 9].decode('utf-8', 'ignore')}~{digest}"


def _letters(index: int) -> str:
    letters = ""
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters
