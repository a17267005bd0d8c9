# SPDX-License-Identifier: GPL-2.0-or-later
"""Which ranges of a destination were read back and were right, so that no later process reads them once more.

It is a file of lines beside the journal, and is true of the destination that the journal is about::

    (the first line of the journal)
    CHECKSUM + OFFSET LENGTH
    CHECKSUM - OFFSET LENGTH        (it is written again)
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from v2v_core.copying.extents import Ranges
from v2v_core.copying.task import CopyTask

#: Bytes of the first line of a journal.
_LONGEST_LINE = 1024 * 1024


class Compared:
    """The ranges, and the file that remembers them. Where there is no file, they are only remembered here."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.ranges = Ranges()
        self._descriptor = descriptor

    def add(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Take note that ranges are right."""
        self._note("+", ranges)

    def remove(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Take note, durably, that ranges are written again. Call it before the journal says that they were."""
        known = [part for offset, length in ranges for part in self.ranges.common(offset, length)]
        if known:
            self._note("-", known)
            if self._descriptor is not None:
                os.fdatasync(self._descriptor)

    def apply(self, sign: str, offset: int, length: int) -> None:
        """Take note of a line."""
        change = self.ranges.add if sign == "+" else self.ranges.remove
        change(offset, length)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _note(self, sign: str, ranges: Iterable[tuple[int, int]]) -> None:
        noted = list(ranges)
        if self._descriptor is not None:
            data = memoryview(b"".join(_line(sign, *one) for one in noted))
            while data:
                data = data[os.write(self._descriptor, data) :]
        for offset, length in noted:
            self.apply(sign, offset, length)


def open_compared(task: CopyTask) -> Compared:
    """Open what is known about a destination, or begin anew. The journal must be open already.

    :raises OSError: the file cannot be written.
    """
    with task.journal.open("rb") as stream:
        about = stream.readline(_LONGEST_LINE)
    descriptor = os.open(_path(task), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    compared = Compared(descriptor)
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        stream.seek(0)
        end = len(about) if stream.readline(_LONGEST_LINE) == about else 0
        for line in stream if end else ():
            words = _words(line)
            if words is not None:
                compared.apply(*words)
                end += len(line)
                continue
            if next(stream, None) is not None:
                # not cut short by a crash, but damaged later: what is lost may be that a range was written again
                compared.ranges, end = Ranges(), 0
            break
    os.ftruncate(descriptor, end)
    if not end:
        os.write(descriptor, about)
    return compared


def forget_compared(task: CopyTask) -> None:
    """Forget what is known. A process that writes and does not compare calls this first."""
    _path(task).unlink(missing_ok=True)


def _path(task: CopyTask) -> Path:
    return task.place / f"compared{task.index}"


def _line(sign: str, offset: int, length: int) -> bytes:
    text = f"{sign} {offset} {length}".encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _words(line: bytes) -> tuple[str, int, int] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    sign, offset, length = text.decode("ascii").split()
    return sign, int(offset), int(length)
