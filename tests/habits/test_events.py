# SPDX-License-Identifier: GPL-2.0-or-later
"""What was created, and where the logs are, as events; and ``check`` as a command of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from habits.conftest import Convert
from runs import Place, said


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_kind(kind: str, done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [event for event in events(done) if event["kind"] == kind]


def test_what_was_created_is_an_event(convert: Convert, image: Path, out: Path) -> None:
    done = convert(image, "--json")
    created = [event["path"] for event in of_kind("created", done)]
    assert created == [f"{out}/web-sda", f"{out}/web.xml"]
    assert events(done)[-1] == {"kind": "result", "created": created}


@pytest.mark.parametrize("words", [["--copier", "fake-failing"], ["-i", "fake", "-io", "fail-in=v2v_input_setup"]])
def test_the_failure_of_a_step_names_a_log_that_is_there_when_the_run_is_over(
    convert: Convert, place: Place, image: Path, words: list[str]
) -> None:
    done = convert(image, *words, "--json")
    (failed,) = of_kind("step_failed", done)
    log = Path(failed["log"])
    assert "asked to fail" in log.read_text()
    (kept,) = of_kind("logs_kept", done)
    assert log.parent == Path(kept["path"])
    assert log.parent.parent == place.root / "state" / "v2v" / "logs"
    # the events that are kept name it as well
    lines = (log.parent / "events.jsonl").read_text().splitlines()
    assert [one["log"] for one in map(json.loads, lines) if one["kind"] == "step_failed"] == [str(log)]


def test_the_log_of_the_conversion_is_kept_under_its_name(convert: Convert, place: Place, v2v_fakes: None) -> None:
    done = place.run(
        "v2v", "convert", "-i", "fake", "guest", "--converter", "nosuch", "-o", "null", "--json", timeout=60
    )
    # nothing had begun: there is no log, and none is named
    assert done.returncode == 3, said(done)
    assert of_kind("step_failed", done) == of_kind("logs_kept", done) == []


def test_wrong_usage_names_no_log(convert: Convert, place: Place, image: Path) -> None:
    done = convert(image, "-of", "vmdk", "--json")
    (failed,) = of_kind("step_failed", done)
    assert "log" not in failed
    assert not (place.root / "state" / "v2v").exists()


class TestCheck:
    @pytest.fixture
    def check(self, place: Place, v2v_fakes: None) -> Any:
        def run(mode: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
            return place.run(f"helper-v2v-output-{mode}", "check", *words, timeout=60)

        return run

    def test_a_place_that_can_be_used(self, check: Any, out: Path) -> None:
        done = check("local", "-os", out, "-on", "web")
        assert done.returncode == 0, said(done)
        assert done.stdout == f"helper-v2v-output-local check: -o local -os {out} -on web can be used\n"
        assert list(out.iterdir()) == []
        assert check("local", "-os", out, "-q").stdout == ""

    @pytest.mark.parametrize(
        ("words", "code", "reason"),
        [
            (["-os", "/nonexistent"], 5, "/nonexistent does not exist"),
            (["-os", "OUT", "-of", "vmdk"], 2, "'vmdk' is not supported"),
            (["-os", "OUT", "-on", "taken"], 5, "taken.xml exists already"),
            (["-os", "OUT", "-on", "taken", "--overwrite"], 0, ""),
            ([], 2, "-os DIRECTORY"),
        ],
    )
    def test_text_and_exit_code(self, check: Any, out: Path, words: list[str], code: int, reason: str) -> None:
        (out / "taken.xml").write_text("kept")
        done = check("local", *(str(out) if word == "OUT" else word for word in words))
        assert done.returncode == code, said(done)
        assert reason in done.stderr
        assert "log:" not in done.stderr, "the log is gone"
        assert [path.name for path in out.iterdir()] == ["taken.xml"]

    def test_a_login_that_fails(self, check: Any, place: Place) -> None:
        (place.root / "password").write_text("secret\n")
        engine = ["-oc", "https://127.0.0.1:1/ovirt-engine/api", "-op", place.root / "password"]
        done = check("rhv-upload", *engine, "-os", "data")
        assert done.returncode == 5, said(done)
        assert "127.0.0.1" in done.stderr
        assert "secret" not in done.stderr

    def test_for_the_guest_of_a_directory(self, check: Any, place: Place, image: Path, out: Path) -> None:
        directory = place.root / "d"
        assert place.run("helper-v2v-input-disk", "--dir", directory, image).returncode == 0
        assert check("local", "--dir", directory, "-os", out).returncode == 0
        # -oa preallocated needs the size of the guest, and this one's name is known
        (out / "web-sda").touch()
        done = check("local", "--dir", directory, "-os", out)
        assert done.returncode == 5, said(done)
        assert "web-sda exists already" in done.stderr
        assert [path.name for path in out.iterdir()] == ["web-sda"]
        assert place.run("helper-v2v-cleanup", "--dir", directory).returncode == 0

    def test_its_events_go_to_a_descriptor(self, check: Any, place: Place) -> None:
        reader, writer = os.pipe()
        argv = place.argv(["helper-v2v-output-local", "check", "-os", "/nonexistent", "--events-fd", str(writer)])
        done = subprocess.run(argv, env=place.environ({}), pass_fds=[writer], check=False, timeout=60)
        os.close(writer)
        with os.fdopen(reader) as stream:
            failed, error = (json.loads(line) for line in stream)
        assert done.returncode == 5
        assert (failed["kind"], failed["step"], "log" in failed) == ("step_failed", "output_check", False)
        assert error["kind"] == "error"
