# SPDX-License-Identifier: GPL-2.0-or-later
"""Names at a destination that a run has reserved, so that no other run makes a guest of the same name meanwhile.

A claim is a hidden file beside the final name. It says whose it is: the conversion directory, and the machine (or
container) on which that directory is. The ledger has the claim before it exists. The cleanup deletes it; after a crash,
the claim of a conversion directory that is gone counts for nothing.

Claims only save time. That no file is replaced, on whatever machine another run may be, is the publication's care.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import DestinationError
from v2v_core.output_files.publication import name_limit
from v2v_core.text import cut_name

_SUFFIX = ".v2v-claim"
#: Bytes; a claim is a short line, and a longer file of that name is not a claim.
_LONGEST = 8192


def claim(finals: Iterable[Path], directory: ConversionDir) -> None:
    """Reserve final names for the run of a conversion directory. What it has reserved already stays so.

    :raises DestinationError: another run has reserved one of them, or no file can be made beside it.
    """
    for final in finals:
        path = _file(final)
        directory.ledger.claim(str(path))
        try:
            with _locked(path) as descriptor:
                _take(descriptor, path, final, directory)
        except OSError as err:
            # a file of another user in a directory such as /tmp
            theirs = err.errno in {errno.EACCES, errno.EPERM} and path.exists()
            hint = f"another user makes, or has made, a guest of this name: choose another one with -on ({path})"
            raise DestinationError(
                f"the name {final} cannot be reserved: {path}: {err.strerror}", hint=hint if theirs else None
            ) from err


def look(finals: Iterable[Path], directory: ConversionDir) -> None:
    """Check that no other run has reserved one of the names. Reserve nothing.

    :raises DestinationError: another run has.
    """
    for final in finals:
        path = _file(final)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # none, or not for our eyes: to reserve the name will tell
            continue
        try:
            _refuse_if_taken(_owner(descriptor), path, final, directory)
        finally:
            os.close(descriptor)


def release(directory: ConversionDir) -> None:
    """Delete the claims of the run of a conversion directory, and no others.

    Never raise: a claim that stays counts for nothing once the directory is gone.
    """
    for name in directory.ledger.claims():
        path = Path(name)
        with contextlib.suppress(OSError):
            if not path.is_file():
                continue
            with _locked(path) as descriptor:
                if _owner(descriptor).get("directory") == str(directory.path):
                    path.unlink()


def _file(final: Path) -> Path:
    room = name_limit(final.parent) - len(_SUFFIX) - 1
    return final.with_name(f".{cut_name(final.name, room)}{_SUFFIX}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open the file of a claim, and make one if there is none. No other run reads, writes or deletes it meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            # a file system without locks (some network file systems) has to do without
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                is_current = os.path.samestat(os.fstat(descriptor), path.lstat())
            except FileNotFoundError:
                is_current = False
            if is_current:
                yield descriptor
                return
            # its owner has deleted it between the two calls
        finally:
            os.close(descriptor)


def _take(descriptor: int, path: Path, final: Path, directory: ConversionDir) -> None:
    _refuse_if_taken(_owner(descriptor), path, final, directory)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"directory": str(directory.path), "place": _place()}).encode(), 0)
    os.fsync(descriptor)


def _refuse_if_taken(owner: dict[str, str], path: Path, final: Path, directory: ConversionDir) -> None:
    theirs = owner.get("directory")
    if theirs == str(directory.path) or not _is_alive(owner):
        return
    raise DestinationError(
        f"another run is making {final} now; its conversion directory is {theirs}",
        hint="wait until it has ended, or choose another name with -on; if it is dead, run helper-v2v-cleanup --dir "
        f"{theirs}, or delete {path}",
    )


def _is_alive(owner: dict[str, str]) -> bool:
    """Return whether a run may still need its claim. A run elsewhere cannot be looked at, and so it may."""
    if "directory" not in owner:
        return False
    return owner.get("place") != _place() or Path(owner["directory"]).exists()


def _owner(descriptor: int) -> dict[str, str]:
    """Return what a claim says; nothing if it is empty, because its run was killed before it had written anything."""
    try:
        owner = json.loads(os.pread(descriptor, _LONGEST, 0))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in owner.items()} if isinstance(owner, dict) else {}


def _place() -> str:
    """Return what distinguishes this machine since it was started, and this container, from all others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {Path('/proc/self/ns/mnt').readlink()}"
