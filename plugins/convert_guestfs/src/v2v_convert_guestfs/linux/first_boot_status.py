# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what the scripts of ``firstboot`` have done in a Linux guest, from their places and from the runner's log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.firstboot import DONE, LOG, TODO
from v2v_convert_guestfs.session import Session
from v2v_core.api import FirstBootStatus, ScriptRun, ScriptState, printable

#: Bytes of the end of the log that are read, and names of scripts that are looked at.
_LOG_END, _MOST = 256 * 1024, 200
_STARTS = re.compile(r".{0,80}: (?P<name>[\w-]{1,80}) starts")
_ENDED = re.compile(r"(?P<when>.{0,80}): (?P<name>[\w-]{1,80}) has ended with the status (?P<code>\d{1,3})")


def read_status(session: Session, files: GuestFiles) -> FirstBootStatus:
    """Return the status of the scripts. The guest is mounted."""
    todo, done = _names(files, TODO), _names(files, DONE)
    planned = session.handle.is_dir(TODO) or session.handle.is_dir(DONE)
    # The runner removes the directory when it has run the last script.
    finished = planned and not session.handle.is_dir(TODO)
    return status_of(todo, done, _end_of(session, LOG), planned=planned, finished=finished)


def status_of(todo: Sequence[str], done: Sequence[str], log: str, *, planned: bool, finished: bool) -> FirstBootStatus:
    """Return the status.

    :param todo: scripts that wait. :param done: scripts that were started: each is started once.
    :param log: the end of the runner's log.
    """
    ended: dict[str, tuple[int, str]] = {}
    attempts: dict[str, int] = {}
    for line in log.splitlines():
        if match := _STARTS.fullmatch(line):
            attempts[match["name"]] = attempts.get(match["name"], 0) + 1
            ended.pop(match["name"], None)
        elif match := _ENDED.fullmatch(line):
            ended[match["name"]] = (int(match["code"]), printable(match["when"]))
    runs = []
    for name in done:
        code, when = ended.get(name, (None, None))
        # One that never ended was interrupted, or still runs: it is not started again.
        state = ScriptState.DONE if code == 0 else ScriptState.FAILED
        runs.append(
            ScriptRun(name=name, state=state, exit_code=code, attempts=max(1, attempts.get(name, 0)), ended=when)
        )
    waiting = [ScriptRun(name=name, state=ScriptState.WAITING) for name in todo if name not in done]
    return FirstBootStatus(planned=planned, finished=finished, scripts=(*runs, *waiting), log=log)


def _names(files: GuestFiles, directory: str) -> list[str]:
    paths = files.glob(f"{directory}/*")[:_MOST]
    return sorted(printable(path.removesuffix("/").rpartition("/")[2]) for path in paths)


def _end_of(session: Session, path: str) -> str:
    """Return the end of a file, whole lines of it; nothing if there is none."""
    handle = session.handle
    try:
        if not handle.is_file(path):
            return ""
        start = max(0, int(handle.filesize(path)) - _LOG_END)
        data = bytes(handle.pread(path, _LOG_END, start))
    except RuntimeError as err:
        session.report.debug(f"{path}: {brief(err)}")
        return ""
    text = data.decode("utf-8", "replace")
    return text.partition("\n")[2] if start else text
