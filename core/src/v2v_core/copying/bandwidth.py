# SPDX-License-Identifier: GPL-2.0-or-later
"""A limit of the rate at which all disks of a run are copied together, shared by the copy processes through a file.

The file holds the time at which the next byte may be read. Each process takes its bytes by moving that time on, under
a lock of the file, which the kernel gives back if the process is killed. So the sum over all processes is exact, and
nothing has to be shared out among them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core.atomic import write_atomically

if TYPE_CHECKING:
    # the process that copies a disk starts without all that this needs
    from v2v_core.settings import CopyChoice

#: The file in the directory of copies.
_NAME = "bandwidth"
#: Before the path of the user's file: magic; the next free time, and when the user's file was looked at (ns of
#: CLOCK_MONOTONIC); the rate now, and that of ``--bandwidth`` (bits per second, 0 for no limit); mtime (ns) and inode
#: of the user's file as it was read.
_HEAD = struct.Struct("<8s6Q")
_MAGIC = b"v2vrate1"
_SECOND = 1_000_000_000
#: Nanoseconds between two looks at the file of the user.
_LOOK = _SECOND
#: Bytes are taken for at most so long at once: a process that is killed wastes no more, and a new rate counts soon.
_SLICE = _SECOND // 4
#: What was not used up to so long ago may be used now, so that a late wake-up costs nothing.
_BURST = _SECOND // 20
#: A time that is further away is of an earlier boot, or of a much lower rate.
_FAR = 600 * _SECOND
#: Seconds to wait for the lock. A process that was frozen while it held the lock must not stop the others.
_PATIENCE = 2.0
#: The inode of a file of the user that could not be opened.
_UNREADABLE = 2**64 - 1
#: Bytes of the user's file that are read.
_LONGEST = 1024
#: Bits per second. A lower rate is a rate whose unit was forgotten.
_LEAST = 1000
_MOST = 10**15
_BITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_rate(text: str) -> int:
    """Return a rate in bits per second; 0 means no limit.

    ``10M`` and ``10Mbit/s`` are ten million bits per second: like nbdkit and virt-v2v, a number without a unit counts
    bits. ``50MB/s`` and ``50MiB/s`` are bytes.

    :raises ValueError: it is no rate; the message says why, and names no option.
    """
    match = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:([kmgt]?)(?:bits?/s|bits?|bps)?|([kmgt]i?|)(B/s|B))",
        re.sub(r"(?i)(?<=\d)\s*([kmgt])", lambda found: found[1].lower(), text.strip()),
    )
    if match is None:
        raise ValueError(
            f"{text.strip()[:40]!r} is not a rate, as in 10M (bits per second) or 50MB/s (bytes per second)"
        )
    number, bits, unit, is_bytes = match.groups()
    rate = int(float(number) * (8 * _BYTES[unit] if is_bytes else _BITS[bits]))
    if rate and not _LEAST <= rate <= _MOST:
        what = "high" if rate > _MOST else "low"
        raise ValueError(f"{text.strip()!r} is too {what}: a number alone counts bits per second, 10M is 10 Mbit/s")
    return rate


def share_rate(place: Path, choice: CopyChoice) -> Path | None:
    """Write the file that the copy processes of a run share, and return it; None if the user wants no limit.

    What is left of an earlier copy is replaced: its processes, if there are any left, no longer count.

    :param place: the directory of the copies.
    """
    if choice.bandwidth is None and choice.bandwidth_file is None:
        return None
    user = b"" if choice.bandwidth_file is None else os.fsencode(choice.bandwidth_file.absolute())
    fixed = choice.bandwidth or 0
    shared = place / _NAME
    for path in (shared, of_reading_back(shared)):
        write_atomically(path, _State(rate=fixed, fixed=fixed).pack() + user)
    return shared


def of_reading_back(shared: Path) -> Path:
    """Return the file that limits what is read back from the destinations: it is another direction."""
    return shared.with_name(f"{shared.name}.back")


@dataclass(frozen=True, kw_only=True)
class _State:
    free: int = 0
    looked: int = 0
    rate: int = 0
    fixed: int = 0
    modified: int = 0
    inode: int = 0

    def pack(self) -> bytes:
        """Return it as the file has it."""
        return _HEAD.pack(_MAGIC, self.free, self.looked, self.rate, self.fixed, self.modified, self.inode)

    @classmethod
    def unpack(cls, data: bytes) -> _State:
        """Read what ``pack`` returned."""
        _magic, free, looked, rate, fixed, modified, inode = _HEAD.unpack(data)
        return cls(free=free, looked=looked, rate=rate, fixed=fixed, modified=modified, inode=inode)


class Bandwidth:
    """Holds back a copy process so that all of them together stay below the rate. Several threads may use it at once.

    :param warn: is called with a warning if the file of the user has no rate: once for each time that it changes, in
        one of the processes.
    :param stop: ends all waiting when it is set.
    """

    def __init__(
        self,
        shared: Path | None,
        *,
        warn: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Open the shared file; None for no limit.

        :raises OSError: it cannot be opened.
        """
        self._warn = warn
        self._stop = stop or threading.Event()
        # flock(2) belongs to an open file: threads of one process need a lock of their own. Only one of them has taken
        # bytes ahead of its time at any moment, so that a new rate counts soon.
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._patience = _PATIENCE
        self._user: Path | None = None
        self._descriptor: int | None = None
        if shared is None:
            return
        self._descriptor = os.open(shared, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        data = os.pread(self._descriptor, _HEAD.size + os.pathconf("/", "PC_PATH_MAX"), 0)
        if not data.startswith(_MAGIC):
            self.close()
            raise OSError(f"{shared} is damaged")
        if len(data) > _HEAD.size:
            self._user = Path(os.fsdecode(data[_HEAD.size :]))

    def wait_for(self, count: int) -> None:
        """Wait until ``count`` more bytes may be read. It returns early if ``stop`` is set."""
        if self._descriptor is None:
            return
        with self._turn:
            while count > 0 and not self._stop.is_set():
                taken, until = self._take(count)
                count -= taken
                while not self._stop.is_set() and (left := until - time.monotonic_ns()) > 0:
                    self._stop.wait(min(left / _SECOND, 0.5))

    def close(self) -> None:
        """Close the file. Nothing is held back afterwards."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def _take(self, count: int) -> tuple[int, int]:
        """Take some of ``count`` bytes; return how many, and the time at which they may be read."""
        warning = None
        with self._lock:
            if self._descriptor is None:
                return count, 0
            with self._locked(self._descriptor):
                now = time.monotonic_ns()
                state = _State.unpack(os.pread(self._descriptor, _HEAD.size, 0))
                if self._user is not None and not 0 <= now - state.looked < _LOOK:
                    state, warning = _read_again(self._user, replace(state, looked=now))
                taken = count
                if state.rate:
                    taken = max(1, min(count, state.rate * _SLICE // (8 * _SECOND)))
                    earliest = state.free if now - _BURST <= state.free < now + _FAR else now - _BURST
                    state = replace(state, free=max(earliest, now - _BURST) + taken * 8 * _SECOND // state.rate)
                os.pwrite(self._descriptor, state.pack(), 0)
        if warning is not None and self._warn is not None:
            self._warn(warning)
        return taken, state.free if state.rate else 0

    @contextlib.contextmanager
    def _locked(self, descriptor: int) -> Iterator[None]:
        """Hold the lock of the shared file, or go on without it where its holder does not give it back."""
        end = time.monotonic() + self._patience
        held = False
        while not held:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() > end:
                    # the holder is frozen; do not wait for it again and again
                    self._patience = 0.0
                    break
                time.sleep(0.001)
        try:
            yield
        finally:
            if held:
                fcntl.flock(descriptor, fcntl.LOCK_UN)


def _read_again(path: Path, state: _State) -> tuple[_State, str | None]:
    """Read the file of the user if it has changed; return the state, and a warning if the file has no rate.

    A file that is missing or empty does not limit the copy: the rate is then that of ``--bandwidth``.
    """
    try:
        # a pipe without a writer must not stop the copy
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return replace(state, rate=state.fixed, modified=0, inode=0), None
    except OSError as err:
        known = state.inode == _UNREADABLE
        warning = f"{path} cannot be read ({err.strerror}): {_as_before(state)}"
        return replace(state, modified=0, inode=_UNREADABLE), None if known else warning
    try:
        about = os.fstat(descriptor)
        modified, inode = about.st_mtime_ns % 2**64, about.st_ino % 2**64
        if (modified, inode) == (state.modified, state.inode):
            return state, None
        state = replace(state, modified=modified, inode=inode)
        return replace(state, rate=_rate_in(descriptor, about) or state.fixed), None
    except (OSError, ValueError) as err:
        return state, f"{path}: {err}: {_as_before(state)}"
    finally:
        os.close(descriptor)


def _rate_in(descriptor: int, about: os.stat_result) -> int:
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("not a regular file")
    text = os.read(descriptor, _LONGEST).decode("utf-8", "replace").strip()
    return parse_rate(text) if text else 0


def _as_before(state: _State) -> str:
    return f"the limit stays {state.rate / 1e6:g} Mbit/s" if state.rate else "the copy goes on without a limit"
