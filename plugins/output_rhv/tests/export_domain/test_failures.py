# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv``: after a failure, or ``kill -9`` at any moment, the export domain is as it was before."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export_domains import DOMAIN_ID, MIB, Run, as_root, ext4, killed_before, make_domain, record_to, recorded, tree
from v2v_core.api import DestinationError


def images_of(run: Run, place: Path) -> list[str]:
    """Return the directories of the images of a run, as the ledger names them."""
    return [str(place / DOMAIN_ID / "images" / disk["image"]) for disk in run.state["disks"]]


class TestFailures:
    @as_root
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_no_space_for_the_images(self, tmp_path: Path, new_run: Callable[..., Run], image_format: str) -> None:
        with ext4(tmp_path / "small") as small:
            make_domain(small)
            before = tree(small)
            run = new_run(storage=str(small), sizes=(MIB, 64 * MIB), allocation="preallocated", format=image_format)
            with pytest.raises(
                DestinationError, match=r"no space for .*: 67108864 bytes are needed, \d+ bytes are free"
            ):
                run.setup()
            run.abort(state=False)
            assert tree(small) == before
            assert run.report.warnings == []

    @as_root
    def test_no_space_at_the_end(self, tmp_path: Path, new_run: Callable[..., Run]) -> None:
        with ext4(tmp_path / "small", "8M") as small:
            make_domain(small)
            before = tree(small)
            run = new_run(storage=str(small), sizes=(MIB,))
            run.write(run.setup())
            with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(b"x" * 512)
            with pytest.raises(DestinationError, match=r"cannot be written to .*: No space left") as caught:
                run.finalize()
            assert caught.value.hint == "free some space"
            run.abort()
            (small / "filler").unlink()
            assert tree(small) == before

    def test_a_disk_that_is_gone(self, new_run: Callable[..., Run], place: Path) -> None:
        before = tree(place)
        run = new_run()
        run.setup()
        image = run.state["disks"][1]
        (place / DOMAIN_ID / "images" / image["image"] / image["volume"]).unlink()
        with pytest.raises(DestinationError, match="No such file"):
            run.finalize()
        run.abort()
        assert tree(place) == before

    def test_what_cannot_be_removed_is_named_and_left(
        self, new_run: Callable[..., Run], place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = tree(place)
        run = new_run()
        run.setup()

        def refuse(*_arguments: Any, **_options: Any) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(shutil, "rmtree", refuse)
        left = run.abort()
        assert len(run.report.warnings) == 2
        assert [thing.identity for thing in left] == images_of(run, place)
        for image in images_of(run, place):
            assert image in str(run.report.warnings)
        monkeypatch.undo()
        run.report.warnings.clear()
        assert run.abort(owned=left) == ()
        assert run.report.warnings == []
        assert tree(place) == before

    def test_leftovers_in_a_place_that_is_gone_are_named_and_left(
        self, new_run: Callable[..., Run], place: Path
    ) -> None:
        before = tree(place)
        run = new_run()
        run.setup()
        place.rename(place.with_name("elsewhere"))
        left = run.abort()
        assert len(run.report.warnings) == 2
        assert [thing.identity for thing in left] == images_of(run, place)
        place.with_name("elsewhere").rename(place)
        assert run.abort(owned=left) == ()
        assert tree(place) == before

    @pytest.mark.parametrize("hook", ["setup", "finalize"])
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_killed_before_each_change(
        self, new_run: Callable[..., Run], place: Path, hook: str, image_format: str
    ) -> None:
        """The process is killed before its first change, then before its second, and so on until it completes."""
        before = tree(place)
        calls = 0
        while True:
            run = new_run(format=image_format)
            record_to(run)
            if hook == "finalize":
                run.setup()
            ended = killed_before(calls, run.setup if hook == "setup" else run.finalize)
            recorded(run)
            run.abort(state=hook == "finalize")
            run.abort(state=False)
            assert tree(place) == before, f"killed before change {calls}"
            assert run.report.warnings == []
            if not ended:
                break
            calls += 1
        assert calls > 8
