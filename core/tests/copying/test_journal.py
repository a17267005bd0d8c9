# SPDX-License-Identifier: GPL-2.0-or-later
"""What a journal claims after it was closed, cut, damaged, bound to something else, or opened twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v2v_core.copying.journal import Journal, open_journal, read_journal
from v2v_core.copying.task import CopyPass, CopyTask
from v2v_core.errors import CopyError, SourceError

MakeTask = Callable[..., CopyTask]
_KIB = 1024
_BLOCK = 64 * _KIB


@pytest.fixture
def never_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write nothing durably, for tests that write very often."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


def _reopened(task: CopyTask) -> Journal:
    journal = open_journal(task)
    journal.close()
    return journal


def test_journal_says_later_what_was_written(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    assert journal.fresh
    journal.wrote([(0, _BLOCK), (_BLOCK, _BLOCK)], [(4 * _BLOCK, _BLOCK)])
    journal.close()

    again = _reopened(task)
    assert not again.fresh
    assert list(again.base) == [(0, 2 * _BLOCK)]
    assert list(again.overlay) == [(4 * _BLOCK, _BLOCK)]
    read = read_journal(task.journal, task)
    assert read is not None
    assert list(read.base) == list(again.base)
    assert list(read.overlay) == list(again.overlay)


def test_what_will_be_overwritten_holds_the_base_no_longer(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    journal.wrote([(0, 4 * _BLOCK)])
    journal.will_overwrite([(_BLOCK, _BLOCK)])
    journal.close()
    again = _reopened(task)
    assert list(again.base) == [(0, _BLOCK), (2 * _BLOCK, 2 * _BLOCK)]
    assert not again.overlay


def test_another_conversion_has_written_nothing_but_spoiled_ranges(make_task: MakeTask) -> None:
    journal = open_journal(make_task(conversion="c1"))
    journal.wrote([(0, _BLOCK)], [(_BLOCK, _BLOCK)])
    journal.close()

    other = open_journal(make_task(conversion="c2"))
    assert list(other.base) == [(0, _BLOCK)]
    assert not other.overlay
    assert list(other.tainted) == [(_BLOCK, _BLOCK)]
    other.wrote([(_BLOCK, _BLOCK)])
    assert not other.tainted
    other.close()
    assert list(_reopened(make_task(conversion="c2")).base) == [(0, 2 * _BLOCK)]


def test_pass_of_the_base_forgets_no_conversion(make_task: MakeTask) -> None:
    journal = open_journal(make_task(conversion="c1"))
    journal.wrote([], [(_BLOCK, _BLOCK)])
    journal.close()
    base = open_journal(make_task(conversion="", copy_pass=CopyPass.BASE))
    base.wrote([(0, _BLOCK)])
    base.close()
    again = _reopened(make_task(conversion="c1"))
    assert list(again.base) == [(0, _BLOCK)]
    assert list(again.overlay) == [(_BLOCK, _BLOCK)]


def test_conversion_without_a_name_is_never_the_same(make_task: MakeTask) -> None:
    task = make_task(conversion="")
    journal = open_journal(task)
    journal.wrote([], [(0, _BLOCK)])
    assert list(journal.overlay) == [(0, _BLOCK)]
    journal.close()
    again = _reopened(task)
    assert not again.overlay
    assert list(again.tainted) == [(0, _BLOCK)]


def test_what_was_written_without_hashes_is_remembered(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    journal.wrote([(0, 4 * _BLOCK)], [(8 * _BLOCK, _BLOCK)], hashed=False)
    journal.wrote([(_BLOCK, _BLOCK)])
    journal.close()
    again = _reopened(task)
    assert list(again.base) == [(0, 4 * _BLOCK)]
    assert list(again.overlay) == [(8 * _BLOCK, _BLOCK)]
    assert list(again.unhashed) == [(0, _BLOCK), (2 * _BLOCK, 2 * _BLOCK), (8 * _BLOCK, _BLOCK)]


def test_hashes_of_another_destination_are_forgotten(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    task.hashes.write_bytes(b"hashes")
    journal.wrote([(0, _BLOCK)])
    journal.close()
    _reopened(task)
    assert task.hashes.exists()
    _reopened(make_task(destination_identity="another target"))
    assert not task.hashes.exists()


def test_announcing_twice_writes_once(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    journal.will_overwrite([(0, _BLOCK)])
    size = task.journal.stat().st_size
    journal.will_overwrite([(0, _BLOCK)])
    journal.will_overwrite([])
    assert task.journal.stat().st_size == size
    journal.close()


def _histories(make_task: MakeTask) -> list[tuple[int, set[int], set[int]]]:
    """Write a journal, and return lengths of its file, each with the blocks that it may claim from then on."""
    task = make_task()
    journal = open_journal(task)
    found = []

    def remember() -> None:
        found.append((task.journal.stat().st_size, _blocks(journal.base), _blocks(journal.overlay)))

    remember()
    journal.wrote([(0, _BLOCK)])
    remember()
    journal.wrote([(_BLOCK, 3 * _BLOCK)])
    remember()
    journal.will_overwrite([(_BLOCK, _BLOCK), (6 * _BLOCK, _BLOCK)])
    remember()
    journal.wrote([(9 * _BLOCK, _BLOCK)])
    remember()
    journal.wrote([], [(_BLOCK, _BLOCK)])
    remember()
    journal.close()
    return found


def _blocks(ranges: object) -> set[int]:
    return {at for offset, length in ranges for at in range(offset, offset + length, _BLOCK)}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("never_synced")
def test_journal_that_was_cut_anywhere_claims_nothing_more(make_task: MakeTask) -> None:
    histories = _histories(make_task)
    task = make_task()
    whole = task.journal.read_bytes()
    (_, base, overlay) = histories[-1]
    for length in range(len(whole) + 1):
        task.journal.write_bytes(whole[:length])
        journal = open_journal(task)
        claims = _blocks(journal.base), _blocks(journal.overlay)
        # never more than was true at last, whatever was lost
        assert claims[0] <= base
        assert claims[1] <= overlay
        # and all that was written down before the cut, unless it was taken back behind it
        if length >= histories[3][0]:
            assert claims == next(found[1:] for found in reversed(histories) if found[0] <= length)
        else:
            assert claims == (set(), set())
            assert list(journal.tainted) == [(0, task.size)]
        assert not journal.fresh
        # what comes next is not lost behind the cut
        journal.wrote([(12 * _BLOCK, _BLOCK)])
        journal.close()
        assert 12 * _BLOCK in _blocks(_reopened(task).base)


def test_cut_of_a_journal_that_takes_nothing_back_loses_only_the_end(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    empty = task.journal.stat().st_size
    journal.wrote([(0, _BLOCK)])
    one = task.journal.stat().st_size
    journal.wrote([(4 * _BLOCK, _BLOCK)])
    journal.close()
    whole = task.journal.read_bytes()
    for length in range(empty, len(whole)):
        task.journal.write_bytes(whole[:length])
        assert _blocks(_reopened(task).base) == ({0} if length >= one else set())


@pytest.mark.usefixtures("never_synced")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_journal_claims_nothing_more(make_task: MakeTask, data: st.DataObject) -> None:
    task = make_task()
    task.journal.unlink(missing_ok=True)
    (_, base, overlay) = _histories(make_task)[-1]
    content = bytearray(task.journal.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    # a flipped bit, or a sector that reads as zeros
    if data.draw(st.booleans()):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    task.journal.write_bytes(content)
    try:
        journal = _reopened(task)
    except SourceError as err:
        pytest.fail(f"damage is taken for a change: {err}")
    assert _blocks(journal.base) <= base
    assert _blocks(journal.overlay) <= overlay


def test_journal_of_another_destination_is_begun_anew(make_task: MakeTask) -> None:
    journal = open_journal(make_task())
    journal.wrote([(0, _BLOCK)], [(_BLOCK, _BLOCK)])
    journal.close()
    other = make_task(destination_identity="another target")
    assert read_journal(other.journal, other) is None
    again = _reopened(other)
    assert again.fresh
    assert not again.base
    assert not again.overlay
    assert not again.tainted


def test_journal_of_another_source_is_begun_anew_on_a_spoiled_destination(make_task: MakeTask) -> None:
    journal = open_journal(make_task())
    journal.wrote([(0, _BLOCK)])
    journal.close()
    other = make_task(source_identity="another guest", size=512 * _KIB)
    assert read_journal(other.journal, other) is None
    again = _reopened(other)
    assert not again.fresh
    assert not again.base
    assert list(again.tainted) == [(0, 512 * _KIB)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source_version": "2"}, "its version was 1, and is 2 now"),
        ({"size": 2 * _KIB * _KIB}, "it had 1048576 bytes, and has 2097152 now"),
    ],
)
def test_source_that_has_changed_is_refused(make_task: MakeTask, change: dict[str, object], said: str) -> None:
    journal = open_journal(make_task())
    journal.wrote([(0, _BLOCK)])
    journal.close()
    with pytest.raises(SourceError) as caught:
        open_journal(make_task(**change))
    assert caught.value.message == f"disk 1 of the source has changed since a part of it was copied: {said}"
    assert "helper-v2v-cleanup" in (caught.value.hint or "")
    # it is refused, not spoiled
    assert list(_reopened(make_task()).base) == [(0, _BLOCK)]


@pytest.mark.parametrize("then", [None, "1"])
@pytest.mark.parametrize("now", [None, "1"])
def test_source_of_unknown_version_is_to_be_compared(make_task: MakeTask, then: str | None, now: str | None) -> None:
    journal = open_journal(make_task(source_version=then))
    assert not journal.unsure
    journal.wrote([(0, _BLOCK)])
    journal.close()
    again = _reopened(make_task(source_version=now))
    assert list(again.base) == [(0, _BLOCK)]
    assert again.unsure == (then is None or now is None)


def test_what_cannot_be_compared_is_copied_again(make_task: MakeTask) -> None:
    journal = open_journal(make_task())
    journal.wrote([(0, 4 * _BLOCK)], hashed=False)
    journal.wrote([(8 * _BLOCK, _BLOCK)])
    journal.distrust(journal.unhashed)
    journal.close()
    again = _reopened(make_task())
    assert list(again.base) == [(8 * _BLOCK, _BLOCK)]
    assert list(again.tainted) == [(0, 4 * _BLOCK)]


def test_only_one_process_copies_a_disk(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); "
            "sys.stdin.read()",
            str(_lock_of(task)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(CopyError, match="disk 1 is being copied by another process"):
            open_journal(task)
        holder.kill()
    _reopened(task)


def _lock_of(task: CopyTask) -> Path:
    task.place.mkdir()
    return task.place / "journal1.lock"


def test_journal_is_open_for_one_process_until_it_is_closed(make_task: MakeTask) -> None:
    task = make_task()
    journal = open_journal(task)
    with pytest.raises(CopyError, match="disk 1 is being copied by another process"):
        open_journal(task)
    # who reads needs no lock
    assert read_journal(task.journal, task) is not None
    journal.close()
    _reopened(task)


def test_long_journal_is_rewritten(make_task: MakeTask) -> None:
    task = make_task(size=1 << 40)
    journal = open_journal(task)
    for number in range(0, 30_000, 1000):
        journal.wrote([(at * _BLOCK, _BLOCK) for at in range(number, number + 1000)])
    journal.wrote([], [(40_000 * _BLOCK, _BLOCK)])
    journal.will_overwrite([(50_000 * _BLOCK, _BLOCK)])
    journal.close()
    assert task.journal.stat().st_size > 256 * _KIB

    task.hashes.write_bytes(b"hashes")
    again = open_journal(task)
    assert task.hashes.exists()
    assert task.journal.stat().st_size < 2 * _KIB
    assert list(again.base) == [(0, 30_000 * _BLOCK)]
    assert list(again.overlay) == [(40_000 * _BLOCK, _BLOCK)]
    assert not again.fresh
    again.wrote([(30_000 * _BLOCK, _BLOCK)])
    again.close()
    later = _reopened(make_task(size=1 << 40, conversion="c2"))
    assert list(later.base) == [(0, 30_001 * _BLOCK)]
    assert list(later.tainted) == [(40_000 * _BLOCK, _BLOCK), (50_000 * _BLOCK, _BLOCK)]


def test_full_file_system_leaves_the_journal_as_it_was(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    journal = open_journal(task)
    journal.wrote([(0, _BLOCK)])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(CopyError, match="journal1, cannot be written: No space left on device"):
        journal.wrote([(_BLOCK, _BLOCK)])
    assert list(journal.base) == [(0, _BLOCK)]
    monkeypatch.undo()
    journal.wrote([(4 * _BLOCK, _BLOCK)])
    journal.close()
    assert list(_reopened(task).base) == [(0, _BLOCK), (4 * _BLOCK, _BLOCK)]
