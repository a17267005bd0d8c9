# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of a journal: lines with checksums, of which only the last ones can be lost without harm.

::

    CHECKSUM {"format": 1, "source": …, "version": …, "size": …, "destination": …}
    CHECKSUM {"turn": "00000000000000000001", "final": "00000000000000000345"}
    CHECKSUM {"turn": "00000000000000000002", "final": "00000000000000005678"}
    CHECKSUM {"base": [OFFSET, LENGTH, OFFSET, LENGTH, …]}
    …

The checksum of a record covers the records before it, too, so nothing counts from the first damaged line on.

What a lost record says to be written is written again: that does no harm. But a record that *takes back* what an
earlier one says must not be lost once it was acted on. Such records are final: the two lines with a turn, which are
overwritten alternately, say how long the file was with the last one of them. If its valid lines end before that,
nothing in the file can be believed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from v2v_core.atomic import write_atomically

Record = dict[str, Any]

_FORMAT = 1
#: Bytes of a checksum.
_CHECKSUM = 8
#: What lines that stand alone are linked to.
_ALONE = bytes(_CHECKSUM)
#: No line is longer. A damaged file may have no line ends.
_LONGEST_LINE = 2 * 1024 * 1024


class DamagedJournal(Exception):
    """The file has lost what it must not lose, so that nothing in it can be believed."""


class Reading:
    """The records of a file, read one after the other.

    :param binding: its first line.
    :raises DamagedJournal: it does not even have its first lines.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        first = stream.readline(_LONGEST_LINE)
        found = _parsed(first, _ALONE)
        if found is None or found[0].get("format") != _FORMAT:
            raise DamagedJournal
        self.binding, self.link = found
        self.turns_at = len(first)
        turns = [_parsed(stream.readline(_LONGEST_LINE), _ALONE) for _ in range(2)]
        valid = [(int(turn[0]["turn"]), int(turn[0]["final"])) for turn in turns if turn is not None]
        if not valid:
            raise DamagedJournal
        self.turn, self.final = max(valid)
        self.end = self.turns_at + 2 * len(_turn(0, 0))

    def records(self) -> Iterator[Record]:
        """Yield the records that are valid. Then ``end`` is where they end, and ``link`` what the next is linked to.

        :raises DamagedJournal: final ones are missing.
        """
        self._stream.seek(self.end)
        while (line := self._stream.readline(_LONGEST_LINE)) and (found := _parsed(line, self.link)) is not None:
            record, self.link = found
            self.end += len(line)
            yield record
        if self.end < self.final:
            raise DamagedJournal


class JournalFile:
    """A file that is open for writing. No other process has it open for writing, the caller sees to that."""

    def __init__(self, path: Path, reading: Reading) -> None:
        """Open a file behind its last valid record.

        :param reading: all its records were read with this.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._end, self._link = reading.end, reading.link
        self._turns_at, self._turn = reading.turns_at, reading.turn
        os.ftruncate(self._descriptor, self._end)

    def append(self, records: Iterable[Record], *, final: bool) -> None:
        """Add records, durably.

        :param final: they take back what earlier ones say, and will be acted on.
        :raises OSError: they could not be written, and do not count.
        """
        link, end = self._link, self._end
        for record in records:
            line, link = _line(record, link)
            _write(self._descriptor, line, end)
            end += len(line)
        os.fdatasync(self._descriptor)
        if final:
            turn = self._turn + 1
            line = _turn(turn, end)
            _write(self._descriptor, line, self._turns_at + turn % 2 * len(line))
            os.fdatasync(self._descriptor)
            self._turn = turn
        self._link, self._end = link, end

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def begin_file(path: Path, binding: Record, records: Iterable[Record] = ()) -> None:
    """Write a new file, or replace one, durably and as a whole. All records that it has then are final.

    :raises OSError: it cannot be written.
    """
    head, link = _line({"format": _FORMAT, **binding}, _ALONE)
    body = bytearray()
    for record in records:
        line, link = _line(record, link)
        body += line
    end = len(head) + 2 * len(_turn(0, 0)) + len(body)
    write_atomically(path, head + _turn(0, end) + _turn(1, end) + body)


def _turn(turn: int, final: int) -> bytes:
    """Return one of the two lines that are overwritten alternately; all are equally long."""
    return _line({"turn": f"{turn:020}", "final": f"{final:020}"}, _ALONE)[0]


def _line(record: Record, link: bytes) -> tuple[bytes, bytes]:
    """Return a line, and what the line behind it is linked to."""
    text = json.dumps(record, separators=(",", ":")).encode()
    checksum = hashlib.blake2b(link + text, digest_size=_CHECKSUM).digest()
    return b"%s %s\n" % (checksum.hex().encode(), text), checksum


def _parsed(line: bytes, link: bytes) -> tuple[Record, bytes] | None:
    """Return the record of a line, and what the line behind it is linked to; None if it is damaged."""
    given, _, text = line.partition(b" ")
    if not text.endswith(b"\n"):
        return None
    checksum = hashlib.blake2b(link + text[:-1], digest_size=_CHECKSUM).digest()
    if given != checksum.hex().encode():
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return (record, checksum) if isinstance(record, dict) else None


def _write(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
