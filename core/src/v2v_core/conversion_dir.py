# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion directory: everything that passes from one step to another is in it.

::

    in1 … inN          sockets: the disks of the guest, under a protective overlay (NBD)
    base1 … baseN      sockets: the same disks as the source has them, where core serves them (NBD, read-only)
    far1 … farN        sockets: sources that are read through one connection only (NBD, below ``base``)
    out1 … outN        sockets: the destinations (NBD)
    metadata.in        the guest as the source describes it
    metadata.out       the guest as the target will have it
    overlay/           qcow2 overlays and large temporary files
    tmp/               TMPDIR of every process of the run
    copy/              the journals and hashes of the copy (``copying``)
    input/ output/ convert/    private to the plugin of that role
    source.json        the disks of the source: how each is served, and where (``served.ServedSource``)
    output_choice.json what the user asked of the output (``-o`` …)
    output_names.json  the files that stand for the guest at the destination (``claims``)
    output.json        the destination: how each disk is served, and where (``served.ServedOutput``)
    conversion.json    the name of the conversion that has ended last (``copying.conversions``)
    run.json           what the user asked of a whole run, without secrets (``run_record``); only with ``--dir``
    ledger.jsonl       objects that plugins created outside this directory (``ledger``)
    state.jsonl        which steps began and were finished (``step_graph``)
    events.jsonl       all events
    log/STEP.log       one log per step
    lock/              who works on the directory (``locks``)

The directory has mode 0700 and belongs to the user who runs the conversion, because a process that can open a socket in
it can write to the guest.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from v2v_core import processes, step_graph
from v2v_core.atomic import write_atomically
from v2v_core.errors import UsageError, V2VError
from v2v_core.events import Step
from v2v_core.ledger import LedgerBook
from v2v_core.mounts import mounts_below, unmount_below
from v2v_core.records import from_json, to_json

#: The path of a Unix socket has at most 107 bytes (unix(7)), and ``/base999`` must fit behind that of the directory.
_LONGEST_PATH = 99
_MARKER = "v2v-conversion-directory"
_STATE = "state.jsonl"
_LOCK = "lock"
#: Ends the name of what is left of a directory while its last files are being removed.
_REMOVED = ".removed"
_ROOMS = ("log", "lock", "overlay", "tmp", "input", "output", "convert", "copy")
#: Where plugins may mount something for as long as the run lasts.
_PLUGIN_ROOMS = ("input", "output", "convert", "tmp")


RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class ConversionDir:
    """A conversion directory that exists."""

    path: Path

    @classmethod
    def temporary(cls, path: Path) -> ConversionDir:
        """Make a directory for one run at a path from ``temporary_path``, with ``overlay`` on a large file system.

        :raises V2VError: it cannot be made.
        """
        large = large_temporary()
        _check_name(path)
        try:
            # fails if the path exists, so that no other user can have put anything into the directory
            path.mkdir(mode=0o700)
        except OSError as err:
            raise V2VError(
                f"cannot make a directory in {path.parent}: {err.strerror}",
                hint="set TMPDIR to a directory that can be written and has space",
            ) from err
        directory = cls.open_or_create(path)
        try:
            # the link comes first, so that a run that is killed in between leaves no directory without a link to it
            directory.overlay.rmdir()
            target = large / f"{directory.path.name}.large"
            directory.overlay.symlink_to(target)
            target.mkdir(mode=0o700)
        except OSError as err:
            directory.remove()
            raise V2VError(
                f"cannot make a directory for temporary files in {large}: {err.strerror}",
                hint="set VIRT_V2V_TMPDIR to a directory that can be written and has space",
            ) from err
        return directory

    def remove(self) -> None:
        """Remove the directory, and the one that ``overlay`` links to. Unmount what plugins have mounted in it first.

        :raises V2VError: something in it cannot be removed, or something else is mounted in it.
        """
        unmount_below(self.path / room for room in _PLUGIN_ROOMS)
        large = self._large()
        mounted = [point for place in (self.path, large) if place is not None for point in mounts_below(place)]
        if mounted:
            # the mounted files do not belong to this run, and would be deleted with the directory
            raise V2VError(
                f"the conversion directory {self.path} is not removed: something is mounted on {mounted[0]}",
                hint=f"unmount {mounted[0]}, then run helper-v2v-cleanup --dir {self.path}",
            )
        try:
            if large is not None:
                shutil.rmtree(large)
            _remove_entries(entry for entry in self.path.iterdir() if entry.name not in {_MARKER, _LOCK})
            # a run that begins here meanwhile finds the lock that the cleanup holds, or nothing
            remove_rest(self.path)
            rest = self.path.with_name(f".{self.path.name}{_REMOVED}")
            self.path.rename(rest)
            shutil.rmtree(rest)
        except OSError as err:
            raise V2VError(f"cannot remove the conversion directory {self.path}: {err}") from err

    def empty(self) -> None:
        """Remove everything but what a later cleanup needs: ledger, state, metadata, logs, and files of plugins.

        :raises V2VError: something cannot be removed.
        """
        large = self._large()
        try:
            if large is not None:
                shutil.rmtree(large)
                self.overlay.unlink()
                self.overlay.mkdir(mode=0o700)
            for name in ("overlay", "tmp", "convert"):
                _remove_entries((self.path / name).iterdir())
            _remove_entries(entry for entry in self.path.iterdir() if stat.S_ISSOCK(entry.lstat().st_mode))
        except OSError as err:
            raise V2VError(f"cannot remove the temporary files in {self.path}: {err}") from err

    def _large(self) -> Path | None:
        """Return the directory that ``temporary`` made on a large file system; None if there is none."""
        if not self.overlay.is_symlink():
            return None
        target = self.overlay.readlink()
        ours = target.name == f"{self.path.name}.large" and target.is_dir() and not target.is_symlink()
        return target if ours else None

    @classmethod
    def open_or_create(cls, path: Path) -> ConversionDir:
        """Open a conversion directory. Make one if the path does not exist or is an empty directory.

        :raises UsageError: the path cannot be used, holds other files, or belongs to another user.
        """
        # "~" and symlinks are resolved once, so that every process of the run finds the same name in its environment
        path = Path(os.path.realpath(path))
        _check_name(path)
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            _check_owner(path)
            if not (path / _MARKER).exists():
                foreign = [entry.name for entry in path.iterdir() if not _admissible(entry)]
                if foreign:
                    raise UsageError(
                        f"{path} is not a conversion directory: it holds {foreign[0]}",
                        hint="name a new directory, or an empty one",
                    )
                path.chmod(0o700)
                for entry in path.iterdir():
                    _check_owner(entry)
                (path / _MARKER).write_text("1\n")
            _check_closed(path)
            for name in _ROOMS:
                (path / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as err:
            raise UsageError(f"cannot use {path} as the conversion directory: {err.strerror}") from err
        return cls(path)

    @classmethod
    def existing(cls, path: Path) -> ConversionDir:
        """Open a conversion directory that must exist already.

        :raises UsageError: there is none, it belongs to another user, or other users can open it.
        """
        path = Path(os.path.realpath(path))
        if not (path / _MARKER).is_file():
            raise UsageError(
                f"{path} is not a conversion directory",
                hint="name the directory that the input step was given with --dir",
            )
        _check_owner(path)
        _check_closed(path)
        return cls(path)

    @property
    def metadata_in(self) -> Path:
        """The guest as the source describes it."""
        return self.path / "metadata.in"

    @property
    def metadata_out(self) -> Path:
        """The guest as the target will have it."""
        return self.path / "metadata.out"

    @property
    def overlay(self) -> Path:
        """Where overlays are; in a temporary directory, a link to a directory on a large file system."""
        return self.path / "overlay"

    @property
    def events(self) -> Path:
        """All events of the run, as JSON lines."""
        return self.path / "events.jsonl"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for every process of the run: the mark by which it is found, and the place of its temporary files.

        These vanish with the directory, even if the process is killed.
        """
        return {processes.DIRECTORY_VARIABLE: str(self.path), "TMPDIR": str(self.path / "tmp")}

    def log(self, step: Step) -> Path:
        """The log of a step."""
        return self.path / "log" / f"{step.value}.log"

    def socket(self, kind: str, index: int) -> Path:
        """The socket of a disk. The kind is ``in``, ``base`` or ``out``; the index counts from 1."""
        return self.path / f"{kind}{index}"

    def private(self, role: str) -> Path:
        """The directory that is private to the plugin of a role."""
        return self.path / role

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object that an earlier step left.

        :raises V2VError: that step did not run, or the file is damaged.
        """
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError as err:
            raise UsageError(
                f"{self.path / name} is missing: an earlier step was not run, or not to its end",
                hint="run the steps in their order: input, convert, output setup, copy, output final",
            ) from err
        except (OSError, ValueError) as err:
            raise V2VError(f"{self.path / name} is damaged: {err}") from err
        if not isinstance(value, dict):
            raise V2VError(f"{self.path / name} is damaged: it is not a JSON object")
        return value

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON object atomically, readable for this user only."""
        write_atomically(self.path / name, json.dumps(value, indent=1).encode())

    def write_record(self, name: str, record: object) -> None:
        """Write a record as JSON atomically, readable for this user only."""
        self.write_json(name, to_json(record))

    def read_record(self, name: str, kind: type[RecordT]) -> RecordT:
        """Read a record that an earlier step left.

        :raises V2VError: that step did not run, or the file is damaged.
        """
        value = self.read_json(name)
        try:
            return from_json(value, kind)
        except ValueError as err:
            raise V2VError(f"{self.path / name} is damaged: {err}") from err

    @property
    def ledger(self) -> LedgerBook:
        """The ledger of what plugins created outside this directory."""
        return LedgerBook(self.path)

    def done(self) -> frozenset[Step]:
        """Return the steps that were finished, and whose result still counts."""
        return step_graph.fold(self._marks())

    def has_begun(self, step: Step) -> bool:
        """Return whether a step began after the last beginning of a step that it builds on, finished or not."""
        begun = False
        for other, finished in self._marks():
            if not finished and other is not Step.CLEANUP:
                begun = other is step or (begun and step not in step_graph.RULES[other].voids)
        return begun

    def require(self, step: Step) -> None:
        """Check that the results of all steps that a step needs are there.

        :raises UsageError: an earlier step was not run, or its result no longer counts.
        """
        done = self.done()
        for needed in sorted(step_graph.RULES[step].needs, key=list(Step).index):
            product = step_graph.RULES[needed].product
            if needed not in done and not (product is not None and (self.path / product).exists()):
                raise UsageError(
                    f"{self.path}: step {step.value} needs step {needed.value}, which was not run, or not to its end",
                    hint=f"run step {needed.value} on this directory first",
                )

    def mark_begun(self, step: Step) -> None:
        """Write down that a step begins: what it makes out of date no longer counts."""
        self._mark(step, finished=False)

    def mark_done(self, step: Step) -> None:
        """Write down that a step was finished."""
        self._mark(step, finished=True)

    def _mark(self, step: Step, *, finished: bool) -> None:
        # a line is appended at once, so that steps that run at the same time do not lose each other's marks
        line = "\n" + json.dumps({"step": step.value, "finished": finished}) + "\n"
        descriptor = os.open(self.path / _STATE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _marks(self) -> Iterator[tuple[Step, bool]]:
        try:
            lines = (self.path / _STATE).read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                mark = json.loads(line)
                yield Step(mark["step"]), bool(mark["finished"])
            except (ValueError, KeyError, TypeError):
                # a line that a crash cut short, or a step of a later version
                continue


def _remove_entries(entries: Iterable[Path]) -> None:
    for entry in list(entries):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def remove_rest(path: Path) -> None:
    """Remove what is left of a directory whose removal was killed at its very end: the marker and the locks."""
    shutil.rmtree(path.with_name(f".{path.name}{_REMOVED}"), ignore_errors=True)


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as err:
        # qemu takes the names of sockets and overlays as JSON, which has no other characters
        raise UsageError(
            f"the path of the conversion directory is not UTF-8: {path}",
            hint="choose another one with --dir, or with TMPDIR",
        ) from err
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UsageError(
            f"the path of the conversion directory is too long for sockets in it: {path}",
            hint=f"choose one of at most {_LONGEST_PATH} bytes, or a shorter TMPDIR",
        )


def _check_owner(path: Path) -> None:
    """Refuse a file of another user, who could put his own disks and metadata into the conversion."""
    owner = path.lstat().st_uid
    if owner != os.geteuid():
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = str(owner)
        raise UsageError(
            f"{path} cannot be used for a conversion: it belongs to the user {name}",
            hint="name a directory of your own with --dir, or one that does not exist yet",
        )


def _check_closed(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UsageError(
            f"{path} cannot be used for a conversion: other users can open it (its mode is {mode:04o})",
            hint="another user may have put something into it: remove it, and name a new directory",
        )


def _admissible(entry: Path) -> bool:
    # another supervisor may have put endpoints and metadata into a directory of its own. A directory that has an
    # "input" with something in it holds the user's files, which would be removed at the end
    if entry.name in _ROOMS:
        return entry.is_dir() and not entry.is_symlink() and not any(entry.iterdir())
    return entry.name in {"metadata.in", "metadata.out"} or entry.name.rstrip("0123456789") in {"in", "base", "out"}


def temporary_path() -> Path:
    """Return a path in ``$TMPDIR`` or /tmp for the directory of one run. It does not exist yet."""
    parent = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - ``temporary`` fails if the path exists
    return Path(os.path.realpath(parent)) / f"v2v.{secrets.token_hex(6)}"


def large_temporary() -> Path:
    """Return the directory for large temporary files: ``VIRT_V2V_TMPDIR``, ``LIBGUESTFS_CACHEDIR`` or /var/tmp."""
    chosen = os.environ.get("VIRT_V2V_TMPDIR") or os.environ.get("LIBGUESTFS_CACHEDIR") or "/var/tmp"  # noqa: S108
    return Path(os.path.realpath(chosen))
