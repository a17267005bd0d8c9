# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard output belongs to the command: what plugins, libraries and children print is not in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from habits.conftest import Convert
from runs import Place, said
from v2v_core.testing.fixtures import Install

_TALKATIVE = """
import os, subprocess
from v2v_core.testing.fake_plugins import FakeConvert, FakeInput, FakeOutput, hookimpl

print("talk: imported")

def talk(hook):
    print("talk: print in", hook)
    os.write(1, f"talk: descriptor in {hook}\\n".encode())
    subprocess.run(["echo", "talk: child in", hook], check=True)

class Input(FakeInput):
    @hookimpl
    def v2v_input_setup(self, request):
        talk("input")
        return FakeInput.v2v_input_setup(self, request)

class Convert(FakeConvert):
    @hookimpl
    def v2v_convert(self, request):
        talk("convert")
        return FakeConvert.v2v_convert(self, request)

class Output(FakeOutput):
    @hookimpl
    def v2v_output_check(self, request):
        talk("check")
        return FakeOutput.v2v_output_check(self, request)

    @hookimpl
    def v2v_output_finalize(self, request):
        talk("finalize")
        return FakeOutput.v2v_output_finalize(self, request)
"""


@pytest.fixture
def talkative(v2v_install: Install, v2v_fakes: None) -> None:
    """Install plugins called ``talk`` that print in every way there is, also when they are imported."""
    groups = {f"v2v.{role.lower()}": {"talk": f"talk_module:{role}"} for role in ("Input", "Convert", "Output")}
    v2v_install("v2v-talk", groups, {"talk_module": _TALKATIVE})


def test_json_lines_are_json_lines(place: Place, talkative: None, out: Path, image: Path) -> None:
    """conan-io/conan#15671, openclaw/openclaw#51076: a recipe's ``print()``, and what plugins say when they are loaded,
    made the JSON unreadable."""
    words = ("-i", "talk", image, "--converter", "talk", "-o", "talk", "-os", out, "--json")
    done = place.run("v2v", "convert", *words, timeout=120)
    assert done.returncode == 0, said(done)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["kind"] == "result"
    assert "talk:" not in done.stdout
    for way in ("print", "descriptor", "child"):
        for hook in ("input", "check", "convert", "finalize"):
            assert f"talk: {way} in {hook}" in done.stderr
    assert "talk: imported" in done.stderr


def test_machine_readable_lines_are_not_mixed_with_other_text(place: Place, talkative: None, image: Path) -> None:
    """ansible/ansible-runner#89: lines that a program had printed were among the JSON."""
    done = place.run("virt-v2v", "-i", "talk", image, "--print-source", "--machine-readable", "-q", timeout=60)
    assert done.returncode == 0, said(done)
    lines, _, description = done.stdout.partition("Source guest information")
    assert [json.loads(line)["type"] for line in lines.splitlines()] == ["message"]
    assert "fake guest" in description
    assert "talk:" not in done.stdout
    assert "talk: child in input" in done.stderr


@pytest.mark.parametrize("channel", ["fd:1", "file:/dev/stdout", "stream:stdout", ""])
def test_every_name_of_standard_output_leads_there(place: Place, talkative: None, image: Path, channel: str) -> None:
    option = f"--machine-readable={channel}" if channel else "--machine-readable"
    done = place.run("virt-v2v", "-i", "talk", image, "--print-source", option, "-q", timeout=60)
    assert done.returncode == 0, said(done)
    assert '"type": "message"' in done.stdout
    assert "talk:" not in done.stdout


def test_events_can_go_to_standard_output(place: Place, talkative: None, image: Path) -> None:
    directory = place.root / "d"
    done = place.run("helper-v2v-input-disk", "--dir", directory, image, "--events-fd", "1", "-q", timeout=60)
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()][-1] == "step_finished"
    assert place.run("helper-v2v-cleanup", "--dir", directory).returncode == 0


def test_the_names_that_a_helper_prints_are_the_names(place: Place, talkative: None, out: Path, image: Path) -> None:
    directory = place.root / "d"
    steps = [
        ("helper-v2v-step", "input_setup", {"mode": "talk", "arguments": [str(image)]}),
        ("helper-v2v-step", "output_check", {"mode": "talk", "storage": str(out)}),
        ("helper-v2v-step", "convert", {"mode": "talk"}),
        ("helper-v2v-step", "output_setup", {"mode": "talk", "storage": str(out)}),
        ("helper-v2v-step", "copy", {}),
    ]
    for number, (command, step, choice) in enumerate(steps):
        file = place.root / f"choice{number}"
        file.write_text(json.dumps(choice))
        done = place.run(command, step, "--dir", directory, "--choice", file, timeout=60)
        assert (done.returncode, done.stdout) == (0, ""), said(done)
    done = place.run("helper-v2v-step", "output_finalize", "--dir", directory, timeout=60)
    assert json.loads(done.stdout) == {"created": [f"{out}/fake guest-disk1", f"{out}/fake guest.xml"]}
    assert "talk: child in finalize" in done.stderr
    assert place.run("helper-v2v-cleanup", "--dir", directory).returncode == 0


def test_text_of_a_run_is_where_it_was(convert: Convert, image: Path, out: Path) -> None:
    done = convert(image)
    assert done.stdout.splitlines()[-2:] == [f"created {out}/web-sda", f"created {out}/web.xml"]
    assert "Copying disk 1/1" in done.stdout
