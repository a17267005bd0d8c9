# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines for programs: ``--machine-readable`` in virt-v2v's form, and ``--json`` with all fields of an event."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TextIO

from v2v_cli.render.sanitize import sanitize
from v2v_core import own_stdout
from v2v_core.errors import UsageError, V2VError
from v2v_core.events import Event, EventKind

_TYPES = {
    EventKind.MESSAGE: "message",
    EventKind.INFO: "info",
    EventKind.WARNING: "warning",
    # virt-v2v's form has no other types
    EventKind.CREATED: "info",
    EventKind.LOGS_KEPT: "info",
}
_STDERR = 2
_FORMS = "file:NAME, stream:stdout, stream:stderr or fd:N"


class MachineReadable:
    """Writes each message, info, warning and error as one JSON object with message, timestamp and type."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # two steps that run at the same time report from two threads
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Write an event, if it is a message, an info or a warning, or says what the user has now."""
        if event.kind in _TYPES:
            text = f"created {event.text}" if event.kind is EventKind.CREATED else event.text
            self._write(text, event.time, _TYPES[event.kind])

    def failed(self, error: V2VError) -> None:
        """Write the error that ended the run."""
        self._write(error.message, datetime.now().timestamp(), "error")

    def close(self) -> None:
        """Close the channel."""
        close_channel(self._stream)

    def _write(self, text: str, when: float, kind: str) -> None:
        message = json.dumps(sanitize(text), ensure_ascii=False)
        with self._lock:
            self._stream.write(f'{{ "message": {message}, "timestamp": "{timestamp(when)}", "type": "{kind}" }}\n')
            self._stream.flush()


class JsonLines:
    """Writes every event as a JSON object on a line of its own, and the result or the error as the last one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # two steps that run at the same time report from two threads
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Write an event."""
        self._line(event.to_json())

    def failed(self, error: V2VError) -> None:
        """Write the error that ended the run."""
        record: dict[str, object] = {"kind": "error", "text": error.message, "code": error.exit_code}
        if error.hint is not None:
            record["hint"] = error.hint
        if error.obstacles:
            record["obstacles"] = [asdict(obstacle) for obstacle in error.obstacles]
        self._line(json.dumps(record, ensure_ascii=False))

    def finished(self, **result: object) -> None:
        """Write the result of the run.

        It is ASCII only: bytes of a path that are not text survive as escapes, and a reader gets the path back.
        """
        self._line(json.dumps({"kind": "result", **result}))

    def close(self) -> None:
        """Close the channel."""
        close_channel(self._stream)

    def _line(self, line: str) -> None:
        # json leaves some control characters of terminals as they are
        with self._lock:
            self._stream.write(sanitize(line) + "\n")
            self._stream.flush()


def timestamp(when: float) -> str:
    """Return a time in the form of RFC 3339, local, with nanoseconds."""
    moment = datetime.fromtimestamp(when).astimezone()
    offset = moment.strftime("%z")
    nanoseconds = round(when % 1 * 1_000_000) * 1000 % 1_000_000_000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{offset[:3]}:{offset[3:5]}"


def open_channel(form: str) -> TextIO:
    """Open the channel for machine-readable lines.

    :param form: the value of ``--machine-readable``; empty for stdout.
    :raises UsageError: the form is unknown, or the channel cannot be opened.
    """
    kind, _colon, place = form.partition(":")
    if form in {"", "stream:stdout"}:
        return own_stdout.take()
    if form == "stream:stderr":
        return sys.stderr
    try:
        if kind == "file" and place:
            return Path(place).open("w", encoding="utf-8")
        if kind == "fd" and len(place) < 8 and place.isascii() and place.isdigit():
            return open_descriptor(int(place), f"--machine-readable={form}")
    except OSError as err:
        raise UsageError(f"--machine-readable={sanitize(form)} cannot be opened: {err}") from err
    raise UsageError(f"--machine-readable: unknown form {sanitize(form)!r}", hint=f"use {_FORMS}")


def open_descriptor(number: int, option: str) -> TextIO:
    """Open a file descriptor that the process was started with; closing the stream leaves it open.

    :param option: how the user named it, for the error.
    :raises UsageError: it is not open.
    """
    if number == 1:
        return own_stdout.take()
    try:
        stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
    except (OSError, OverflowError) as err:
        raise UsageError(f"{option} cannot be opened: {err}") from err
    if number > _STDERR:
        # servers outlive this process; one that had it open would keep its reader waiting for the end
        os.set_inheritable(number, False)
    return stream


def close_channel(stream: TextIO) -> None:
    """Close a channel that ``open_channel`` opened. stdout and stderr stay open."""
    if stream in {own_stdout.stdout(), sys.stdout, sys.stderr}:
        stream.flush()
    else:
        stream.close()
