# SPDX-License-Identifier: GPL-2.0-or-later
"""The modern command and its subcommands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from v2v_cli import v2v
from v2v_cli.doctor import examination
from v2v_core import __version__, discovery, pipeline
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Installed, Role
from v2v_core.errors import SourceError
from v2v_core.events import Event, EventKind, Step
from v2v_core.finding import Finding, Status
from v2v_core.hookspecs import OutputResult
from v2v_core.model import Firmware, Guest, TargetProfile
from v2v_core.settings import RunChoice
from v2v_core.testing.fake_plugins import FakeOutput

AtEnd = Callable[[ConversionDir], None]


def run(*words: str) -> int:
    return v2v.main(list(words))


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch, v2v_short_path: Path) -> list[RunChoice]:
    """Return the list of choices that the pipeline is called with."""
    called: list[RunChoice] = []
    left = ConversionDir.open_or_create(v2v_short_path / "left")
    left.events.write_text(Event(kind=EventKind.STEP_STARTED, step=Step.CONVERT).to_json() + "\n")

    def convert(choice: RunChoice, sinks: Sequence[Any] = (), *, at_end: AtEnd) -> OutputResult:
        called.append(choice)
        for sink in sinks:
            sink(Event(kind=EventKind.MESSAGE, step=Step.COPY, text="Copying disk 1/1", time=1.0))
        at_end(left)
        if choice.input.arguments == ("missing",):
            raise SourceError("no such guest")
        return OutputResult(created=("/out/guest.xml",))

    monkeypatch.setattr(pipeline, "run", convert)
    monkeypatch.setattr(pipeline, "convert_in_place", lambda choice, _sinks, *, at_end: called.append(choice))
    return called


def test_readable_options_and_short_ones_are_the_same(choices: list[RunChoice], tmp_path: Path) -> None:
    readable = f"convert a.img --input disk --input-option k=v --output local --output-storage D --dir {tmp_path}"
    assert run(*readable.split()) == 0
    assert run("convert", "a.img", "-i", "disk", "-io", "k=v", "-olocal", "-os", "D", "--dir", str(tmp_path)) == 0
    assert choices[0] == choices[1]
    assert choices[0].directory == tmp_path
    assert choices[0].input.options == (("k", "v"),)


def test_json_is_events_and_one_result(choices: list[RunChoice], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", "--json", "a.img") == 0
    event, result = capsys.readouterr().out.splitlines()
    assert Event.from_json(event).text == "Copying disk 1/1"
    assert json.loads(result) == {"kind": "result", "created": ["/out/guest.xml"]}


def test_json_ends_with_the_error(choices: list[RunChoice], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", "--json", "missing") == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1]) == {"kind": "error", "text": "no such guest", "code": 4}
    assert captured.err == "v2v: error: no such guest\n"


def test_report_file_is_checked_before_the_run(
    choices: list[RunChoice], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", "a.img", "--report", str(tmp_path / "report.json")) == 0
    assert json.loads((tmp_path / "report.json").read_text())["outcome"] == "unfinished"
    choices.clear()
    assert run("convert", "a.img", "--report", str(tmp_path / "missing" / "report")) == 2
    assert "missing/report cannot be written" in capsys.readouterr().err
    assert run("convert", str(tmp_path / "a.img"), "--report", str(tmp_path / "a.img")) == 2
    assert run("convert", "a.img", "--json", "--report", "-") == 2
    assert choices == []


def test_report_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = Event(kind=EventKind.STEP_FAILED, step=Step.COPY, text="disk 1: gone", disk=1, code=7)
    (tmp_path / "events.jsonl").write_text(event.to_json() + "\n")
    assert run("report", str(tmp_path)) == 0
    assert capsys.readouterr().out.startswith("The conversion failed in the step copy (disk 1).\n")
    assert run("report", "--json", str(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out)["failure"]["code"] == 7
    assert run("report", str(tmp_path / "nowhere")) == 1
    assert "v2v: error: " in capsys.readouterr().err


def test_in_place(choices: list[RunChoice]) -> None:
    assert run("convert", "--in-place", "a.img") == 0
    assert choices[0].input.in_place


def test_inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pipeline, "print_source", lambda choice, _sinks: Guest(name=choice.input.arguments[0]))
    assert run("inspect", "a.img") == 0
    assert "source name: a.img" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    assert capsys.readouterr().out == f"v2v {__version__}\n"


@pytest.mark.parametrize(
    "words", [["convrt"], ["convert"], ["convert", "--jso=x", "g"], ["inspect", "--nonsense", "g"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert capsys.readouterr().err.startswith("v2v: error: ")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["convrt", "g"], "unknown command 'convrt'", "did you mean convert?"),
        (["frobnicate"], "unknown command 'frobnicate'", "'v2v --help' lists the commands"),
        (["inspire"], "unknown command 'inspire'", "'v2v --help' lists the commands"),
        (["plugins", "lsit"], "unknown command 'lsit'", "did you mean list? 'v2v plugins --help' lists"),
        (["--docter"], "unknown option --docter", "did you mean doctor?"),
        (["--hepl"], "unknown option --hepl", "did you mean --help?"),
        (["--frobnicate"], "unknown option --frobnicate", "'v2v --help' lists the commands"),
        (["plugins", "show", "loacl"], "no plugin is named 'loacl'", "did you mean local?"),
        (["convert", "--truncte", "g"], "unknown option --truncte", "--help lists the options"),
        (["convert", "--root", "sinlge", "g"], "unknown --root 'sinlge'", "did you mean single?"),
        (["convert", "--block-driver", "virtio_scsi", "g"], "unknown --block-driver", "did you mean virtio-scsi?"),
    ],
)
def test_only_what_is_near_is_suggested(
    words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suggestion for what is not near misleads the user (dahlia/optique#98)."""
    assert run(*words) == 2 or "plugin" in message
    error, hint_line = capsys.readouterr().err.splitlines()
    assert message in error
    assert hint_line.startswith(f"hint: {hint}")


