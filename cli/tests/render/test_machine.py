# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that programs read."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from v2v_cli.render.machine import JsonLines, MachineReadable, open_channel, timestamp
from v2v_core.errors import ConversionError, Obstacle, SourceError, UsageError
from v2v_core.events import Event, EventKind, Step


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    monkeypatch.undo()


def test_timestamp_is_local_with_nanoseconds(berlin: None) -> None:
    try:
        assert timestamp(1700000000.25) == "2023-11-14T23:13:20.250000000+01:00"
        assert timestamp(1700000000.0) == "2023-11-14T23:13:20.000000000+01:00"
    finally:
        time.tzset()


def test_what_was_created_and_where_the_logs_are_have_a_type_of_virt_v2v() -> None:
    stream = io.StringIO()
    machine = MachineReadable(stream)
    machine(Event(kind=EventKind.CREATED, step=Step.OUTPUT_FINALIZE, text="/out/guest.xml"))
    machine(Event(kind=EventKind.LOGS_KEPT, step=Step.CLEANUP, text="the logs are in /logs/a", path="/logs/a"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["type"], line["message"]) for line in lines] == [
        ("info", "created /out/guest.xml"),
        ("info", "the logs are in /logs/a"),
    ]


@pytest.mark.parametrize(
    ("kind", "word"), [(EventKind.MESSAGE, "message"), (EventKind.INFO, "info"), (EventKind.WARNING, "warning")]
)
def test_object_has_the_spaces_and_the_members_of_virt_v2v(kind: EventKind, word: str) -> None:
    stream = io.StringIO()
    MachineReadable(stream)(Event(kind=kind, step=Step.COPY, text='Copying "disk" 1/2', time=1.5))
    line = re.sub(r"[-0-9T:.+]{35}", "NOW", stream.getvalue())
    assert line == f'{{ "message": "Copying \\"disk\\" 1/2", "timestamp": "NOW", "type": "{word}" }}\n'
    assert set(json.loads(stream.getvalue())) == {"message", "timestamp", "type"}


def test_error_is_the_last_line() -> None:
    stream = io.StringIO()
    MachineReadable(stream).failed(SourceError("no disk"))
    assert json.loads(stream.getvalue())["type"] == "error"


def test_events_that_virt_v2v_does_not_have_are_not_written() -> None:
    stream = io.StringIO()
    for kind in (
        EventKind.STEP_STARTED,
        EventKind.STEP_FINISHED,
        EventKind.STEP_FAILED,
        EventKind.PROGRESS,
        EventKind.CHANGE,
    ):
        MachineReadable(stream)(Event(kind=kind, step=Step.COPY, text="x"))
    assert stream.getvalue() == ""


def test_json_lines_say_everything_and_the_result() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    event = Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=1, done=2, total=4)
    lines(event)
    lines.failed(SourceError("no disk", hint="attach one"))
    lines.finished(created=["a"])
    first, second, third = stream.getvalue().splitlines()
    assert Event.from_json(first) == event
    assert json.loads(second) == {"kind": "error", "text": "no disk", "hint": "attach one", "code": 4}
    assert json.loads(third) == {"kind": "result", "created": ["a"]}


def test_json_lines_say_the_reasons_one_by_one() -> None:
    stream = io.StringIO()
    obstacles = [Obstacle(reason="a", remedy="b"), Obstacle(reason="c", remedy="d")]
    JsonLines(stream).failed(ConversionError.for_obstacles(obstacles))
    written = json.loads(stream.getvalue())
    assert written["obstacles"] == [{"reason": "a", "remedy": "b"}, {"reason": "c", "remedy": "d"}]
    stream = io.StringIO()
    MachineReadable(stream).failed(ConversionError.for_obstacles(obstacles))
    assert "(1) a; (2) c" in json.loads(stream.getvalue())["message"]


def test_channels(tmp_path: Path) -> None:
    assert open_channel("") is sys.stdout
    assert open_channel("stream:stdout") is sys.stdout
    assert open_channel("stream:stderr") is sys.stderr
    with open_channel(f"file:{tmp_path / 'x'}") as stream:
        stream.write("é")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "é"


def test_descriptor_stays_open() -> None:
    reader, writer = os.pipe()
    stream = open_channel(f"fd:{writer}")
    stream.write("a")
    stream.close()
    os.write(writer, b"b")
    assert os.read(reader, 9) == b"ab"
    os.close(reader)
    os.close(writer)


def test_descriptor_is_not_inherited_but_the_standard_streams_are() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    open_channel(f"fd:{writer}")
    assert not os.get_inheritable(writer)
    before = os.get_inheritable(2)
    open_channel("fd:2")
    assert os.get_inheritable(2) is before
    os.close(reader)
    os.close(writer)


def test_path_that_is_not_text_can_be_had_from_the_result() -> None:
    stream = io.StringIO()
    path = os.fsdecode(b"/out/caf\xe9")
    JsonLines(stream).finished(created=[path])
    stream.getvalue().encode("ascii")
    assert os.fsencode(json.loads(stream.getvalue())["created"][0]) == b"/out/caf\xe9"


@pytest.mark.parametrize("form", ["file", "file:", "fd:", "fd:x", "fd:-1", "stream:x", "tcp:1", "fd:99999999999"])
def test_other_forms_are_refused(form: str) -> None:
    with pytest.raises(UsageError):
        open_channel(form)
