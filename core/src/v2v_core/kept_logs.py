# SPDX-License-Identifier: GPL-2.0-or-later
"""The logs of failed and interrupted runs, which outlive the conversion directory: in ``$XDG_STATE_HOME/v2v/logs``.

Each run has a directory of its own there, named after the time and the conversion directory. Logs older than 90 days
are deleted, and so are the oldest ones while all of them together exceed 1 GiB. Logs of the last day are always kept.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from pathlib import Path

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Step

_DAY = 24 * 60 * 60.0
_LONGEST = 90 * _DAY
_MOST = 1024**3
#: In the conversion directory: where its logs are kept, once they are.
_PLACE = "kept_logs"


def place() -> Path:
    """Return the directory that holds a directory of logs for each failed run."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "v2v" / "logs"


def keep(directory: ConversionDir, error: BaseException | None) -> Path | None:
    """Copy the logs and the events of a run that failed, and say in a note of the error where they are.

    What the run still owns is written down beside them.

    Does its best: without space for logs, the error itself is still reported, with a note that they are missing. A
    second call for the same directory brings the copy up to date.

    :param error: what ended the run; None if the supervisor was killed, so that there is no error to add a note to.
    :return: the directory of the copy; None if the logs are not worth keeping, or there is no space for them.
    """
    if error is not None:
        # they name files in the directory, which is about to be removed
        error.__notes__ = []
    if isinstance(error, UsageError | GeneratorExit):
        return None
    try:
        kept = _place_of(directory)
        shutil.copytree(directory.path / "log", kept, dirs_exist_ok=True)
        kept.chmod(0o700)
        if directory.events.exists():
            _keep_events(directory, kept)
        _keep_ledger(directory, kept)
        if error is not None:
            error.add_note(f"logs: {kept}")
        _drop_old(kept)
    except OSError as err:
        if error is not None and not error.__notes__:
            error.add_note(f"the logs could not be kept in {place()}: {err.strerror or err}")
        return None
    return kept


def _keep_events(directory: ConversionDir, kept: Path) -> None:
    """Copy the events. The logs that they name are those that are kept."""
    here, there = (
        json.dumps(f"{path}/", ensure_ascii=False)[1:-1] for path in (directory.log(Step.CONVERT).parent, kept)
    )
    text = directory.events.read_bytes().replace(f'"log": "{here}'.encode(), f'"log": "{there}'.encode())
    copy = kept / directory.events.name
    copy.touch(mode=0o600)
    copy.write_bytes(text)


def _keep_ledger(directory: ConversionDir, kept: Path) -> None:
    """Write down what is still owned, and by which plugin. Its options stay behind: they may be secret."""
    lines = [
        json.dumps({"role": owner.role, "mode": owner.choice.mode, "kind": thing.kind, "identity": thing.identity})
        for owner in directory.ledger.owners()
        if not owner.settled
        for thing in owner.objects
    ]
    if lines:
        (kept / "owned.jsonl").write_text("\n".join(lines) + "\n", encoding="ascii")


def _place_of(directory: ConversionDir) -> Path:
    """Return the directory for the logs of a run; two runs whose directories have the same name have two."""
    marker = directory.path / _PLACE
    if marker.exists():
        return Path(os.fsdecode(marker.read_bytes()))
    place().mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(1000):
        kept = place() / (f"{stamp}-{directory.path.name}" + (f"-{number}" if number else ""))
        try:
            kept.mkdir(mode=0o700)
        except FileExistsError:
            continue
        marker.write_bytes(os.fsencode(kept))
        return kept
    raise FileExistsError(f"{kept} exists")


def _drop_old(newest: Path) -> None:
    """Delete the logs that are too old, and the oldest ones while all of them together are too large."""
    now = time.time()
    runs = [(path.stat().st_mtime, path) for path in newest.parent.iterdir() if path.is_dir() and path != newest]
    total = _size(newest) + sum(_size(path) for _when, path in runs)
    for when, path in sorted(runs):
        age = now - when
        if age > _LONGEST or (total > _MOST and age > _DAY):
            total -= _size(path)
            shutil.rmtree(path)


def _size(path: Path) -> int:
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
