# SPDX-License-Identifier: GPL-2.0-or-later
"""Giving finished files their final names, all or none, and clearing away what was not finished.

Every file has a hidden name until it is whole. ``publish`` then does this for each, in order:

1. what has the final name gets a second, hidden one (the backup);
2. the new file is renamed over the final name, which is atomic;

and deletes the backups when all have their names. If one fails, those before it are taken back. If the process is
killed in between, ``clear_away`` takes them back: every name is in the ledger before it is used, and the journal in the
plugin's private directory says what belongs together. Nothing else is ever deleted.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2v_core.atomic import sync_directory, write_atomically
from v2v_core.errors import DestinationError
from v2v_core.events import Reporter
from v2v_core.hookspecs import Ledger, OwnedObject
from v2v_core.text import cut_name

#: A hidden file that is not finished.
PARTIAL = "partial-file"
#: A hidden name of what has, or had, a final name.
BACKUP = "backup-file"
#: A final name that a file of this run may have; the journal knows how to tell whether it has.
PUBLISHED = "published-file"

_JOURNAL = "publication.json"
#: The limit of nearly every file system on Linux, for where the kernel does not say.
_USUAL_LIMIT = 255

#: Makes a file that does not exist yet, for this user only, and gives its descriptor, open for writing.
Opener = Callable[[Path], int]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A finished file: what it is called now, will be called, and a hidden name for what is there."""

    partial: Path
    final: Path
    backup: Path
    mode: int


def hidden_name(final: Path, kind: str = "partial") -> Path:
    """Give a hidden name beside a file, for as long as it is not finished. Every call gives another one."""
    end = f".v2v-{secrets.token_hex(8)}.{kind}"
    return final.with_name(f".{cut_name(final.name, name_limit(final.parent) - 1 - len(end))}{end}")


