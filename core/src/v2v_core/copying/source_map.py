# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of a source: its extents, asked for once and in pieces, as its server or its file system knows them.

Over NBD, ``base:allocation`` says which ranges read as zeros, and ``qemu:allocation-depth`` which ones the overlay
holds (the NBD protocol, doc/proto.md; qemu-nbd(8)).
"""

from __future__ import annotations

import contextlib
import itertools
import time
from array import array
from collections.abc import Iterator
from typing import Any

from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.task import CopyTask
from v2v_core.errors import SourceError

#: Bytes that are asked about at once. Lengths in NBD have 32 bits, and some servers examine each block.
_ASK = 1024 * 1024 * 1024
_ALLOCATION = "base:allocation"
_DEPTH = "qemu:allocation-depth"
#: The flag of an extent that reads as zeros (NBD_STATE_ZERO).
_ZERO = 2
#: The depth of what the top image holds itself.
_TOP = 1
_ALL = 1 << 62


class SourceMap:
    """The extents of a disk, in order, in little memory: 9 bytes for each."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._starts = array("Q")
        self._kinds = bytearray()
        self._end = 0

    def append(self, length: int, kind: Kind) -> None:
        """Add the next extent."""
        if not self._kinds or self._kinds[-1] != kind:
            self._starts.append(self._end)
            self._kinds.append(kind)
        self._end += length

    def __iter__(self) -> Iterator[Piece]:
        """Yield the extents from offset 0 to the end of the disk, without gaps; neighbours differ in kind."""
        for start, end, kind in self.extents():
            yield Piece(start, end - start, kind)

    def extents(self) -> Iterator[tuple[int, int, Kind]]:
        """Yield start, end and kind of each extent, as fast as possible."""
        kinds = tuple(Kind)
        ends = itertools.chain(itertools.islice(self._starts, 1, None), (self._end,))
        for start, end, kind in zip(self._starts, ends, self._kinds, strict=False):
            yield start, end, kinds[kind]

    def __len__(self) -> int:
        """Return the number of extents."""
        return len(self._kinds)


def read_map(task: CopyTask) -> SourceMap:
    """Ask the source of a task for its extents.

    :raises SourceError: it does not answer.
    """
    import nbd

    handle = nbd.NBD()
    found = SourceMap(task.size)
    try:
        handle.add_meta_context(_ALLOCATION)
        if task.source.overlay:
            handle.add_meta_context(_DEPTH)
        handle.set_uri_allow_local_file(True)
        handle.connect_uri(task.source.uri)
        knows_depth = task.source.overlay and bool(handle.can_meta_context(_DEPTH))
        if not handle.can_meta_context(_ALLOCATION) and not knows_depth:
            # nothing is known about it, so all of it is data
            found.append(task.size, Kind.OVERLAY)
            return found
        at = 0
        while at < task.size:
            at += _append(found, _ask(handle, at, min(_ASK, task.size - at), task), task.size - at, knows_depth)
    except nbd.Error as err:
        raise SourceError(
            f"disk {task.index}: the source does not say which of its extents hold data: {err.string}",
            hint="the logs of the servers in1, in2 … and base1, base2 … say what went wrong",
        ) from err
    finally:
        with contextlib.suppress(nbd.Error):
            handle.shutdown()
    return found


def _ask(handle: Any, offset: int, length: int, task: CopyTask) -> dict[str, list[int]]:
    """Ask for the extents of a range; return lengths and flags in turn, by the name of the metadata context.

    :raises SourceError: no answer in time.
    """
    answers: dict[str, list[int]] = {}

    def take(context: str, _offset: int, words: list[int], _error: Any) -> None:
        answers[context] = words

    deadline = time.monotonic() + task.limits.request_seconds
    cookie = handle.aio_block_status(length, offset, take)
    while not handle.aio_command_completed(cookie):
        if time.monotonic() > deadline:
            raise SourceError(
                f"disk {task.index}: the source has not said for {task.limits.request_seconds:.0f} seconds which of "
                f"its extents hold data, at offset {offset}",
                hint="check that it runs and is reachable; --request-timeout waits longer",
            )
        handle.poll(500)
    return answers


def _append(found: SourceMap, answers: dict[str, list[int]], most: int, knows_depth: bool) -> int:
    """Add what a server has answered, as far as all its answers reach; return how many bytes that is."""
    allocation = answers.get(_ALLOCATION) or [_ALL, 0]
    depth = answers.get(_DEPTH) or [_ALL, 0]
    data, zero = (Kind.BASE, Kind.ZERO) if knows_depth else (Kind.OVERLAY, Kind.OVERLAY_ZERO)
    done = first = second = 0
    left_first, left_second = allocation[0], depth[0]
    while done < most:
        step = min(left_first, left_second, most - done)
        is_zero = bool(allocation[first + 1] & _ZERO)
        if knows_depth and depth[second + 1] == _TOP:
            found.append(step, Kind.OVERLAY_ZERO if is_zero else Kind.OVERLAY)
        else:
            found.append(step, zero if is_zero else data)
        done += step
        left_first, left_second = left_first - step, left_second - step
        if not left_first:
            first += 2
            if first >= len(allocation):
                break
            left_first = allocation[first]
        if not left_second:
            second += 2
            if second >= len(depth):
                break
            left_second = depth[second]
    return done
