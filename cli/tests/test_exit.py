# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions become exit codes and lines on stderr."""

from __future__ import annotations

import subprocess
import sys
from typing import NoReturn

import pytest

from v2v_cli.exit import Session, guard
from v2v_core.errors import (
    ConversionError,
    DestinationError,
    Interrupted,
    Obstacle,
    PluginNotFound,
    SourceError,
    UsageError,
    V2VError,
)


def raising(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (V2VError("x"), 1),
        (UsageError("x"), 2),
        (SourceError("x"), 4),
        (DestinationError("x"), 5),
        (Interrupted("x"), 130),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 1),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert guard(Session("p"), lambda: raising(error)) == code


def test_error_hint_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    error = SourceError("no disk", hint="attach one")
    error.add_note("logs: /somewhere")
    guard(Session("p"), lambda: raising(error))
    assert capsys.readouterr().err == "p: error: no disk\nhint: attach one\np: logs: /somewhere\n"


@pytest.mark.parametrize(
    ("role", "name", "installed", "hint"),
    [
        ("output", "rhv-upload", ["local"], "pip install v2v-output-rhv"),
        ("output", "rvh-upload", ["local"], "did you mean rhv-upload? pip install v2v-output-rhv"),
        ("output", "loacl", ["local"], "did you mean local?"),
        ("output", "rhubarb", ["local"], "'v2v plugins list' lists what is installed"),
        ("observer", "rhubarb", [], "'v2v plugins list' lists what is installed"),
    ],
)
def test_hint_for_an_unknown_mode_names_nothing_that_was_typed(
    capsys: pytest.CaptureFixture[str], role: str, name: str, installed: list[str], hint: str
) -> None:
    guard(Session("p"), lambda: raising(PluginNotFound(role, name, installed)))
    assert capsys.readouterr().err.splitlines()[1:] == [f"hint: {hint}"]


def test_several_reasons_have_a_line_each_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    obstacles = [
        Obstacle(reason="no \x1b kernel", remedy="install one"),
        Obstacle(reason="no space", remedy="make some"),
    ]
    guard(Session("p"), lambda: raising(ConversionError.for_obstacles(obstacles)))
    assert capsys.readouterr().err == (
        "p: error: the guest cannot be converted for 2 reasons\n"
        "p: error: (1) no \N{REPLACEMENT CHARACTER} kernel\nhint: install one\n"
        "p: error: (2) no space\nhint: make some\n"
    )
    guard(Session("p"), lambda: raising(ConversionError.for_obstacles(obstacles[1:])))
    assert capsys.readouterr().err == "p: error: no space\nhint: make some\n"


def test_bug_is_one_line_and_has_a_traceback_with_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    guard(Session("p"), lambda: raising(KeyError("k")))
    assert capsys.readouterr().err.splitlines()[0] == "p: error: internal error: KeyError: 'k'; this is a bug"
    guard(Session("p", verbose=True), lambda: raising(KeyError("k")))
    assert "Traceback (most recent call last):" in capsys.readouterr().err


def test_terminal_is_safe_from_errors(capsys: pytest.CaptureFixture[str]) -> None:
    guard(Session("p", verbose=True), lambda: raising(SourceError("\x1b]0;owned\x07\nnext", hint="\x9b31m")))
    err = capsys.readouterr().err
    assert not set("\x1b\x07\x9b") & set(err)


def test_closed_stdout_causes_no_traceback() -> None:
    script = "import sys; from v2v_cli.virt_v2v import main; sys.exit(main(['--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