def test_a_command_of_commands_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins") == 0
    shown = capsys.readouterr()
    assert "$ v2v plugins show" in shown.out
    assert shown.err == ""


@pytest.fixture
def one_broken_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Installed(
        role=Role.OUTPUT, name="broken", target="v2v_no_such_module:Output", distribution="v2v-broken", version="1"
    )
    monkeypatch.setattr(discovery, "installed", lambda role: (broken,) if role is Role.OUTPUT else ())


def test_broken_plugin_is_flagged_and_breaks_nothing(
    one_broken_plugin: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plugins", "list") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "broken" in line]
    assert line.split()[:5] == ["output", "broken", "v2v-broken", "1", "BROKEN:"]


def test_check_imports_and_fails(one_broken_plugin: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "list", "--check") == 3
    captured = capsys.readouterr()
    assert "BROKEN" in captured.out
    assert "broken: output broken" in captured.err


def test_show_broken_plugin(one_broken_plugin: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "show", "broken") == 3
    out = capsys.readouterr().out
    assert "distribution  v2v-broken 1" in out
    assert "BROKEN" in out


def test_show_an_output_whose_guests_cannot_have_everything(
    v2v_fakes: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plugins", "show", "fake") == 0
    assert "have no serial console" not in capsys.readouterr().out
    profile = TargetProfile(serial_console=False, most_disks=4, firmware=(Firmware.BIOS,))
    monkeypatch.setattr(FakeOutput, "profile", profile, raising=False)
    assert run("plugins", "show", "fake") == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if "guests there" in line]
    assert shown == [
        "  guests there  have no serial console",
        "  guests there  have at most 4 disks",
        "  guests there  boot with bios only",
    ]


def test_show_unknown_plugin(one_broken_plugin: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "show", "nonsense") == 3
    assert "no plugin is named 'nonsense' (installed: broken)" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(Status.OK, 0), (Status.OPTIONAL, 0), (Status.MISSING, 1)])
def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: Status, code: int) -> None:
    monkeypatch.setattr(examination, "examine", lambda *, quick: (Finding("x", status, str(quick)),))
    assert run("doctor", "--quick") == code
    assert "x: True" in capsys.readouterr().out
    assert run("doctor", "--json") == code
    assert json.loads(capsys.readouterr().out)["findings"][0]["detail"] == "False"
