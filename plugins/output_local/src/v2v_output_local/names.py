# SPDX-License-Identifier: GPL-2.0-or-later
"""What the files of a guest are called: ``NAME-sda``, ``NAME-sdb`` …, ``NAME.xml``.

A guest can have any name. Its files cannot: 255 bytes, no slash, nothing that confuses a terminal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import cut_name, name_limit

#: ``/`` and NUL cannot be in a name; control characters, and bytes that are no UTF-8, should not be.
_REPLACED = re.compile("[/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
#: Room for the longest of ``-sdzz``, ``.xml``, ``.yaml``.
_SUFFIX_ROOM = 6


@dataclass(frozen=True, kw_only=True)
class OutputNames:
    """The names of the files of one guest in one directory."""

    directory: Path
    stem: str

    @classmethod
    def of_guest(cls, directory: Path, name: str) -> OutputNames:
        """Make the names of a guest's files.

        What cannot be in a file name becomes ``_``. A name that is too long is cut between two characters and gets a
        ``~`` and eight digits made from the whole of it, so that two long names that begin alike stay different.
        """
        stem = cut_name(_REPLACED.sub("_", name), name_limit(directory) - _SUFFIX_ROOM)
        return cls(directory=directory, stem=stem if stem.strip() else "unnamed")

    def disk(self, index: int) -> Path:
        """Give the file of a disk, counted from 1: ``NAME-sda`` for the first, ``NAME-sdaa`` for the 27th."""
        return self.directory / f"{self.stem}-sd{_letters(index)}"

    def metadata(self, suffix: str = ".xml") -> Path:
        """Give the file that describes the guest."""
        return self.directory / f"{self.stem}{suffix}"


def _letters(index: int) -> str:
    letters = ""
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters
