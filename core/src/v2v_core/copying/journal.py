# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal of one disk: which ranges of the destination are written *and flushed*.

It only grows (``journal_file``), and is bound to the source, its version, its size, and the destination. Its records:

``base``
    The ranges hold what the base of the source has there.
``overwrite``
    The ranges are about to be overwritten with what the conversion named last has made of them. They hold the bytes of
    the base no longer, and not yet those of the conversion.
``overlay``
    The ranges hold what that conversion has made of them.
``conversion``
    Names the conversion that the records below are about. What the records above say about another conversion's ranges
    is void: they are tainted until they are written again.
``hashed``
    False if the hashes of the ranges in the same record were not taken.
``unhashed``
    All such ranges, in a journal that was rewritten.
``tainted``
    The ranges may hold anything.

Bytes that were on their way when a process was killed are in no record. That is safe for what is copied from the base:
the range is copied again, or zeroed if the conversion has freed it meanwhile. It would not be for what a conversion has
written where the source has nothing, if another conversion does not write there. So that is announced first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from v2v_core.copying.extents import Ranges
from v2v_core.copying.journal_file import DamagedJournal, JournalFile, Reading, Record, begin_file
from v2v_core.copying.task import CopyPass, CopyTask
from v2v_core.errors import CopyError, SourceChanged

#: A line holds at most so many ranges, so that reading one needs little memory.
_RANGES_OF_A_LINE = 10_000
#: A journal of fewer bytes is never rewritten.
_SHORT = 256 * 1024
#: About what a range needs in the file. A journal is rewritten if it is four times as long as its ranges need.
_RANGE = 32

_Pairs = Iterable[tuple[int, int]]


