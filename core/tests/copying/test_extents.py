# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of ranges, against sets of numbers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_core.copying import extents
from v2v_core.copying.extents import Ranges

_DISK = 60
_CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, _DISK), st.integers(0, 20)), max_size=40)


def _bytes(ranges: Iterator[tuple[int, int]]) -> set[int]:
    return {at for offset, length in ranges for at in range(offset, offset + length)}


@pytest.fixture(params=[2, 4, 8192], autouse=True)
def longest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Split the lists of a set early, so that changes go over their borders."""
    monkeypatch.setattr(extents, "_LONGEST", request.param)


@settings(max_examples=300, deadline=None)
@given(_CHANGES, st.integers(0, _DISK), st.integers(0, _DISK))
def test_set_is_what_was_added_and_not_removed(changes: list[tuple[bool, int, int]], offset: int, length: int) -> None:
    ranges, model = Ranges(), set[int]()
    for adding, start, count in changes:
        if adding:
            ranges.add(start, count)
            model |= set(range(start, start + count))
        else:
            ranges.remove(start, count)
            model -= set(range(start, start + count))

    listed = list(ranges)
    asked = set(range(offset, offset + length))
    assert _bytes(iter(listed)) == model
    assert ranges.total == len(model)
    assert len(ranges) == len(listed)
    assert bool(ranges) == bool(model)
    # sorted, and neither overlapping nor touching
    assert all(first[0] + first[1] < second[0] for first, second in itertools.pairwise(listed))
    assert _bytes(ranges.missing(offset, length)) == asked - model
    assert _bytes(ranges.common(offset, length)) == asked & model
    assert ranges.overlaps(offset, length) == bool(asked & model)
    assert list(ranges.copy()) == listed


def test_copy_is_independent() -> None:
    ranges = Ranges([(0, 10)])
    other = ranges.copy()
    other.remove(2, 4)
    assert list(ranges) == [(0, 10)]
    assert list(other) == [(0, 2), (6, 4)]


@pytest.mark.parametrize("order", ["forwards", "shuffled"])
def test_many_ranges_in_any_order(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "_LONGEST", 8192)
    offsets = [number * 131072 for number in range(60_000)]
    if order == "shuffled":
        offsets.sort(key=lambda offset: offset // 131072 * 7919 % 60_000)
    began = time.process_time()
    ranges = Ranges((offset, 65536) for offset in offsets)
    # quadratic behaviour takes minutes
    assert time.process_time() - began < 5
    assert len(ranges) == 60_000
    assert ranges.total == 60_000 * 65536
