# SPDX-License-Identifier: GPL-2.0-or-later
"""Events are written as lines of JSON and read back unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.events import Event, EventKind, Step

EVENTS = st.builds(
    Event,
    kind=st.sampled_from(EventKind),
    step=st.sampled_from(Step),
    time=st.floats(min_value=0, max_value=1e11),
    text=st.text(),
    hint=st.none() | st.text(min_size=1),
    disk=st.none() | st.integers(1, 99),
    done=st.none() | st.integers(0, 2**63),
    total=st.none() | st.integers(0, 2**63),
    log=st.none() | st.text(min_size=1),
    code=st.none() | st.integers(0, 130),
)


@given(EVENTS)
def test_event_is_one_line_and_reads_back(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert Event.from_json(line) == event


def test_empty_fields_are_left_out() -> None:
    record = json.loads(Event(kind=EventKind.MESSAGE, step=Step.COPY, time=1.5, text="Copying").to_json())
    assert record == {"kind": "message", "step": "copy", "time": 1.5, "text": "Copying"}


def test_zero_is_not_left_out() -> None:
    event = Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=1, done=0, total=10)
    assert json.loads(event.to_json())["done"] == 0


def test_field_of_a_later_version_is_ignored() -> None:
    line = '{"kind": "message", "step": "copy", "time": 1, "text": "x", "colour": "blue"}'
    assert Event.from_json(line).text == "x"


@pytest.mark.parametrize("line", ["", "{", "[]", '{"kind": "message"}', '{"kind": "song", "step": "copy"}', "7"])
def test_line_that_is_not_an_event_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        Event.from_json(line)