def name_limit(directory: Path) -> int:
    """Give how many bytes a name can have in a directory."""
    try:
        limit = os.pathconf(directory, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _USUAL_LIMIT
    # encrypting file systems have less (eCryptfs 143); some say a number of characters that is more
    return min(limit, _USUAL_LIMIT) if limit >= 64 else _USUAL_LIMIT


def open_new(path: Path) -> int:
    """Make a file that does not exist yet, for this user only, and give its descriptor, open for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def write_partial(path: Path, data: bytes, ledger: Ledger, *, opener: Opener = open_new) -> None:
    """Write a file that is not published yet, and make it durable.

    :param opener: makes the file.
    :raises DestinationError: it cannot be written.
    """
    ledger.record(PARTIAL, str(path))
    try:
        with os.fdopen(opener(path), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        raise DestinationError(f"a file cannot be written in {path.parent}: {err.strerror}") from err


def publish(files: Sequence[Publication], directory: Path, ledger: Ledger) -> None:
    """Give all files their final names, or none.

    :param directory: the private directory of the plugin, for the journal.
    :raises DestinationError: one cannot have it. What was there before has its names again; if that failed too, the
        hint names it.
    """
    begun: list[Publication] = []
    fingerprints: dict[Path, str] = {}
    current = None
    try:
        for current in files:
            fingerprints[current.final] = _make_durable(current)
        _write_journal(directory, files, fingerprints)
        for current in files:
            begun.append(current)
            _publish_one(current, ledger)
        for parent in {file.final.parent for file in files}:
            sync_directory(parent)
    except OSError as err:
        named = current.final if current is not None else directory
        undone = (_take_back(file, fingerprints[file.final]) for file in reversed(begun))
        lost = [problem for problem in undone if problem is not None]
        raise DestinationError(
            f"{named} cannot get its name: {err.strerror}", hint="; ".join(lost) if lost else None
        ) from err
    for file in files:
        _delete(file.backup)


def clear_away(owned: Sequence[OwnedObject], directory: Path, report: Reporter) -> None:
    """Take back what was published and delete what was not finished, as far as the ledger says that it is ours.

    Can be called again, and in another process. What cannot be deleted is named in a warning.

    :param directory: the private directory of the plugin, with the journal.
    """
    journal = _read_journal(directory)
    finals = {entry["backup"]: final for final, entry in journal.items()}
    for item in reversed(owned):
        path = Path(item.identity)
        problem = None
        if item.kind == PARTIAL:
            problem = _delete(path)
        elif item.kind == PUBLISHED:
            if item.identity in journal:
                problem = _withdraw(journal[item.identity]["fingerprint"], path)
            elif os.path.lexists(path):
                problem = f"{path} may not be complete: the journal of the run in {directory} is lost"
        elif item.kind == BACKUP:
            if item.identity in finals:
                problem = _restore(path, Path(finals[item.identity]))
            elif os.path.lexists(path):
                problem = f"{path} is an older file of the user's: the journal of the run in {directory} is lost"
        if problem is not None:
            report.warning(problem)


def file_mode() -> int:
    """Give the mode that a new file has: 0666 without the bits of the umask."""
    # os.umask() can only be asked by setting it, which another thread would notice
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Umask:"):
            return 0o666 & ~int(line.split()[1], 8)
    return 0o600


def _fingerprint(found: os.stat_result) -> str:
    """Tell a file from every other one, under whatever name, as long as nobody writes it.

    The inode alone would not do: when the file is deleted, the next one may get its number.
    """
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _make_durable(file: Publication) -> str:
    """Write a file out, give it its mode, and give its fingerprint."""
    handle = os.open(file.partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        os.fchmod(handle, file.mode)
        return _fingerprint(os.fstat(handle))
    finally:
        os.close(handle)


def _publish_one(file: Publication, ledger: Ledger) -> None:
    if os.path.lexists(file.final):
        if stat.S_ISDIR(file.final.lstat().st_mode):
            raise IsADirectoryError(None, "there is a directory of that name", str(file.final))
        ledger.record(BACKUP, str(file.backup))
        try:
            os.link(file.final, file.backup, follow_symlinks=False)
        except OSError:
            # no hard links here (vfat, some network file systems): the final name is missing for a moment
            file.final.rename(file.backup)
    ledger.record(PUBLISHED, str(file.final))
    file.partial.rename(file.final)


def _write_journal(directory: Path, files: Sequence[Publication], fingerprints: dict[Path, str]) -> None:
    journal = {str(file.final): {"backup": str(file.backup), "fingerprint": fingerprints[file.final]} for file in files}
    write_atomically(directory / _JOURNAL, json.dumps(journal).encode())


def _read_journal(directory: Path) -> dict[str, dict[str, str]]:
    try:
        journal = json.loads((directory / _JOURNAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # none was written, or it is lost: what cannot be told apart is not deleted
        return {}
    return journal if isinstance(journal, dict) else {}


def _take_back(file: Publication, fingerprint: str) -> str | None:
    """Undo the publication of a file, however far it went; give what could not be done."""
    try:
        if os.path.lexists(file.final) and _fingerprint(file.final.lstat()) == fingerprint:
            file.final.rename(file.partial)
    except OSError as err:
        return f"{file.final} is left behind: {err.strerror}"
    return _restore(file.backup, file.final)


def _restore(backup: Path, final: Path) -> str | None:
    """Give back its name to what had it before, unless something newer has it."""
    try:
        if not os.path.lexists(backup):
            return None
        if not os.path.lexists(final):
            backup.rename(final)
        elif os.path.samestat(backup.lstat(), final.lstat()):
            backup.unlink()
        else:
            return f"what was {final} before is now called {backup}"
    except OSError as err:
        return f"what was {final} is now called {backup}: {err.strerror}"
    return None


def _withdraw(fingerprint: str, final: Path) -> str | None:
    """Delete what has a final name if it is the file that this run gave it to."""
    try:
        if _fingerprint(final.lstat()) == fingerprint:
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
