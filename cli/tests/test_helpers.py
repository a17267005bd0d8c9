# SPDX-License-Identifier: GPL-2.0-or-later
"""Each helper command calls its step with the conversion directory and the record of its options."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from v2v_cli import helpers
from v2v_core import helper
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CopyError
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import OutputResult
from v2v_core.settings import CopyChoice, InputChoice
from v2v_core.steps import cleanup, convert_apart, copy, input_setup, output_check, output_finalize, output_setup

Calls = list[tuple[str, ConversionDir, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Return the list of steps that are run, each with its directory and choice."""
    made: Calls = []

    def record(name: str, result: Any = None) -> Any:
        def step(directory: ConversionDir, *rest: Any) -> Any:
            *choice, sinks = rest
            made.append((name, directory, choice[0] if choice else None))
            for sink in sinks:
                sink(Event(kind=EventKind.MESSAGE, step=Step.COPY, text=f"In {name}", time=1.0))
            return result

        return step

    for module in (input_setup, output_check, output_setup, copy, cleanup):
        monkeypatch.setattr(module, "run", record(module.__name__.rpartition(".")[2]))
    monkeypatch.setattr(convert_apart, "convert_apart", record("convert"))
    monkeypatch.setattr(output_finalize, "run", record("output_finalize", OutputResult(created=("/out/guest.xml",))))
    monkeypatch.setattr(output_finalize, "mode_of_output", lambda _directory: "local")
    monkeypatch.setattr(ConversionDir, "require", lambda _directory, _step: None)
    # the helpers set this variable for their children
    monkeypatch.setenv("V2V_DIRECTORY", "")
    return made


def test_input_helper(calls: Calls, tmp_path: Path) -> None:
    words = ["--dir", str(tmp_path), "-if", "raw", "-io", "k=v", "--in-place", "disk.img"]
    assert helpers.input_helper("disk", words) == 0
    ((name, directory, choice),) = calls
    assert (name, directory.path) == ("input_setup", tmp_path)
    assert choice == InputChoice(
        mode="disk", arguments=("disk.img",), format="raw", options=(("k", "v"),), in_place=True
    )
    assert os.environ["V2V_DIRECTORY"] == str(tmp_path)


def test_output_helper_checks_before_it_sets_up(calls: Calls, tmp_path: Path) -> None:
    assert helpers.output_helper("local", ["setup", "--dir", str(tmp_path), "-os", "D", "-of", "qcow2"]) == 0
    assert [name for name, _directory, _choice in calls] == ["output_check", "output_setup"]
    assert {(choice.mode, choice.storage, choice.format) for _name, _directory, choice in calls} == {
        ("local", "D", "qcow2")
    }


@pytest.mark.parametrize(
    ("script", "called"),
    [
        ("/usr/bin/helper-v2v-input-disk", ("input", "disk")),
        ("helper-v2v-output-rhv-upload", ("output", "rhv-upload")),
    ],
)
def test_script_of_a_plugin_names_role_and_mode(
    script: str, called: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    for role in ("input", "output"):
        monkeypatch.setattr(helpers, f"{role}_helper", lambda mode, role=role: seen.append((role, mode)) or 7)
    monkeypatch.setattr(sys, "argv", [script, "--dir", "D"])
    assert helper.main() == 7
    assert seen == [called]


@pytest.mark.parametrize("script", ["v2v_core.helper", "helper-v2v-input-", "helper-v2v-convert-x", "helper-v2v-"])
def test_other_names_of_a_script_are_refused(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script])
    assert helper.main() == 2
    assert "helper-v2v-input-MODE" in capsys.readouterr().err


def test_script_of_a_plugin_without_the_command_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["helper-v2v-input-disk"])
    monkeypatch.setattr(helper, "find_spec", lambda _name: None)
    assert helper.main() == 3
    assert capsys.readouterr().err.endswith("hint: pip install v2v-cli\n")


