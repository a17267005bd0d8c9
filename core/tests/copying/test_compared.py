# SPDX-License-Identifier: GPL-2.0-or-later
"""What was read back and was right is not read once more; what was written since is."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core.copying.bandwidth import Bandwidth, share_rate
from v2v_core.copying.compared import forget_compared, open_compared
from v2v_core.copying.hashes import BLOCK, HashFile
from v2v_core.copying.journal import Journal, open_journal
from v2v_core.copying.task import CopyLimits, CopyTask, DestinationEnd, SourceEnd
from v2v_core.copying.verify import Verifier, open_verifier
from v2v_core.settings import CopyChoice

SIZE = 64 * BLOCK


@pytest.fixture
def task(tmp_path: Path) -> CopyTask:
    image = tmp_path / "out.img"
    image.write_bytes(b"a" * SIZE)
    place = tmp_path / "copy"
    place.mkdir()
    destination = DestinationEnd(uri="", file=image, identity="out")
    return CopyTask(index=1, size=SIZE, source=SourceEnd(uri="", identity="in"), destination=destination, place=place)


@pytest.fixture
def journal(task: CopyTask) -> Iterator[Journal]:
    opened = open_journal(task)
    yield opened
    opened.close()


@pytest.fixture
def hashes(task: CopyTask) -> Iterator[HashFile]:
    opened = HashFile(task.hashes, SIZE)
    opened.take(0, memoryview(b"a" * SIZE))
    yield opened
    opened.close()


def verifier_of(task: CopyTask, hashes: HashFile) -> Verifier:
    return open_verifier(task, hashes, None, threading.Event())


def bytes_read(task: CopyTask, hashes: HashFile) -> int:
    """Return how many bytes a later process reads back."""
    verifier, read = verifier_of(task, hashes), list[int]()
    assert verifier.finish(read.append) == []
    verifier.close()
    return sum(read)


@pytest.mark.usefixtures("journal")
def test_later_process_reads_only_the_rest(task: CopyTask, hashes: HashFile) -> None:
    base = verifier_of(task, hashes)
    base.written([(0, 48 * BLOCK)])
    assert base.settle() == []
    base.close()
    assert bytes_read(task, hashes) == 16 * BLOCK


@pytest.mark.usefixtures("journal")
def test_what_is_written_again_is_read_again(task: CopyTask, hashes: HashFile) -> None:
    base = verifier_of(task, hashes)
    base.written([(0, SIZE)])
    base.settle()
    base.close()
    whole = verifier_of(task, hashes)
    whole.written([], zeroed=[(8 * BLOCK, 2 * BLOCK)])
    whole.close()
    assert bytes_read(task, hashes) == 2 * BLOCK


@pytest.mark.usefixtures("journal")
def test_what_differs_is_not_remembered_as_right(task: CopyTask, hashes: HashFile) -> None:
    hashes.take(4 * BLOCK, memoryview(b"b" * BLOCK))
    base = verifier_of(task, hashes)
    base.written([(0, SIZE)])
    assert base.settle() == [(4 * BLOCK, BLOCK)]
    base.close()
    hashes.take(4 * BLOCK, memoryview(b"a" * BLOCK))
    assert bytes_read(task, hashes) == BLOCK


@pytest.mark.usefixtures("journal")
def test_a_process_that_does_not_compare_forgets(task: CopyTask, hashes: HashFile) -> None:
    base = verifier_of(task, hashes)
    base.written([(0, SIZE)])
    base.settle()
    base.close()
    forget_compared(task)
    assert bytes_read(task, hashes) == SIZE


def test_another_destination_is_read_from_the_beginning(task: CopyTask, hashes: HashFile, journal: Journal) -> None:
    base = verifier_of(task, hashes)
    base.written([(0, SIZE)])
    base.settle()
    base.close()
    journal.close()
    other = dataclasses.replace(task, destination=dataclasses.replace(task.destination, identity="another"))
    open_journal(other).close()
    assert bytes_read(other, hashes) == SIZE


@pytest.mark.usefixtures("journal")
def test_a_file_that_was_cut_at_any_byte_never_claims_more(task: CopyTask) -> None:
    compared = open_compared(task)
    compared.add([(0, 10 * BLOCK)])
    compared.add([(20 * BLOCK, BLOCK), (1234567890, 10 * BLOCK)])
    compared.close()
    path = task.place / "compared1"
    whole = path.read_bytes()
    claims = {(0, 10 * BLOCK), (20 * BLOCK, BLOCK), (1234567890, 10 * BLOCK)}
    found: set[int] = set()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        opened = open_compared(task)
        assert set(opened.ranges) <= claims
        found.add(len(opened.ranges))
        # what was cut off is not completed
        opened.add([(0, BLOCK)])
        opened.close()
        again = open_compared(task)
        assert set(again.ranges) - {(0, BLOCK)} <= claims
        again.close()
    assert found == {0, 1, 2, 3}


@pytest.mark.usefixtures("journal")
def test_nothing_in_a_damaged_file_counts(task: CopyTask) -> None:
    compared = open_compared(task)
    compared.add([(0, BLOCK), (4 * BLOCK, BLOCK), (8 * BLOCK, BLOCK)])
    compared.close()
    path = task.place / "compared1"
    path.write_bytes(path.read_bytes().replace(b"+ 262144", b"+ 262145"))
    opened = open_compared(task)
    assert list(opened.ranges) == []
    opened.close()


@pytest.mark.usefixtures("journal")
def test_reading_back_has_a_limit_of_its_own(task: CopyTask, hashes: HashFile) -> None:
    # 8 Mbit/s are a million bytes a second; the disk has four millions
    shared = share_rate(task.place, CopyChoice(bandwidth=8_000_000))
    limited = dataclasses.replace(task, limits=CopyLimits(bandwidth=shared))
    copying = Bandwidth(shared)
    copying.wait_for(2_000)
    verifier = verifier_of(limited, hashes)
    start = time.monotonic()
    verifier.written([(0, 16 * BLOCK)])
    assert verifier.settle() == []
    assert 0.8 < time.monotonic() - start < 2
    copying.close()
    verifier.close()
