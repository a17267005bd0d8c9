# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Linux guest did at its first boot is read from the runner's log. The runner is run here, on the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from v2v_convert_guestfs.linux import firstboot
from v2v_convert_guestfs.linux.first_boot_status import status_of
from v2v_core.api import FirstBootStatus, ScriptState


def run_first_boot(root: Path, scripts: dict[str, str]) -> FirstBootStatus:
    """Run the runner with its paths below a directory, and return the status of what it leaves."""
    todo, done, log = (root / path.lstrip("/") for path in (firstboot.TODO, firstboot.DONE, firstboot.LOG))
    for directory in (todo, done, log.parent, root / "usr/local/sbin"):
        directory.mkdir(parents=True)
    for name, text in scripts.items():
        (todo / name).write_text(f"#!/bin/sh\n{text}\n")
        (todo / name).chmod(0o755)
    text = firstboot.RUNNER.replace('"$waited" -ge 60', '"$waited" -ge 0')
    for path in ("/usr/local/sbin/v2v-firstboot", "/var/lib/", "/var/log/", "/etc/"):
        text = text.replace(path, f"{root}{path}")
    # No process of the host's systemd is asked for anything.
    text = text.replace("/run/systemd/system", f"{root}/run/systemd/system")
    program = root / "runner"
    program.write_text(text)
    subprocess.run(["sh", str(program)], check=True, timeout=60)
    names = sorted(path.name for path in todo.iterdir()) if todo.exists() else []
    return status_of(
        names,
        sorted(path.name for path in done.iterdir()),
        log.read_text(),
        planned=True,
        finished=not todo.exists(),
    )


def test_the_runner_says_what_became_of_its_scripts(tmp_path: Path) -> None:
    status = run_first_boot(tmp_path, {"0001-agent": "echo installed", "0002-more": "echo oops; exit 3"})
    assert status.finished
    assert not status.succeeded
    first, second = status.scripts
    assert (first.name, first.state, first.exit_code, first.attempts) == ("0001-agent", ScriptState.DONE, 0, 1)
    assert first.ended
    assert (second.name, second.state, second.exit_code) == ("0002-more", ScriptState.FAILED, 3)
    assert "installed\n" in status.log
    shutil.rmtree(tmp_path / "var")


def test_scripts_that_wait_and_that_were_interrupted() -> None:
    status = status_of(["0002-b"], ["0001-a"], "Mon: 0001-a starts\n", planned=True, finished=False)
    assert [(script.name, script.state, script.exit_code) for script in status.scripts] == [
        ("0001-a", ScriptState.FAILED, None),
        ("0002-b", ScriptState.WAITING, None),
    ]
    assert not status.finished


@pytest.mark.parametrize("line", ["Mon: 0001-a has ended with the status x", "0001-a has ended with the status 0", ""])
def test_what_is_no_line_of_the_runner_is_no_end(line: str) -> None:
    status = status_of([], ["0001-a"], f"Mon: 0001-a starts\n{line}\n", planned=True, finished=True)
    assert status.scripts[0].exit_code is None
    assert not status.succeeded


def test_a_guest_without_scripts() -> None:
    status = status_of([], [], "", planned=False, finished=False)
    assert status == FirstBootStatus(planned=False)
