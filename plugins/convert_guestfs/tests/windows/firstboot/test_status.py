# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest wrote about its first boots is read back, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.windows.firstboot.status import new_status, parse_status
from v2v_core.api import ScriptRun, ScriptState

WHOLE = (
    b"#1;finished;3;2\r\ndrivers;done;0;1;29.11.2026 10:00:01,50\r\nnetwork;failed;7;1;\xb2;\xb3\r\n"
    b"tools;given-up;249;5;x\r\n#end\r\n"
)


def test_every_state() -> None:
    status = parse_status(WHOLE, b"said\r\n")
    assert status.finished
    assert status.scripts[0] == ScriptRun(
        name="drivers", state=ScriptState.DONE, exit_code=0, attempts=1, ended="29.11.2026 10:00:01,50"
    )
    assert [script.state for script in status.scripts[1:]] == [ScriptState.FAILED, ScriptState.GIVEN_UP]
    assert [script.exit_code for script in status.scripts] == [0, 7, 249]
    assert status.log == "said\n"


def test_a_file_that_is_cut_says_nothing() -> None:
    for length in range(len(WHOLE) - len("#end\r\n") + 1):
        status = parse_status(WHOLE[:length], b"")
        assert (status.planned, status.finished, status.scripts) == (True, False, ())


def test_much_is_bounded() -> None:
    many = new_status(tuple(f"s{number}" for number in range(2000)))
    status = parse_status(many, b"x" * 10_000_000)
    assert len(status.scripts) <= 200
    assert len(status.log) == 64 * 1024


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_anything(status: bytes, log: bytes) -> None:
    parsed = parse_status(b"#1;finished;1;0\n" + status + b"\n#end", log)
    assert parsed.planned
    assert "\x1b" not in parsed.log
