# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal of one disk: which ranges of the destination are written *and flushed*.

It only grows. Each line has a checksum, so that a journal that was cut at any byte, or whose last blocks were lost,
says less than was done, and never more. It is bound to the source, its version, its size, and the destination::

    CHECKSUM {"source": …, "version": …, "size": …, "destination": …}
    CHECKSUM {"base": [OFFSET, LENGTH, OFFSET, LENGTH, …]}
    CHECKSUM {"taint": [OFFSET, LENGTH, …]}
    CHECKSUM {"overlay": [OFFSET, LENGTH, …], "conversion": …}
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from v2v_core.atomic import sync_directory
from v2v_core.copying.extents import Ranges
from v2v_core.copying.task import CopyTask
from v2v_core.errors import CopyError, SourceError

#: A line holds at most so many ranges, so that reading one needs little memory.
_RANGES_OF_A_LINE = 10_000
_Record = dict[str, Any]


class Journal:
    """An open journal.

    :param base: ranges that hold, durably, what the base of the source has there.
    :param overlay: ranges that hold, durably, what the overlay of this conversion has there.
    :param tainted: ranges that may hold what another conversion has made of them.
    :param fresh: nothing was written to the destination before this process.
    """

    def __init__(self, descriptor: int | None, conversion: str) -> None:
        self.base = Ranges()
        self.overlay = Ranges()
        self.tainted = Ranges()
        self.fresh = True
        self._descriptor = descriptor
        self._conversion = conversion

    def wrote(self, base: Iterable[tuple[int, int]], overlay: Iterable[tuple[int, int]] = ()) -> None:
        """Write down, durably, what was written and flushed."""
        lines: list[_Record] = [{"base": flat} for flat in _flat(base)]
        lines += [{"overlay": flat, "conversion": self._conversion} for flat in _flat(overlay)]
        self._append(lines)

    def will_overwrite(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Write down, durably, that ranges are about to be overwritten: they hold the bytes of the base no longer."""
        self._append([{"taint": flat} for flat in _flat(ranges)])

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def apply(self, record: _Record) -> None:
        """Take note of a line.

        :raises ValueError: it is not one of a journal.
        """
        for key, value in record.items():
            if key in {"base", "taint", "overlay"}:
                for offset, length in _pairs(value):
                    self._apply(key, offset, length, record.get("conversion") == self._conversion)

    def _apply(self, key: str, offset: int, length: int, of_this_conversion: bool) -> None:
        if key == "base":
            self.base.add(offset, length)
            self.tainted.remove(offset, length)
        elif key == "taint":
            self.base.remove(offset, length)
            self.overlay.remove(offset, length)
            self.tainted.add(offset, length)
        elif of_this_conversion:
            self.overlay.add(offset, length)

    def _append(self, records: list[_Record]) -> None:
        if self._descriptor is None:
            raise ValueError("the journal is open for reading only")
        if not records:
            return
        data = memoryview(b"".join(_line(record) for record in records))
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fdatasync(self._descriptor)
        for record in records:
            self.apply(record)


def open_journal(task: CopyTask) -> Journal:
    """Open the journal of a disk, or begin one.

    A journal of another destination is begun anew: nothing in it is true of this one.

    :raises SourceError: the source has changed since; its blocks must not be mixed.
    :raises CopyError: another process copies this disk.
    """
    task.place.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(task.journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise CopyError(
                f"disk {task.index} is being copied by another process",
                disk=task.index,
                hint="wait until it has ended",
            ) from err
        records, end = _read(descriptor)
        journal = Journal(descriptor, task.conversion)
        if not records or not _is_about(records[0], task):
            os.ftruncate(descriptor, 0)
            journal._append([_binding(task)])
            sync_directory(task.place)
            return journal
        # what a crash has cut short is never completed
        os.ftruncate(descriptor, end)
        journal.fresh = False
        for record in records[1:]:
            journal.apply(record)
    except BaseException:
        os.close(descriptor)
        raise
    return journal


def read_journal(path: Path, task: CopyTask) -> Journal | None:
    """Return a journal for reading only; None if there is none for this source and destination.

    :raises SourceError: the source has changed since.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        records, _ = _read(descriptor)
    finally:
        os.close(descriptor)
    if not records or not _is_about(records[0], task):
        return None
    journal = Journal(None, task.conversion)
    journal.fresh = False
    for record in records[1:]:
        journal.apply(record)
    return journal


def _binding(task: CopyTask) -> _Record:
    return {
        "source": task.source.identity,
        "version": task.source.version,
        "size": task.size,
        "destination": task.destination.identity,
    }


def _is_about(bound: _Record, task: CopyTask) -> bool:
    """Return whether a journal with this first line is about the destination of a task.

    :raises SourceError: it is, but what was copied there comes from another source.
    """
    now = _binding(task)
    if bound.get("destination") != now["destination"]:
        return False
    different = [key for key in ("source", "size", "version") if bound.get(key) != now[key]]
    if different:
        key = different[0]
        raise SourceError(
            f"disk {task.index} of the source has changed since a part of it was copied: its {key} was "
            f"{bound.get(key)}, and is {now[key]} now",
            hint="start over: remove the conversion directory with helper-v2v-cleanup, and convert the guest again",
        )
    return True


def _line(record: _Record) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _flat(ranges: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield the numbers of ranges, as many as fit into one line."""
    flat: list[int] = []
    for offset, length in ranges:
        flat += (offset, length)
        if len(flat) >= 2 * _RANGES_OF_A_LINE:
            yield flat
            flat = []
    if flat:
        yield flat


def _pairs(flat: Any) -> Iterator[tuple[int, int]]:
    if not isinstance(flat, list) or len(flat) % 2 or not all(isinstance(number, int) for number in flat):
        raise ValueError("not a list of ranges")
    return zip(flat[::2], flat[1::2], strict=True)


def _read(descriptor: int) -> tuple[list[_Record], int]:
    """Return the lines of a journal that are whole, and where they end.

    A line that is damaged is the last one that counts if a crash has cut it short. If others come after it, the file
    was damaged later. What it has lost may be that a range was overwritten, so nothing in it counts.
    """
    records: list[_Record] = []
    end = 0
    damaged = False
    with contextlib.closing(os.fdopen(os.dup(descriptor), "rb")) as stream:
        stream.seek(0)
        for line in stream:
            record = _parsed(line)
            if record is None:
                damaged = True
            elif damaged:
                return [], 0
            else:
                records.append(record)
                end += len(line)
    return records, end


def _parsed(line: bytes) -> _Record | None:
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
