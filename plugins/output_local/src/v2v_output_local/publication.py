# SPDX-License-Identifier: GPL-2.0-or-later
"""Giving finished files their final names, all or none, and clearing away what was not finished.

Every file has a hidden name until it is whole. ``publish`` then does this for each, in order:

1. what has the final name gets a second, hidden one (the backup);
2. the new file is renamed over the final name, which is atomic;

and, when all have their names, says so in the ledger and deletes the backups. If one fails, those before it are taken
back. If the process is killed in between, ``clear_away`` does it from the ledger, which says before each act what it
will be: objects of the kinds below. Nothing else is ever deleted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import DestinationError, Ledger, OwnedObject, Reporter

#: A hidden file that is not finished: its path.
PARTIAL = "partial-file"
#: A hidden name of what had a final name: ``BACKUP\\0FINAL``.
BACKUP = "backup-file"
#: A file that may have got its final name: ``DEVICE:INODE\\0FINAL``; the inode says whether it has.
PUBLISHED = "published-file"
#: All files have their final names; from now on they are the user's.
COMPLETE = "output-complete"


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A finished file: what it is called now, will be called, and a hidden name for what is there."""

    partial: Path
    final: Path
    backup: Path
    mode: int


def write_partial(path: Path, data: bytes, ledger: Ledger) -> None:
    """Write a file that is not published yet, and make it durable.

    :raises DestinationError: it cannot be written.
    """
    ledger.record(PARTIAL, str(path))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        raise DestinationError(f"a file cannot be written in {path.parent}: {err.strerror}") from err


def publish(files: Sequence[Publication], ledger: Ledger) -> None:
    """Give all files their final names, or none.

    :raises DestinationError: one cannot have it. What was there before has its names again; if that failed too, the
        error names it.
    """
    done: list[Publication] = []
    current = None
    try:
        for current in files:
            _make_durable(current)
        for current in files:
            done.append(current)
            _publish_one(current, ledger)
        for directory in {file.final.parent for file in files}:
            _sync_directory(directory)
    except OSError as err:
        named = current.final if current is not None else "the files"
        lost = [problem for file in reversed(done) if (problem := _take_back(file)) is not None]
        raise DestinationError(
            f"{named} cannot get its name: {err.strerror}", hint="; ".join(lost) if lost else None
        ) from err
    ledger.record(COMPLETE, str(files[-1].final) if files else "")
    for file in files:
        # a backup that stays is reported by clear_away, the output itself is whole
        _delete(file.backup)


def clear_away(owned: Sequence[OwnedObject], report: Reporter) -> None:
    """Take back what was published and delete what was not finished, as far as the ledger says that it is ours.

    Can be called again, and in another process. What cannot be deleted is named in a warning.
    """
    complete = any(item.kind == COMPLETE for item in owned)
    for item in reversed(owned):
        first, _, second = item.identity.partition("\0")
        problem = None
        if item.kind == PARTIAL:
            problem = _delete(Path(first))
        elif item.kind == BACKUP:
            problem = _delete(Path(first)) if complete else _restore(Path(first), Path(second))
        elif item.kind == PUBLISHED and not complete:
            problem = _withdraw(first, Path(second))
        if problem is not None:
            report.warning(problem)


def file_mode() -> int:
    """Give the mode that a new file has: 0666 without the bits of the umask."""
    # os.umask() can only be asked by setting it, which another thread would notice
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Umask:"):
            return 0o666 & ~int(line.split()[1], 8)
    return 0o600


def _make_durable(file: Publication) -> None:
    handle = os.open(file.partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        os.fchmod(handle, file.mode)
    finally:
        os.close(handle)


def _publish_one(file: Publication, ledger: Ledger) -> None:
    found = file.partial.lstat()
    if os.path.lexists(file.final):
        if stat.S_ISDIR(file.final.lstat().st_mode):
            raise IsADirectoryError(None, "there is a directory of that name", str(file.final))
        ledger.record(BACKUP, f"{file.backup}\0{file.final}")
        try:
            os.link(file.final, file.backup, follow_symlinks=False)
        except OSError:
            # no hard links here (vfat, some network file systems): the final name is missing for a moment
            file.final.rename(file.backup)
    ledger.record(PUBLISHED, f"{found.st_dev}:{found.st_ino}\0{file.final}")
    file.partial.rename(file.final)


def _take_back(file: Publication) -> str | None:
    """Undo the publication of a file, however far it went; give what could not be done."""
    try:
        if not os.path.lexists(file.partial):
            file.final.rename(file.partial)
    except OSError as err:
        return f"{file.final} is left behind: {err.strerror}"
    return _restore(file.backup, file.final)


def _restore(backup: Path, final: Path) -> str | None:
    """Give back its name to what had it before."""
    try:
        if os.path.lexists(backup):
            # nothing happens if both are names of the same file, so the backup may still be there
            backup.rename(final)
            backup.unlink(missing_ok=True)
    except OSError as err:
        return f"what was {final} is now called {backup}: {err.strerror}"
    return None


def _withdraw(inode: str, final: Path) -> str | None:
    """Delete what has a final name if it is the file that this run gave it to."""
    try:
        found = final.lstat()
        if f"{found.st_dev}:{found.st_ino}" == inode:
            final.unlink()
    except FileNotFoundError:
        return None
    except OSError as err:
        return f"{final} is not complete and could not be deleted: {err.strerror}"
    return None


def _delete(path: Path) -> str | None:
    try:
        path.unlink(missing_ok=True)
    except OSError as err:
        return f"{path} was left behind and could not be deleted: {err.strerror}"
    return None


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
