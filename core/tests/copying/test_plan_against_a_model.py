# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes over a model of a disk, killed at any piece, with journals that are cut at any byte.

Whatever happened, the last whole pass must make the destination equal to the converted disk.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_core.copying import plan as plan_module
from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.journal import Journal, open_journal
from v2v_core.copying.plan import CopyPlan, make_plan
from v2v_core.copying.source_map import SourceMap
from v2v_core.copying.task import CopyPass, CopyTask, DestinationEnd, SourceEnd

#: Bytes of a block of the model.
_BLOCK = 4


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block be a few bytes, and write nothing durably: the model knows by itself what a crash leaves."""
    monkeypatch.setattr(plan_module, "BLOCK", _BLOCK)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


class _Killed(Exception):
    """The process was killed."""


class _Model:
    """A source with an overlay, a destination, and what happens to them."""

    def __init__(self, chance: random.Random, place: Path) -> None:
        self.chance = chance
        self.size = chance.randrange(1, 60)
        self.base = bytes(self._pattern())
        self.overlay: dict[int, int] = {}
        self.trimmed: set[int] = set()
        self.token = 1
        #: The conversion has ended, and changes nothing more.
        self.ended = False
        zeroed = chance.random() < 0.7
        self.out = bytearray(self.size if zeroed else self._pattern())
        self.has_depth = chance.random() < 0.8
        self.task = CopyTask(
            index=1,
            size=self.size,
            source=SourceEnd(uri="in", base="base", overlay=True, identity="a", version="1"),
            destination=DestinationEnd(
                uri="out",
                identity="b",
                zeroed=zeroed,
                allocation=chance.choice(["sparse", "preallocated"]),
            ),
            place=place,
        )

    def _pattern(self) -> list[int]:
        """Return runs of zeros and of data."""
        found: list[int] = []
        while len(found) < self.size:
            value = self.chance.choice([0, 0, self.chance.randrange(1, 256)])
            found += [value] * self.chance.choice([1, 2, 3, _BLOCK, 2 * _BLOCK, 5 * _BLOCK])
        return found[: self.size]

    @property
    def converted(self) -> bytes:
        return bytes(self.overlay.get(at, self.base[at]) for at in range(self.size))

    def convert(self) -> None:
        """Write or trim a part of the disk, as the conversion does."""
        start = self.chance.randrange(self.size)
        end = min(self.size, start + self.chance.choice([1, 2, _BLOCK, 3 * _BLOCK]))
        if self.chance.random() < 0.6:
            start, end = start - start % _BLOCK, min(self.size, -(-end // _BLOCK) * _BLOCK)
        trim, value = self.chance.random() < 0.4, self.chance.choice([0, self.chance.randrange(1, 256)])
        for at in range(start, end):
            self.overlay[at] = 0 if trim else value
            (self.trimmed.add if trim else self.trimmed.discard)(at)

    def lose_the_overlay(self) -> None:
        self.overlay, self.trimmed = {}, set()
        self.token += 1
        self.ended = False

    def map(self) -> SourceMap:
        found = SourceMap(self.size)
        for at in range(self.size):
            if not self.has_depth:
                zero = at in self.trimmed or (at not in self.overlay and not self.base[at])
                found.append(1, Kind.OVERLAY_ZERO if zero else Kind.OVERLAY)
            elif at in self.overlay:
                found.append(1, Kind.OVERLAY_ZERO if at in self.trimmed else Kind.OVERLAY)
            else:
                found.append(1, Kind.BASE if self.base[at] else Kind.ZERO)
        return found

    def copy(self, which: CopyPass, *, kill: bool) -> CopyPlan:
        """Run a pass, to its end or until it is killed. Return its plan.

        :raises _Killed: it was killed.
        """
        token = "" if which is CopyPass.BASE else f"c{self.token}"
        self.ended = self.ended or which is CopyPass.WHOLE
        task = replace(self.task, copy_pass=which, conversion=token)
        journal = open_journal(task)
        try:
            plan = make_plan(task, self.map(), journal)
            pieces = list(plan.pieces(self.chance.choice([1, 2, 4]) * _BLOCK))
            _check(plan, pieces)
            left = self.chance.randrange(len(pieces) + 1) if kill else None
            if self.chance.random() < 0.5:
                journal.will_overwrite(plan.overwritten())
            self._write(journal, pieces, which, left)
            if kill:
                raise _Killed
        finally:
            journal.close()
        return plan

    def _write(self, journal: Journal, pieces: list[Piece], which: CopyPass, left: int | None) -> None:
        batch: list[Piece] = []
        before = bytes(self.out)
        for number, piece in enumerate(pieces):
            if left is not None and number >= left:
                self._crash(before, piece, which)
                raise _Killed
            if not self.ended and self.chance.random() < 0.3:
                self.convert()
            if not piece.kind.of_the_base:
                journal.will_overwrite([(piece.offset, piece.length)])
            self._write_piece(piece, which)
            batch.append(piece)
            if self.chance.random() < 0.3:
                _write_down(journal, batch)
                batch, before = [], bytes(self.out)
        _write_down(journal, batch)

    def _write_piece(self, piece: Piece, which: CopyPass) -> None:
        source = self.base if which is CopyPass.BASE else self.converted
        data = source[piece.offset : piece.end] if piece.kind.is_data else bytes(piece.length)
        self.out[piece.offset : piece.end] = data

    def _crash(self, before: bytes, piece: Piece, which: CopyPass) -> None:
        """Leave a piece half written if it was announced, and lose some of what was not flushed."""
        if piece.kind.of_the_base and piece.length > 1:
            half = replace(piece, length=piece.length // 2)
            self._write_piece(half, which)
        for at in range(self.size):
            if self.chance.random() < 0.2:
                self.out[at] = before[at]

    def cut_the_journal(self) -> None:
        path = self.task.journal
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            ends = [0, *itertools.accumulate(map(len, lines))]
            # the last lines are the ones that take back what others say
            anywhere = self.chance.randrange(ends[-1] + 1)
            os.truncate(path, self.chance.choice([anywhere, *ends[-4:], max(0, ends[-1] - 1)]))


def _check(plan: CopyPlan, pieces: list[Piece]) -> None:
    assert sum(piece.length for piece in pieces if piece.kind.is_data) == plan.data
    assert sum(piece.length for piece in pieces if not piece.kind.is_data) == plan.zeros
    for first, second in itertools.pairwise(pieces):
        assert (first.end - 1) // _BLOCK < second.offset // _BLOCK


def _write_down(journal: Journal, batch: list[Piece]) -> None:
    journal.wrote(
        [(piece.offset, piece.length) for piece in batch if piece.kind.of_the_base],
        [(piece.offset, piece.length) for piece in batch if not piece.kind.of_the_base],
    )


@settings(max_examples=600, deadline=None)
@given(st.randoms(use_true_random=True))
def test_last_whole_pass_makes_the_converted_disk(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    place = tmp_path_factory.getbasetemp() / "model"
    shutil.rmtree(place, ignore_errors=True)
    try_a_history(chance, place)


def test_base_is_copied_after_a_conversion_that_was_copied_in_part(tmp_path: Path) -> None:
    # the base begins inside a block that the lost conversion had overwritten from its beginning
    try_a_history(random.Random(8566929625673), tmp_path / "model")  # noqa: S311 - no secret


def try_a_history(chance: random.Random, place: Path) -> None:
    """Let passes, conversions and crashes follow each other, and check the disk that the last whole pass makes."""
    model = _Model(chance, place)
    for _ in range(chance.randrange(6)):
        happening = chance.choice(["base", "whole", "whole", "convert", "crash"])
        try:
            if happening == "base":
                model.copy(CopyPass.BASE, kill=chance.random() < 0.6)
            elif happening == "whole":
                model.copy(CopyPass.WHOLE, kill=chance.random() < 0.8)
                # the step has ended, and nothing is copied again
                assert model.out == model.converted
        except _Killed:
            pass
        if happening == "convert":
            model.lose_the_overlay()
            for _ in range(chance.randrange(6)):
                model.convert()
        elif happening == "crash":
            model.lose_the_overlay()
        if chance.random() < 0.3:
            model.cut_the_journal()

    model.copy(CopyPass.WHOLE, kill=False)
    assert model.out == model.converted
    again = model.copy(CopyPass.WHOLE, kill=False)
    assert again.data == 0
    assert model.out == model.converted
