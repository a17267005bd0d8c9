# SPDX-License-Identifier: GPL-2.0-or-later
"""The blocks that are compared with a source that has no version."""

from __future__ import annotations

from v2v_core.copying.extents import Ranges
from v2v_core.copying.hashes import BLOCK
from v2v_core.copying.sample import sample


def test_nothing_was_copied() -> None:
    assert sample(Ranges()) == []


def test_only_whole_blocks_are_compared() -> None:
    ranges = Ranges([(BLOCK, 3 * BLOCK), (8 * BLOCK + 512, 4096), (20 * BLOCK - 512, BLOCK + 1024)])
    assert sample(ranges) == [BLOCK, 2 * BLOCK, 3 * BLOCK, 20 * BLOCK]


def test_the_first_and_the_last_block_are_always_among_them() -> None:
    ranges = Ranges([(0, 1000 * BLOCK), (5000 * BLOCK, 1000 * BLOCK)])
    for _ in range(20):
        found = sample(ranges)
        assert (found[0], found[-1]) == (0, 5999 * BLOCK)
        assert 32 <= len(found) <= 34
        assert all(at < 1000 * BLOCK or at >= 5000 * BLOCK for at in found)
