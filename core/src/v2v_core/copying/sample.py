# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples of what was copied earlier, for sources that have no version, such as the NBD server of another program."""

from __future__ import annotations

import itertools
import random
import time
from bisect import bisect_right
from functools import partial

from v2v_core.copying.extents import Ranges
from v2v_core.copying.hashes import BLOCK, HashFile
from v2v_core.copying.job import CopyFailed, pause
from v2v_core.copying.journal import Journal
from v2v_core.copying.messages import Cause
from v2v_core.copying.nbd_end import Lost, NbdEnd, answer_of
from v2v_core.copying.task import CopyTask

#: Blocks that are compared, beside the first and the last one.
_SAMPLE = 32


def compare_sample(task: CopyTask, journal: Journal, hashes: HashFile | None) -> None:
    """Compare some blocks that were copied earlier with a source that cannot say whether it has changed.

    What was copied without hashes cannot be compared. It is copied again.

    :raises CopyFailed: the source is not what was copied before.
    """
    if hashes is None:
        journal.distrust(journal.base)
        return
    journal.distrust(journal.unhashed)
    end = NbdEnd(task.source.base or task.source.uri, Cause.SOURCE, task.limits)
    buffer = memoryview(bytearray(BLOCK))
    try:
        for at in sample(journal.base):
            if not hashes.known(at):
                continue
            _read_again_and_again(end, at, buffer, task.limits.retries)
            if hashes.matches(at, buffer):
                raise CopyFailed(
                    f"the source has changed since a part of it was copied, at byte {at}", Cause.CHANGED, offset=at
                )
    finally:
        end.close()


def sample(ranges: Ranges) -> list[int]:
    """Return the offsets of the first, the last, and some random blocks that are wholly in a set."""
    inside = [(-(-offset // BLOCK), (offset + length) // BLOCK) for offset, length in ranges]
    inside = [(first, stop) for first, stop in inside if first < stop]
    if not inside:
        return []
    # each block is as likely as any other
    counts = list(itertools.accumulate(stop - first for first, stop in inside))
    chosen = {0, counts[-1] - 1, *random.sample(range(counts[-1]), min(_SAMPLE, counts[-1]))}
    return [
        (inside[at := bisect_right(counts, number)][1] - (counts[at] - number)) * BLOCK for number in sorted(chosen)
    ]


def _read_again_and_again(end: NbdEnd, offset: int, buffer: memoryview, retries: int) -> None:
    """Fill a buffer; try again if that fails.

    :raises CopyFailed: it failed too often.
    """
    for failures in itertools.count():
        try:
            answer_of(end, partial(end.read, offset, buffer))
        except (Lost, OSError) as err:
            if failures >= retries:
                raise CopyFailed(
                    f"the source cannot be read at byte {offset}: {err}", Cause.SOURCE, offset=offset
                ) from err
            time.sleep(pause(failures))
        else:
            return