class Journal:
    """An open journal.

    :param base: ranges that hold, durably, what the base of the source has there.
    :param overlay: ranges that hold, durably, what the overlay of this conversion has there.
    :param tainted: ranges that may hold anything: what another conversion has made of them, for example.
    :param unhashed: ranges that were written, but whose hashes were not taken (``hashes``).
    :param fresh: nothing was written to the destination before this process.
    :param unsure: the source did not say whether its content is still that of which ``base`` speaks. Read some of it
        again and compare before anything is written (``sample``).
    """

    def __init__(self, task: CopyTask) -> None:
        self.base = Ranges()
        self.overlay = Ranges()
        self.tainted = Ranges()
        self.unhashed = Ranges()
        self.fresh = True
        self.unsure = False
        #: What was announced for the conversion named last.
        self._announced = Ranges()
        self._named = ""
        self._task = task
        #: The file has that name already.
        self._is_named = True
        self._file: JournalFile | None = None
        self._lock: int | None = None

    def wrote(self, base: _Pairs, overlay: _Pairs = (), *, hashed: bool = True) -> None:
        """Write down, durably, what was written and flushed.

        :param hashed: the hashes of all of it were taken.
        """
        of_base, of_overlay = list(base), list(overlay)
        self.will_overwrite(
            (offset, length)
            for offset, length in of_overlay
            if self._must_name() or next(self._announced.missing(offset, length), None) is not None
        )
        records = [*_records("base", of_base), *_records("overlay", of_overlay)]
        self._append(records if hashed else [{**record, "hashed": False} for record in records])

    def will_overwrite(self, ranges: _Pairs) -> None:
        """Write down, durably, that ranges are about to be overwritten with what the conversion has made of them.

        Call it before anything that the overlay holds is written, data and zeros alike, and before a block of the base
        is written once more. What was announced already costs nothing.
        """
        naming: list[Record] = [{"conversion": self._task.conversion}] if self._must_name() else []
        news = Ranges(found for found in ranges if naming or not self._is_announced(*found))
        if news:
            self._append([*naming, *_records("overwrite", news)], final=True)
            self._is_named = True

    def may_hold_anything(self, offset: int, length: int) -> bool:
        """Return whether some of a range may hold neither zeros nor the base: what a conversion has made of it, say.

        A copy of the base does not know whether that conversion still counts.
        """
        return self.tainted.overlaps(offset, length) or self._announced.overlaps(offset, length)

    def distrust(self, ranges: _Pairs) -> None:
        """Write down, durably, that it is not known any more what ranges hold."""
        news = Ranges(found for offset, length in ranges for found in self.base.common(offset, length))
        if news:
            self._append(list(_records("tainted", news)), final=True)

    def close(self) -> None:
        """Close the file, and let other processes open it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _must_name(self) -> bool:
        return not self._is_named or self._named != self._task.conversion

    def _is_announced(self, offset: int, length: int) -> bool:
        return (
            next(self._announced.missing(offset, length), None) is None
            and not self.base.overlaps(offset, length)
            and not self.overlay.overlaps(offset, length)
        )

    def _append(self, records: list[Record], *, final: bool = False) -> None:
        if self._file is None:
            raise ValueError("the journal is open for reading only")
        if not records:
            return
        try:
            self._file.append(records, final=final)
        except OSError as err:
            raise _unusable(self._task, err) from err
        for record in records:
            self._apply(record)

    def _read(self, reading: Reading) -> None:
        """Take note of all records of a file."""
        for record in reading.records():
            self._apply(record)
        self.fresh = False
        self.unsure = bool(self.base) and (reading.binding.get("version") is None or self._task.source.version is None)
        if self._task.copy_pass is CopyPass.WHOLE and (not self._named or self._named != self._task.conversion):
            # a conversion without a name may be any
            self._name(self._task.conversion)
            self._is_named = False

    def _apply(self, record: Record) -> None:
        if "conversion" in record:
            self._name(record["conversion"])
        note_hash = self.unhashed.remove if record.get("hashed", True) else self.unhashed.add
        for key in ("tainted", "base", "overwrite", "overlay", "unhashed"):
            flat = record.get(key, ())
            for offset, length in zip(flat[::2], flat[1::2], strict=True):
                self._change(key, offset, length)
                if key in {"base", "overlay"}:
                    note_hash(offset, length)

    def _change(self, key: str, offset: int, length: int) -> None:
        match key:
            case "base":
                self.base.add(offset, length)
                for others in (self.tainted, self.overlay, self._announced):
                    others.remove(offset, length)
            case "overwrite":
                self.base.remove(offset, length)
                self.overlay.remove(offset, length)
                self._announced.add(offset, length)
            case "overlay":
                self.overlay.add(offset, length)
            case "unhashed":
                self.unhashed.add(offset, length)
            case "tainted":
                self.base.remove(offset, length)
                self.tainted.add(offset, length)

    def _name(self, conversion: str) -> None:
        """Begin with another conversion: nothing that was written for the last one counts."""
        for offset, length in self._announced:
            self.tainted.add(offset, length)
        self.overlay, self._announced, self._named = Ranges(), Ranges(), conversion

    def _count(self) -> int:
        return sum(len(ranges) for ranges in (self.base, self.overlay, self.tainted, self._announced, self.unhashed))

    def _compacted(self) -> list[Record]:
        """Return records that say the same as all records until now."""
        return [
            *_records("tainted", self.tainted),
            *_records("base", self.base),
            {"conversion": self._named},
            *_records("overwrite", self._announced),
            *_records("overlay", self.overlay),
            *_records("unhashed", self.unhashed),
        ]


def open_journal(task: CopyTask) -> Journal:
    """Open the journal of a disk, or begin one.

    A journal of another destination is begun anew: nothing in it is true of this one. So is one of another source or
    one that is damaged, but then anything may be in the destination.

    :raises SourceChanged: the source has changed since; its blocks must not be mixed.
    :raises CopyError: another process copies this disk, or the journal cannot be written.
    """
    try:
        task.place.mkdir(mode=0o700, exist_ok=True)
        lock = _locked(task)
        try:
            journal = _opened(task)
        except BaseException:
            os.close(lock)
            raise
    except OSError as err:
        raise _unusable(task, err) from err
    journal._lock = lock
    return journal


def read_journal(path: Path, task: CopyTask) -> Journal | None:
    """Return a journal for reading only; None if there is none for this source and destination, or it is damaged.

    :raises SourceChanged: the source has changed since.
    """
    journal = Journal(task)
    try:
        with path.open("rb") as stream:
            reading = Reading(stream)
            if not _is_of_this_destination(reading.binding, task) or not _is_of_this_source(reading.binding, task):
                return None
            journal._read(reading)
    except (FileNotFoundError, DamagedJournal):
        return None
    return journal


def _opened(task: CopyTask) -> Journal:
    """Read the file and open it for writing. Write a new one first if there is none that is good."""
    binding: Record = _binding(task)
    begin: list[Record] = []
    anything: list[Record] = [{"tainted": [0, task.size]}]
    journal = Journal(task)
    try:
        with task.journal.open("rb") as stream:
            reading = Reading(stream)
            if not _is_of_this_destination(reading.binding, task):
                begin = []
            elif not _is_of_this_source(reading.binding, task):
                begin = anything
            else:
                journal._read(reading)
                if reading.end < max(_SHORT, 4 * _RANGE * journal._count()):
                    journal._file = JournalFile(task.journal, reading)
                    return journal
                # base blocks are those of the version that the journal was begun with
                binding, begin = reading.binding, journal._compacted()
    except FileNotFoundError:
        pass
    except DamagedJournal:
        begin = anything
    if journal._count() == 0:
        # the hashes are of what the journal was about
        task.hashes.unlink(missing_ok=True)
    begin_file(task.journal, binding, begin)
    journal = Journal(task)
    with task.journal.open("rb") as stream:
        reading = Reading(stream)
        journal._read(reading)
    journal.fresh = not begin
    journal._file = JournalFile(task.journal, reading)
    return journal


def _locked(task: CopyTask) -> int:
    """Return a descriptor that keeps other processes from opening the journal.

    The lock is beside the journal, which is replaced when it is rewritten.
    """
    path = task.journal.with_name(f"{task.journal.name}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(descriptor)
        raise CopyError(
            f"disk {task.index} is being copied by another process",
            disk=task.index,
            hint="wait until it has ended; 'v2v resume --take-over' ends it if it hangs",
        ) from err
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _binding(task: CopyTask) -> Record:
    return {
        "source": task.source.identity,
        "version": task.source.version,
        "size": task.size,
        "destination": task.destination.identity,
    }


def _is_of_this_destination(binding: Record, task: CopyTask) -> bool:
    return bool(binding.get("destination") == task.destination.identity)


def _is_of_this_source(binding: Record, task: CopyTask) -> bool:
    """Return whether a journal is about the source of a task.

    :raises SourceChanged: it is, but the source has changed since.
    """
    if binding.get("source") != task.source.identity:
        return False
    then, now = binding.get("version"), task.source.version
    if binding.get("size") != task.size:
        raise _source_changed(task, f"it had {binding.get('size')} bytes, and has {task.size} now")
    if None not in (then, now) and then != now:
        raise _source_changed(task, f"its version was {then}, and is {now} now")
    return True


def _source_changed(task: CopyTask, difference: str) -> SourceChanged:
    """Return the error for a source that is no longer what was copied before."""
    return SourceChanged(
        f"disk {task.index} of the source has changed since a part of it was copied: {difference}",
        hint="see that nothing writes to the source, its guest above all; then start over: remove the conversion "
        "directory with helper-v2v-cleanup, and convert the guest again",
    )


def _unusable(task: CopyTask, err: OSError) -> CopyError:
    return CopyError(
        f"disk {task.index}: the journal of the copy, {task.journal}, cannot be written: {err.strerror or err}",
        disk=task.index,
        hint="give its file system space and check its permissions; then go on with 'v2v resume'",
    )


def _records(key: str, ranges: _Pairs) -> Iterator[Record]:
    """Yield records of ranges, each short enough for one line."""
    flat: list[int] = []
    for offset, length in ranges:
        flat += (offset, length)
        if len(flat) >= 2 * _RANGES_OF_A_LINE:
            yield {key: flat}
            flat = []
    if flat:
        yield {key: flat}