def test_final_needs_no_option_and_prints_what_was_created(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ConversionDir.open_or_create(tmp_path)
    assert helpers.output_helper("local", ["final", "--dir", str(tmp_path)]) == 0
    assert [name for name, _directory, _choice in calls] == ["output_finalize"]
    assert capsys.readouterr().out.splitlines()[-1] == "/out/guest.xml"


def test_final_of_another_output_is_refused(calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ConversionDir.open_or_create(tmp_path)
    assert helpers.output_helper("null", ["final", "--dir", str(tmp_path)]) == 2
    assert "set up with -o local, and not null" in capsys.readouterr().err
    assert not calls


def test_convert_helper(calls: Calls, tmp_path: Path) -> None:
    assert helpers.convert(["--dir", str(tmp_path), "--root", "first", "-n", "a:b"]) == 0
    ((name, _directory, choice),) = calls
    assert (name, choice.settings.root, choice.nics[0].target) == ("convert", "first", "b")


@pytest.mark.parametrize(("given", "has"), [([], True), (["--no-serial-console"], False)])
def test_convert_helper_for_a_target_without_a_serial_port(
    calls: Calls, tmp_path: Path, given: list[str], has: bool
) -> None:
    assert helpers.convert(["--dir", str(tmp_path), *given]) == 0
    ((_name, _directory, choice),) = calls
    assert choice.settings.serial_console is has


def test_convert_helper_writes_a_report(calls: Calls, tmp_path: Path) -> None:
    directory = ConversionDir.open_or_create(tmp_path / "d")
    directory.events.write_text(Event(kind=EventKind.STEP_STARTED, step=Step.CONVERT).to_json() + "\n")
    argv = ["--dir", str(directory.path), "--report", str(tmp_path / "report")]
    assert helpers.convert(argv) == 0
    assert "did not end in the step convert" in (tmp_path / "report").read_text()
    calls.clear()
    assert helpers.convert([*argv[:-1], str(tmp_path / "missing" / "report")]) == 2
    assert calls == []


def test_copy_helper_sends_events_to_a_descriptor(calls: Calls, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    assert helpers.copy(["--dir", str(tmp_path), "--parallel", "3", "--events-fd", str(writer), "-q"]) == 0
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert Event.from_json(stream.read()).text == "In copy"
    ((name, _directory, choice),) = calls
    assert (name, choice) == ("copy", CopyChoice(parallel=3))


@pytest.mark.parametrize("number", ["999", "99999999999"])
def test_descriptor_that_is_not_open(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    assert helpers.copy(["--dir", str(tmp_path), "--events-fd", number]) == 2
    assert capsys.readouterr().err.startswith("helper-v2v-copy: error: --events-fd")
    assert not calls


_COPY_WITH_A_SERVER = """
import os, sys
from v2v_cli import helpers
from v2v_core.steps import copy

def start_a_server(*_):
    to_null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawnp("sleep", ["sleep", "60"], os.environ, file_actions=to_null)
    # standard output belongs to the command alone
    os.write(2, b"%d" % pid)

copy.run = start_a_server
sys.exit(helpers.copy(sys.argv[1:]))
"""


def test_reader_of_the_events_comes_to_their_end_while_a_server_lives(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    argv = [sys.executable, "-c", _COPY_WITH_A_SERVER, "--dir", str(tmp_path), "--events-fd", str(writer)]
    process = subprocess.run(argv, stderr=subprocess.PIPE, pass_fds=[writer], check=True, timeout=60)
    server = int(process.stderr)
    try:
        os.close(writer)
        ready, _, _ = select.select([reader], [], [], 10)
        assert ready, "the server holds the other end of the pipe"
        assert os.read(reader, 1) == b""
        os.kill(server, 0)
    finally:
        os.kill(server, signal.SIGKILL)
        os.close(reader)


def test_path_that_is_not_text_is_printed_as_it_is(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    created = OutputResult(created=(os.fsdecode(b"/out/caf\xe9"), "/out/a\n\x1b"))
    monkeypatch.setattr(output_finalize, "run", lambda *_: created)
    ConversionDir.open_or_create(tmp_path)
    assert helpers.output_helper("local", ["final", "--dir", str(tmp_path)]) == 0
    assert capfdbinary.readouterr().out == "/out/caf\udce9\n/out/a \N{REPLACEMENT CHARACTER}\n".encode(
        errors="surrogateescape"
    )


def test_cleanup_helper(calls: Calls, tmp_path: Path) -> None:
    ConversionDir.open_or_create(tmp_path)
    assert helpers.cleanup(["--dir", str(tmp_path)]) == 0
    assert [name for name, _directory, _choice in calls] == ["cleanup"]


def test_cleanup_of_a_directory_that_is_gone_succeeds(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert helpers.cleanup(["--dir", str(tmp_path / "gone")]) == 0
    assert "nothing to clean up" in capsys.readouterr().out
    assert not calls


@pytest.mark.parametrize("words", [[], ["seyup"], ["--dir", "D"]])
def test_output_helper_requires_setup_or_final(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert helpers.output_helper("local", words) == 2
    assert "setup and final" in capsys.readouterr().err


def test_directory_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert helpers.copy([]) == 2
    assert "--dir" in capsys.readouterr().err


def test_failed_step_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_directory: ConversionDir, _choice: CopyChoice, _sinks: Sequence[Any]) -> None:
        raise CopyError("disk 2: connection lost", disk=2)

    monkeypatch.setattr(copy, "run", fail)
    assert helpers.copy(["--dir", str(tmp_path)]) == 7
    assert capsys.readouterr().err == "helper-v2v-copy: error: disk 2: connection lost\n"


def test_termination_signal_interrupts_the_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(copy, "run", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert helpers.copy(["--dir", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGTERM) is before
