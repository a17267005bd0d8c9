# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what the guest wrote down about its first boots. ``firstboot.bat`` says what the lines are."""

from __future__ import annotations

import re

from v2v_convert_guestfs.windows.files import WindowsFiles
from v2v_convert_guestfs.windows.firstboot import layout
from v2v_core.api import FirstBootStatus, ScriptRun, ScriptState

#: What is looked at of a status file and of a log. The guest can write anything into both.
_LONGEST_STATUS, _MOST_SCRIPTS = 64 * 1024, 200
_LONGEST_LOG, _LOG_IN_GUEST = 64 * 1024, 16 * 1024 * 1024

_STATES = {
    "waiting": ScriptState.WAITING,
    "running": ScriptState.WAITING,
    "again": ScriptState.WAITING,
    "done": ScriptState.DONE,
    "failed": ScriptState.FAILED,
    "given-up": ScriptState.GIVEN_UP,
}
_HEADER = re.compile(r"#1;(running|finished);\d{1,9};\d{1,9}")
_SCRIPT = re.compile(r"([A-Za-z0-9-]{1,70});([a-z-]{1,20});(-|-?\d{1,10});(\d{1,9});(.{0,100})")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def new_status(names: tuple[str, ...]) -> bytes:
    """Return the status file of a first boot that has not begun."""
    lines = ["#1;running;0;0", *(f"{name};waiting;-;0;-" for name in names), "#end"]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def read_status(files: WindowsFiles, systemroot: str) -> FirstBootStatus:
    """Read how the first boots of the mounted guest went."""
    place = layout.find_layout(files, systemroot)
    if place is None:
        return FirstBootStatus(planned=False)
    log = files.read(place.path(layout.LOG), limit=_LOG_IN_GUEST) or b""
    status = b""
    # status.txt is away for a moment while it is replaced
    for name in (layout.STATUS, layout.OLD_STATUS, layout.FIRST_STATUS):
        status = files.read_start(place.path(name), _LONGEST_STATUS) or b""
        if _is_whole(status):
            break
    return parse_status(status, log)


def parse_status(status: bytes, log: bytes) -> FirstBootStatus:
    """Return what a status file and a log say. One that is not whole says that nothing has finished."""
    shown = _text(log[-_LONGEST_LOG:])
    if not _is_whole(status):
        return FirstBootStatus(planned=True, log=shown)
    header, *lines = _lines(status)
    matches = [match for line in lines if (match := _SCRIPT.fullmatch(line))]
    return FirstBootStatus(
        planned=True,
        finished=header.split(";")[1] == "finished",
        scripts=tuple(_script(match) for match in matches[:_MOST_SCRIPTS]),
        log=shown,
    )


def _is_whole(status: bytes) -> bool:
    lines = _lines(status)
    return "#end" in lines and _HEADER.fullmatch(lines[0]) is not None


def _lines(status: bytes) -> list[str]:
    return _text(status[:_LONGEST_STATUS]).split("\n")


def _script(match: re.Match[str]) -> ScriptRun:
    name, state, code, attempts, ended = match.groups()
    return ScriptRun(
        name=name,
        state=_STATES.get(state, ScriptState.FAILED),
        exit_code=None if code == "-" else int(code),
        attempts=int(attempts),
        ended=None if ended.strip() in {"", "-"} else ended.strip(),
    )


def _text(content: bytes) -> str:
    """Return text of the guest, in whatever code page: without control characters, and with LF."""
    return _CONTROL.sub("", content.decode("utf-8", "replace"))
