# SPDX-License-Identifier: GPL-2.0-or-later
"""Give finished files their final names, all or none, and delete unfinished ones.

Every file has a hidden name until it is whole. ``publish`` then gives each file its final name, in order. A file that
has this name already is an error, even if it has appeared a moment before: another run may have made it. Where the user
wants existing files to be replaced (``overwrite``), two things happen instead:

1. the file that has the final name so far gets a second, hidden name (the backup);
2. the new file is renamed to the final name, which is atomic.

When all files have their names, ``publish`` deletes the backups. If one file fails, the files before it are taken back.
If the process is killed in between, ``clear_away`` takes them back: every name is in the ledger before it is used, and
the journal in the plugin's private directory says which names belong together. Nothing else is ever deleted.
"""

from __future__ import annotations

import errno
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

#: Kind of an object in the ledger: a hidden file that is not finished.
PARTIAL = "partial-file"
#: Kind: the hidden name of a file that has, or had, a final name before this run.
BACKUP = "backup-file"
#: Kind: a final name that a file of this run may have. The journal has the fingerprint of that file.
PUBLISHED = "published-file"

_JOURNAL = "publication.json"
#: Bytes; the limit of nearly every file system on Linux, for those where the kernel does not report one.
_USUAL_LIMIT = 255

#: Creates a file that does not exist yet, for this user only, and returns its descriptor, open for writing.
Opener = Callable[[Path], int]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A finished file that is to get its final name.

    :param partial: its hidden name, so far.
    :param final: its final name.
    :param backup: a hidden name for the file that has the final name now.
    :param mode: permissions that it gets.
    :param overwrite: replace the file that has the final name; if false, such a file is an error.
    """

    partial: Path
    final: Path
    backup: Path
    mode: int
    overwrite: bool = False


def hidden_name(final: Path, kind: str = "partial") -> Path:
    """Return a hidden name in the directory of a file, for use until it is finished. Every call returns a new one.

    :param kind: the end of the name: ``partial`` or ``backup``.
    """
    end = f".v2v-{secrets.token_hex(8)}.{kind}"
    return final.with_name(f".{cut_name(final.name, name_limit(final.parent) - 1 - len(end))}{end}")


def name_limit(directory: Path) -> int:
    """Return how many bytes the name of a file in a directory can have."""
    try:
        limit = os.pathconf(directory, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _USUAL_LIMIT
    # encrypting file systems have less (eCryptfs 143); some report a larger number, which counts characters
    return min(limit, _USUAL_LIMIT) if limit >= 64 else _USUAL_LIMIT


def open_new(path: Path) -> int:
    """Create a file that does not exist yet, for this user only, and return its descriptor, open for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def write_partial(path: Path, data: bytes, ledger: Ledger, *, opener: Opener = open_new) -> None:
    """Write a file under a hidden name, record it in the ledger, and make it durable.

    :param opener: creates the file.
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

    :param directory: the private directory of the plugin (``request.directory``), for the journal.
    :raises DestinationError: one of them cannot get its name. The files that were there before have their names again.
        If one does not, the hint says what it is called now.
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
        if isinstance(err, FileExistsError):
            lost.append("choose another name with -on, or replace what is there with --overwrite")
        raise DestinationError(
            f"{named} cannot get its name: {err.strerror}", hint="; ".join(lost) if lost else None
        ) from err
    for file in files:
        _delete(file.backup)


def clear_away(owned: Sequence[OwnedObject], directory: Path, report: Reporter) -> tuple[OwnedObject, ...]:
    """Take back published files and delete unfinished ones, as far as the ledger says that they are this run's.

    Can be called again with what is left, and in another process.

    :param owned: what the ledger has. Objects of kinds that this toolkit does not record are ignored.
    :param directory: the private directory of the plugin (``request.directory``), with the journal.
    :param report: gets a warning for each object that is left, with the cause.
    :return: the objects that could not be undone; they are to stay in the ledger.
    """
    journal = _read_journal(directory)
    finals = {entry["backup"]: final for final, entry in journal.items()}
    left = []
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
                problem = (
                    f"{path} is a file that was at the destination before: the journal of the run in {directory} is"
                    " lost, which has its name"
                )
        if problem is not None:
            report.warning(problem)
            left.append(item)
    return tuple(reversed(left))


def file_mode() -> int:
    """Return the permissions of a new file: 0666 without the bits of the umask."""
    # os.umask() cannot read the mask without setting it, which would affect other threads
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("Umask:"):
            return 0o666 & ~int(line.split()[1], 8)
    return 0o600


def _fingerprint(found: os.stat_result) -> str:
    """Return what distinguishes a file from every other one, under whatever name, as long as it is not written.

    The number of the inode is not enough: when the file is deleted, a new file may get it.
    """
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _make_durable(file: Publication) -> str:
    """Make a file durable, set its permissions, and return its fingerprint."""
    handle = os.open(file.partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        os.fchmod(handle, file.mode)
        return _fingerprint(os.fstat(handle))
    finally:
        os.close(handle)


def _publish_one(file: Publication, ledger: Ledger) -> None:
    if not file.overwrite:
        _publish_new(file, ledger)
        return
    if os.path.lexists(file.final):
        if stat.S_ISDIR(file.final.lstat().st_mode):
            raise IsADirectoryError(None, "there is a directory of that name", str(file.final))
        ledger.record(BACKUP, str(file.backup))
        try:
            os.link(file.final, file.backup, follow_symlinks=False)
        except OSError:
            # this file system has no hard links (vfat, some network file systems): the final name is missing briefly
            file.final.rename(file.backup)
    ledger.record(PUBLISHED, str(file.final))
    file.partial.rename(file.final)


def _publish_new(file: Publication, ledger: Ledger) -> None:
    """Move a file to its final name unless that exists. Another run may try the same at this moment."""
    ledger.record(PUBLISHED, str(file.final))
    try:
        # unlike rename(2), link(2) never replaces a file
        os.link(file.partial, file.final, follow_symlinks=False)
    except FileExistsError as err:
        raise FileExistsError(
            err.errno, "a file of that name exists, which was not there before", err.filename
        ) from err
    except OSError:
        # this file system has no hard links (vfat, some network file systems)
        if os.path.lexists(file.final):
            raise FileExistsError(errno.EEXIST, "a file of that name exists, which was not there before") from None
        file.partial.rename(file.final)
    else:
        file.partial.unlink()


def _write_journal(directory: Path, files: Sequence[Publication], fingerprints: dict[Path, str]) -> None:
    journal = {str(file.final): {"backup": str(file.backup), "fingerprint": fingerprints[file.final]} for file in files}
    write_atomically(directory / _JOURNAL, json.dumps(journal).encode())


def _read_journal(directory: Path) -> dict[str, dict[str, str]]:
    try:
        journal = json.loads((directory / _JOURNAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # there is no journal, or it is lost: without it, a file of this run looks like a file of the user's
        return {}
    return journal if isinstance(journal, dict) else {}


def _take_back(file: Publication, fingerprint: str) -> str | None:
    """Undo the publication of a file, however far it went. Return the problem if that failed."""
    try:
        if os.path.lexists(file.final) and _fingerprint(file.final.lstat()) == fingerprint:
            if os.path.lexists(file.partial):
                # both are names of one file, and rename(2) does nothing then
                file.final.unlink()
            else:
                file.final.rename(file.partial)
    except OSError as err:
        return f"{file.final} is left behind: {err.strerror}"
    return _restore(file.backup, file.final)


def _restore(backup: Path, final: Path) -> str | None:
    """Rename a backup to its final name, unless a newer file has this name. Return the problem if that failed."""
    try:
        if not os.path.lexists(backup):
            return None
        if not os.path.lexists(final):
            backup.rename(final)
        elif os.path.samestat(backup.lstat(), final.lstat()):
            backup.unlink()
        else:
            return f"the file that was {final} before is now called {backup}"
    except OSError as err:
        return f"the file that was {final} before is now called {backup}: {err.strerror}"
    return None


def _withdraw(fingerprint: str, final: Path) -> str | None:
    """Delete the file that has a final name if this run published it. Return the problem if that failed."""
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
