# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes too long is ended, and the error says what it was and what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from v2v_convert_guestfs import session as session_module
from v2v_convert_guestfs import time_limits
from v2v_convert_guestfs.time_limits import OutOfTimeError, duration, limited, program_limit
from v2v_core.api import ConversionError


def test_what_is_done_in_time_goes_on() -> None:
    killed = threading.Event()
    with limited("the test", 60, killed.set, hint="wait"):
        pass
    with pytest.raises(RuntimeError, match="its own"), limited("the test", 60, killed.set, hint="wait"):
        raise RuntimeError("its own")
    assert not killed.is_set()


@pytest.mark.parametrize("failure", [RuntimeError("the appliance is gone"), ConversionError("it was reported"), None])
def test_what_is_not_done_in_time_is_ended_and_named(failure: Exception | None) -> None:
    killed = threading.Event()
    with pytest.raises(OutOfTimeError) as raised, limited("the test", 0.01, killed.set, hint="look at it"):
        assert killed.wait(10)
        if failure is not None:
            raise failure
    assert raised.value.message == "the test did not end within 0 seconds"
    assert raised.value.hint == "look at it"
    assert raised.value.__cause__ is failure


def test_times_in_words_and_without_hardware_virtualization() -> None:
    assert (duration(20), duration(15 * 60)) == ("20 seconds", "15 minutes")
    assert program_limit(emulation=True) == 2 * program_limit(emulation=False)


def test_a_program_is_ended_by_the_guests_own_means(phony: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    guest = phony({"/usr/bin/timeout": b""})
    limit = program_limit(emulation=session_module.is_emulated(guest.session.request.settings))
    with pytest.raises(RuntimeError, match="not found"):
        guest.session.run(["dpkg", "--remove"])
    assert guest.tree.commands == [["/usr/bin/env", "LC_ALL=C", "/usr/bin/timeout", str(limit), "dpkg", "--remove"]]

    def slow(_argv: list[str]) -> str:
        time.sleep(0.05)
        raise RuntimeError("command: ")

    monkeypatch.setattr(guest.tree, "command", slow)
    monkeypatch.setattr(time_limits, "PROGRAM_LIMIT", 0)
    with pytest.raises(RuntimeError, match=r"^dpkg of the guest was ended, it ran for 0 seconds$"):
        guest.session.run(["dpkg"])
    assert guest.session.out_of_time is None


def test_the_appliance_is_killed_where_nothing_else_helps(
    phony: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, killed = phony({}), threading.Event()
    monkeypatch.setattr(session_module, "kill_child_emulators", killed.set)
    monkeypatch.setattr(time_limits, "PROGRAM_LIMIT", 0)
    monkeypatch.setattr(time_limits, "GRACE", 0.01)

    def stuck(_argv: list[str]) -> str:
        assert killed.wait(10)
        raise RuntimeError("guestfs_command: appliance closed the connection unexpectedly")

    monkeypatch.setattr(guest.tree, "command", stuck)
    with pytest.raises(OutOfTimeError, match=r"^rpm of the guest did not end within") as raised:
        guest.session.run(["rpm", "-qa"])
    assert "run rpm in the guest" in str(raised.value.hint)
    assert guest.session.out_of_time is raised.value
