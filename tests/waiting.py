# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a moment of a run that another process carries out."""

from __future__ import annotations

import subprocess
import time

from runs import Place
from v2v_core.events import Event, EventKind, Step


def wait_for(place: Place, process: subprocess.Popen[str], step: Step, at: str = "") -> None:
    """Wait until a step of a run begins.

    :param at: the beginning of a message of the step to wait for instead.
    """
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        for events in (place.root / "tmp").glob("v2v.*/events.jsonl"):
            try:
                lines = events.read_text().splitlines()
            except FileNotFoundError:
                continue
            for line in lines:
                event = Event.from_json(line)
                begun = event.kind is EventKind.STEP_STARTED if not at else event.text.startswith(at)
                if event.step is step and begun:
                    return
        time.sleep(0.005)
    raise AssertionError(f"{at or step} never came: {(place.root / 'output').read_text()}")
