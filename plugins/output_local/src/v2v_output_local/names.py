# SPDX-License-Identifier: GPL-2.0-or-later
"""What the files of a guest are called: ``NAME-sda``, ``NAME-sdb`` …, ``NAME.xml``.

A guest can have any name. Its files cannot: 255 bytes, no slash, nothing that confuses a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import drive_letters, object_name
from v2v_core.output_files import name_limit

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
        return cls(directory=directory, stem=object_name(name, name_limit(directory) - _SUFFIX_ROOM))

    def disk(self, index: int) -> Path:
        """Give the file of a disk, counted from 1: ``NAME-sda`` for the first, ``NAME-sdaa`` for the 27th."""
        return self.directory / f"{self.stem}-sd{drive_letters(index - 1)}"

    def metadata(self, suffix: str = ".xml") -> Path:
        """Give the file that describes the guest."""
        return self.directory / f"{self.stem}{suffix}"
