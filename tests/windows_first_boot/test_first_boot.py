# SPDX-License-Identifier: GPL-2.0-or-later
"""The service and firstboot.bat run for real in Wine, exactly as the conversion would have written them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from v2v_convert_guestfs.windows.firstboot.install import install
from v2v_convert_guestfs.windows.firstboot.layout import SERVICE
from v2v_convert_guestfs.windows.firstboot.status import parse_status
from v2v_core.api import FirstBootStatus, ScriptState
from windows_first_boot.wine import Answer, SimulatedWindows
from windows_guest import windows_guest

pytestmark = pytest.mark.slow

DIRECTORY = "/Program Files/v2v-firstboot"
KEY = rf"System\CurrentControlSet\Services\{SERVICE}"
RESTART = "-r -t 0 -f"


class FirstBoot:
    """The first boot of a simulated Windows with given scripts: names and bodies, in order."""

    def __init__(self, windows: SimulatedWindows, scripts: Sequence[tuple[str, str]]) -> None:
        self.windows = windows
        guest = windows_guest(directories=("/Program Files",))
        for name, body in scripts:
            guest.first_boot.add(1, name, body, why="a test")
        installed = install(guest)
        assert installed is not None
        windows.put({path: guest.files.contents[path] for path in installed.files})
        windows.import_edits(guest.registry.edits)

    def boot(self) -> FirstBootStatus:
        """Boot once, until the service has stopped."""
        self.windows.boot(SERVICE)
        return self.status

    @property
    def status(self) -> FirstBootStatus:
        read = {name: self.windows.path(f"{DIRECTORY}/{name}") for name in ("status.txt", "log.txt")}
        return parse_status(*(path.read_bytes() if path.exists() else b"" for path in read.values()))

    @property
    def restarts(self) -> int:
        calls = self.windows.calls("shutdown")
        assert set(calls) <= {RESTART}
        return len(calls)


def run(status: FirstBootStatus) -> dict[str, tuple[ScriptState, int | None, int]]:
    return {script.name: (script.state, script.exit_code, script.attempts) for script in status.scripts}


def test_in_order_one_boot_without_a_restart(windows: SimulatedWindows) -> None:
    first = FirstBoot(
        windows,
        [
            ("zeta", "echo zeta here\ncd\necho %V2V%\nnetsh one\nexit 250\n"),
            ("alpha", "netsh two\necho on stderr 1>&2\nexit 250\n"),
        ],
    )
    status = first.boot()
    assert run(status) == {"zeta": (ScriptState.DONE, 250, 1), "alpha": (ScriptState.DONE, 250, 1)}
    assert status.finished
    assert status.succeeded
    assert windows.calls("netsh") == ["one", "two"]
    assert first.restarts == 0
    assert "zeta here\n" in status.log
    assert r"C:\Program Files\v2v-firstboot\files" in status.log
    assert "on stderr" in status.log
    assert windows.values(KEY) is None


def test_a_restart_where_one_is_asked_for(windows: SimulatedWindows) -> None:
    first = FirstBoot(windows, [("one", "exit 0\n"), ("two", "exit 7\n"), ("three", "exit 250\n")])
    status = first.boot()
    assert run(status)["one"] == (ScriptState.DONE, 0, 1)
    assert run(status)["two"] == (ScriptState.WAITING, None, 0)
    assert first.restarts == 1
    status = first.boot()
    assert run(status)["two"] == (ScriptState.FAILED, 7, 1)
    assert run(status)["three"] == (ScriptState.WAITING, None, 0)
    assert (first.restarts, status.finished) == (2, False)
    status = first.boot()
    assert run(status)["three"] == (ScriptState.DONE, 250, 1)
    assert (first.restarts, status.finished, status.succeeded) == (2, True, False)
    assert windows.values(KEY) is None


def test_again_until_the_cap(windows: SimulatedWindows) -> None:
    first = FirstBoot(windows, [("stuck", "netsh stuck\nexit 249\n"), ("next", "netsh next\nexit 250\n")])
    for attempts in range(1, 5):
        assert run(first.boot())["stuck"] == (ScriptState.WAITING, 249, attempts)
    status = first.boot()
    assert run(status) == {"stuck": (ScriptState.GIVEN_UP, 249, 5), "next": (ScriptState.DONE, 250, 1)}
    assert status.finished
    assert first.restarts == 4
    assert windows.calls("netsh") == ["stuck"] * 5 + ["next"]


def test_resumes_after_the_power_went(windows: SimulatedWindows) -> None:
    """A script that never ends is interrupted as often as the cap says; then comes the next."""
    first = FirstBoot(
        windows, [("done", "exit 250\n"), ("endless", "netsh in\nping -n 600 127.0.0.1\n"), ("last", "exit 250\n")]
    )
    for attempts in range(1, 6):
        windows.boot(SERVICE, lambda attempts=attempts: len(windows.calls("netsh")) == attempts)  # type: ignore[misc]
        assert run(first.status) == {
            "done": (ScriptState.DONE, 250, 1),
            "endless": (ScriptState.WAITING, None, attempts),
            "last": (ScriptState.WAITING, None, 0),
        }
    status = first.boot()
    assert run(status)["endless"] == (ScriptState.GIVEN_UP, None, 5)
    assert run(status)["last"] == (ScriptState.DONE, 250, 1)
    assert status.finished
    assert first.restarts == 0


def test_the_status_file_went_with_the_power(windows: SimulatedWindows) -> None:
    first = FirstBoot(windows, [("one", "exit 0\n"), ("two", "exit 250\n")])
    first.boot()
    windows.put({f"{DIRECTORY}/status.txt": bytes(100)})
    status = first.boot()
    assert status.finished
    assert {name: state for name, (state, _, _) in run(status).items()} == {
        "one": ScriptState.DONE,
        "two": ScriptState.DONE,
    }


def test_the_last_restart_needs_no_other_boot(windows: SimulatedWindows) -> None:
    first = FirstBoot(windows, [("one", "exit 0\n")])
    windows.stand_in("shutdown", Answer(code=1115))
    status = first.boot()
    assert (status.succeeded, first.restarts) == (True, 1)
    assert windows.values(KEY) is None
