# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-o local`` refuses before the conversion."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import DestinationError, UsageError, V2VError

MIB = 1024 * 1024
NewRun = Callable[..., Any]


def as_nobody(function: Callable[[], None]) -> int:
    """Call a function in a process of an unprivileged user. Return 0 if it did not raise."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class TestCheck:
    @pytest.mark.parametrize(
        "settings",
        [
            {"storage": None},
            {"format": "vmdk"},
            {"allocation": "dense"},
            {"options": {"compressed": "true"}},
            {"password_file": Path("/x")},
        ],
    )
    def test_options_that_make_no_sense(self, new_run: NewRun, settings: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="-o local"):
            new_run(**settings).check()

    @pytest.mark.parametrize(
        ("storage", "message"),
        [("/no/such/place", "does not exist"), ("/dev/null", "not a directory"), ("/tmp/\udc80", "UTF-8")],
    )
    def test_directories_that_cannot_be_used(self, new_run: NewRun, storage: str, message: str) -> None:
        with pytest.raises(DestinationError, match=message):
            new_run(storage=storage).check()

    def test_a_directory_that_cannot_be_written(self, new_run: NewRun) -> None:
        run = new_run()
        for place in (run.storage, *run.storage.parents[:-2]):
            place.chmod(0o755)
        run.storage.chmod(0o555)

        def refused() -> None:
            with pytest.raises(DestinationError, match="no files can be made"):
                run.check()

        assert as_nobody(refused) == 0

    def test_a_directory_with_a_final_name(self, new_run: NewRun) -> None:
        run = new_run()
        (run.storage / "guest-sdb").mkdir()
        with pytest.raises(DestinationError, match="guest-sdb is a directory"):
            run.check()

    def test_a_pipe_at_the_name_of_the_description(self, new_run: NewRun) -> None:
        run = new_run()
        os.mkfifo(run.storage / "guest.xml")
        with pytest.raises(DestinationError, match="neither a file"):
            run.check()

    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_missing_programs_are_named(
        self, new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_format: str
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(V2VError, match="not installed") as caught:
            new_run(format=image_format).check()
        assert caught.value.hint is not None
        assert "install" in caught.value.hint

    def test_space(self, new_run: NewRun, small_disk: Path) -> None:
        new_run(sizes=(1 << 40,)).check()
        new_run(allocation="preallocated").check()
        with pytest.raises(DestinationError, match="not enough space"):
            new_run(sizes=(3 * MIB, 3 * MIB), allocation="preallocated").check()
        (small_disk / "filler").write_bytes(b"x" * (4 * MIB - 65536))
        with pytest.raises(DestinationError, match="not enough space"):
            new_run().check()

    def test_inodes(self, new_run: NewRun, small_disk: Path) -> None:
        for i in range(19):
            (small_disk / str(i)).touch()
        with pytest.raises(DestinationError, match="inodes"):
            new_run().check()
