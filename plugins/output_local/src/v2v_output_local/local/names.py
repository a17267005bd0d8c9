# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of a guest's files: ``NAME-sda``, ``NAME-sdb`` …, ``NAME.xml``.

A guest can have any name. The names of its files are limited to 255 bytes, contain no slash, and contain nothing that
confuses a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import drive_letters, object_name
from v2v_core.output_files import name_limit

#: Bytes that are reserved for the longest of ``-sdzz``, ``.xml``, ``.yaml``.
_SUFFIX_ROOM = 6


@dataclass(frozen=True, kw_only=True)
class OutputNames:
    """The names of the files of one guest in one directory."""

    directory: Path
    stem: str

    @classmethod
    def of_guest(cls, directory: Path, name: str) -> OutputNames:
        """Make the names of a guest's files.

        Characters that a file name cannot contain become ``_``. A name that is too long is cut between two characters,
        and ends in ``~`` and eight digits of a hash of the whole name: two long names with the same beginning stay
        different.
        """
        return cls(directory=directory, stem=object_name(name, name_limit(directory) - _SUFFIX_ROOM))

    def disk(self, index: int) -> Path:
        """Return the file of a disk, counted from 1: ``NAME-sda`` for the first, ``NAME-sdaa`` for the 27th."""
        return self.directory / f"{self.stem}-sd{drive_letters(index - 1)}"

    def metadata(self, suffix: str = ".xml") -> Path:
        """Return the file that describes the guest."""
        return self.directory / f"{self.stem}{suffix}"
