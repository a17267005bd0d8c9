# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that a run has reserved at a destination: one run gets each, and a dead one keeps none."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from v2v_core import claims
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import DestinationError


@pytest.fixture
def final(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place" / "guest.xml"


def directory(place: Path, name: str) -> ConversionDir:
    return ConversionDir.open_or_create(place / name)


def test_a_name_is_reserved_once(final: Path, v2v_short_path: Path) -> None:
    one, other = directory(v2v_short_path, "a"), directory(v2v_short_path, "b")
    claims.claim([final], one)
    # a later step of the same run reserves it again
    claims.claim([final], one)
    with pytest.raises(DestinationError, match=f"another run is making {final} now.*{one.path}") as refused:
        claims.claim([final], other)
    assert "helper-v2v-cleanup" in (refused.value.hint or "")
    with pytest.raises(DestinationError, match="another run is making"):
        claims.look([final], other)
    claims.look([final], one)
    claims.look([final.with_name("free.xml")], other)
    # the loser's cleanup does not release the winner's claim
    claims.release(other)
    with pytest.raises(DestinationError):
        claims.claim([final], other)
    claims.release(one)
    assert list(final.parent.iterdir()) == []
    claims.claim([final], other)


def test_of_many_runs_one_gets_the_name(final: Path, v2v_short_path: Path) -> None:
    start = threading.Barrier(8)
    got: list[str] = []
    made = [directory(v2v_short_path, f"d{number}") for number in range(8)]

    def one(mine: ConversionDir) -> None:
        start.wait(timeout=30)
        try:
            claims.claim([final], mine)
            got.append(mine.path.name)
        except DestinationError:
            claims.release(mine)

    threads = [threading.Thread(target=one, args=(each,)) for each in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_the_claim_of_a_directory_that_is_gone_counts_for_nothing(final: Path, v2v_short_path: Path) -> None:
    dead, other = directory(v2v_short_path, "a"), directory(v2v_short_path, "b")
    claims.claim([final], dead)
    shutil.rmtree(dead.path)
    claims.claim([final], other)
    (file,) = final.parent.iterdir()
    assert json.loads(file.read_text())["directory"] == str(other.path)


def test_a_run_on_another_machine_is_believed(final: Path, v2v_short_path: Path) -> None:
    mine = directory(v2v_short_path, "a")
    claims.claim([final], mine)
    (file,) = final.parent.iterdir()
    file.write_text(json.dumps({"directory": "/not/of/this/machine", "place": "another machine"}))
    with pytest.raises(DestinationError, match="/not/of/this/machine") as refused:
        claims.claim([final], mine)
    assert f"delete {file}" in (refused.value.hint or "")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"directory"', b"\xff\0"])
def test_a_claim_that_was_never_written_to_its_end_counts_for_nothing(
    final: Path, v2v_short_path: Path, content: bytes
) -> None:
    mine = directory(v2v_short_path, "a")
    claims.claim([final], mine)
    (file,) = final.parent.iterdir()
    file.write_bytes(content)
    claims.claim([final], directory(v2v_short_path, "b"))


def test_a_link_at_the_name_of_a_claim_is_not_followed(final: Path, v2v_short_path: Path, tmp_path: Path) -> None:
    mine = directory(v2v_short_path, "a")
    claims.claim([final], mine)
    (file,) = final.parent.iterdir()
    file.unlink()
    (tmp_path / "precious").write_text("kept")
    file.symlink_to(tmp_path / "precious")
    with pytest.raises(DestinationError, match="cannot be reserved"):
        claims.claim([final], mine)
    claims.release(mine)
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("name", ["x" * 251 + ".xml", "ä" * 125 + ".xml", "\udc80.xml"])
def test_every_file_name_has_a_claim(final: Path, v2v_short_path: Path, name: str) -> None:
    mine = directory(v2v_short_path, "a")
    claims.claim([final.with_name(name)], mine)
    assert len(list(final.parent.iterdir())) == 1
    claims.release(mine)
    assert list(final.parent.iterdir()) == []
