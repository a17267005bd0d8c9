# SPDX-License-Identifier: GPL-2.0-or-later
"""Who works on a conversion directory: locks that the kernel releases when their holder dies (flock(2)).

A whole run (``pipeline.run``) holds the directory for itself. Steps that are started one by one share it, as long as
neither makes void what the other does (``step_graph.shared_with``). The files are in ``lock/``: ``run``, and one
for each step. The descriptors are not inherited, so that a server that outlives its step holds no lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Step
from v2v_core.step_graph import BASE_COPY, shared_with

_RUN = "run"
#: Seconds that a cleanup waits for the steps that it has stopped.
_PATIENCE = 15.0


@contextlib.contextmanager
def held_for_a_run(directory: ConversionDir, token: str, *, patience: float = 0.0) -> Iterator[None]:
    """Hold the directory for a whole run.

    :param token: names the run, so that the warden of an earlier run does not take this one for its own.
    :param patience: seconds to wait for that warden, if that run was killed.
    :raises UsageError: another run or step works on the directory.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        while True:
            try:
                descriptor = stack.enter_context(_locked(directory, _RUN, fcntl.LOCK_EX))
                break
            except _BusyError as err:
                if err.holder is not None or time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)
        _sign(descriptor, token)
        yield


@contextlib.contextmanager
def held_for_a_step(directory: ConversionDir, step: Step, *, from_base: bool = False) -> Iterator[None]:
    """Hold the directory for one step, beside other steps that it does not disturb.

    :param from_base: the step is the copy of the base, which may run beside the conversion.
    :raises UsageError: a whole run works on the directory, or a step that this one must not run beside.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked(directory, _RUN, fcntl.LOCK_SH))
        own = BASE_COPY if from_base else step.value
        descriptor = stack.enter_context(_locked(directory, own, fcntl.LOCK_EX))
        _sign(descriptor, "")
        for other in shared_with(step, from_base=from_base):
            stack.enter_context(_locked(directory, other, fcntl.LOCK_SH))
        yield


@contextlib.contextmanager
def held_for_cleanup(directory: ConversionDir) -> Iterator[None]:
    """Hold the directory for its removal. The caller has stopped the steps that worked on it, but never a whole run.

    :raises UsageError: a whole run works on the directory, or a step did not end within 15 seconds.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with _locked(directory, _RUN, fcntl.LOCK_EX):
                yield
                return
        except _BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def refuse_if_a_run_works_on(directory: ConversionDir) -> None:
    """Check that no whole run works on the directory; single steps may.

    :raises UsageError: one does.
    """
    with _locked(directory, _RUN, fcntl.LOCK_SH):
        return


def is_still_the_run_of(path: Path, token: str) -> bool:
    """Return whether the last run that held a directory is the one that a token names, or none ever held it."""
    try:
        signed = json.loads((path / "lock" / _RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not isinstance(signed, dict) or signed.get("token") == token


def holders(directory: ConversionDir) -> tuple[int, ...]:
    """Return the processes that hold the directory: for a whole run, or for a step."""
    path = directory.path / "lock" / _RUN
    return tuple(pid for pid in _candidates(path) if holds(path, pid))


def holds(path: Path, pid: int) -> bool:
    """Return whether a process has a file open and holds its lock (``/proc/PID/fdinfo`` in proc(5))."""
    with contextlib.suppress(OSError):
        wanted = path.stat()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    info = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()
                    if any(line.startswith("lock:") and "FLOCK" in line for line in info.splitlines()):
                        return True
    return False


def _candidates(path: Path) -> frozenset[int]:
    """Return the processes that may hold the lock of a file: the one that has signed it, and those of /proc/locks."""
    found = set()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found.add(int(json.loads(path.read_text(encoding="utf-8"))["pid"]))
    with contextlib.suppress(OSError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK ADVISORY WRITE 1234 08:01:567 0 EOF
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
                with contextlib.suppress(ValueError):
                    found.add(int(words[4]))
    return frozenset(pid for pid in found if pid > 0)


def is_worked_on(directory: ConversionDir, step: Step) -> bool:
    """Return whether a process works on a step now, alone or as a part of a whole run."""
    for name in (_RUN, step.value, *((BASE_COPY,) if step is Step.COPY else ())):
        try:
            # a process that works on the step holds the lock exclusively
            with _locked(directory, name, fcntl.LOCK_SH):
                pass
        except _BusyError:
            return True
    return False


class _BusyError(UsageError):
    """Another process holds the lock.

    :param holder: the process; None if it is not known, or if it has ended and its warden cleans up after it.
    """

    def __init__(self, message: str, *, hint: str, holder: int | None) -> None:
        super().__init__(message, hint=hint)
        self.holder = holder


@contextlib.contextmanager
def _locked(directory: ConversionDir, name: str, how: int) -> Iterator[int]:
    path = directory.path / "lock" / name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise UsageError(f"{directory.path} is not a conversion directory any more: {err.strerror}") from err
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise _busy(directory, name, descriptor) from err
        yield descriptor
    finally:
        os.close(descriptor)


def _sign(descriptor: int, token: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "token": token}).encode(), 0)


def _busy(directory: ConversionDir, name: str, descriptor: int) -> _BusyError:
    holder = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        pid = int(json.loads(os.pread(descriptor, 4096, 0))["pid"])
        if name != _RUN or Path(f"/proc/{pid}").exists():
            holder = pid
    who = "another process" if holder is None else f"process {holder}"
    what = {_RUN: "a conversion", BASE_COPY: "step copy --from base"}.get(name, f"step {name}")
    return _BusyError(
        f"{directory.path} is in use: {who} runs {what} in it",
        hint="wait until it has ended, or use another directory with --dir",
        holder=holder,
    )
