# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes of a run: found by a mark in their environment, stopped by process descriptor.

Every process that a run starts, and every process that these start in turn, carries ``V2V_DIRECTORY`` in its
environment (``/proc/PID/environ`` in proc(5), the environment at the start). So no process has to be recorded before it
starts, a process id that was used again is never mistaken for one of the run, and a cleanup after ``kill -9`` finds all
of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

DIRECTORY_VARIABLE = "V2V_DIRECTORY"
#: What a server serves (``in1``, ``out2``). Processes without this variable are workers of a step.
SERVER_VARIABLE = "V2V_SERVER"
#: The step that a worker belongs to.
STEP_VARIABLE = "V2V_STEP"


@dataclass(frozen=True)
class RunProcess:
    """A process of a run.

    :param server: what it serves; None for a worker. :param step: the step that a worker belongs to.
    """

    pid: int
    server: str | None
    step: str | None = None


def find(directory: Path) -> tuple[RunProcess, ...]:
    """Find the processes of a run, except this process and its ancestors."""
    mark = os.fsencode(f"{DIRECTORY_VARIABLE}={directory}")
    own = _ancestry()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed, and there may be thousands
        if not entry.isdigit() or int(entry) in own:
            continue
        environment = _environment(int(entry))
        if mark in environment:
            server, step = (_value(environment, name) for name in (SERVER_VARIABLE, STEP_VARIABLE))
            found.append(RunProcess(int(entry), server, step))
    return tuple(found)


def stop(
    directory: Path,
    which: Callable[[RunProcess], bool],
    *,
    grace: float = 10.0,
) -> None:
    """Stop processes of a run: SIGTERM, then SIGKILL for those that are still there after ``grace`` seconds.

    Sockets that they made elsewhere (libguestfs makes its own under /tmp) are removed with them.
    """
    deadline = time.monotonic() + grace
    # in several rounds, because a process may start others while it is being stopped
    for _ in range(5):
        processes = [process for process in find(directory) if which(process)]
        if not processes:
            return
        sockets = bound_sockets(process.pid for process in processes)
        _stop_all(directory, processes, max(0.0, deadline - time.monotonic()))
        _remove_sockets(directory, sockets)


def works_for(step: str) -> Callable[[RunProcess], bool]:
    """Return a test for the workers of one step."""

    def test(process: RunProcess) -> bool:
        return process.server is None and process.step == step

    return test


def serves(*prefixes: str) -> Callable[[RunProcess], bool]:
    """Return a test for the servers whose name is a prefix (``in``, ``base``, ``out``) and a number."""

    def test(process: RunProcess) -> bool:
        return process.server is not None and process.server.rstrip("0123456789") in prefixes

    return test


def is_gone_with_the_run(process: RunProcess) -> bool:
    """Return whether a process is stopped at the end of the run. Only the warden outlives it, to clean up."""
    return process.server != "warden"


def bound_sockets(pids: Iterable[int]) -> tuple[Path, ...]:
    """Return the paths of the Unix sockets that processes have open and that they, or their parents, bound."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(descriptor.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[len("socket:[") : -1])
    paths = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()[1:]:
            fields = line.split(None, 7)
            if len(fields) == 8 and fields[6] in inodes and fields[7].startswith("/"):  # inode and path: proc(5)
                paths.append(Path(fields[7]))
    return tuple(paths)


def _ancestry() -> frozenset[int]:
    pid, line = os.getpid(), []
    while pid > 0:
        line.append(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return frozenset(line)


def _value(environment: list[bytes], name: str) -> str | None:
    prefix = os.fsencode(f"{name}=")
    return next((os.fsdecode(word[len(prefix) :]) for word in environment if word.startswith(prefix)), None)


def _environment(pid: int) -> list[bytes]:
    try:
        for _ in range(20):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            # it is also empty during execve(2); a kernel thread or a zombie has no program
            if environment or not Path(f"/proc/{pid}/exe").exists():
                return environment.split(b"\0")
            time.sleep(0.001)
    except OSError:
        pass
    return []


def _stop_all(directory: Path, processes: list[RunProcess], grace: float) -> None:
    mark = os.fsencode(f"{DIRECTORY_VARIABLE}={directory}")
    descriptors: dict[int, int] = {}
    try:
        for process in processes:
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(process.pid)
                descriptors[descriptor] = process.pid
                # checked again now that the descriptor pins the process: its id may have been used again
                if mark not in _environment(process.pid):
                    os.close(descriptor)
                    del descriptors[descriptor]
                    continue
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        left = _wait(descriptors, grace)
        for descriptor in left:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        _wait({descriptor: descriptors[descriptor] for descriptor in left}, 5.0)
        for process in processes:
            # servers only: the status of a worker belongs to its Popen, which takes a lost status for success
            if process.server is not None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _wait(descriptors: dict[int, int], seconds: float) -> list[int]:
    """Wait for processes to end, and return the descriptors of those that live on."""
    deadline = time.monotonic() + seconds
    left = dict(descriptors)
    poll = select.poll()
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    while left:
        remaining = deadline - time.monotonic()
        ended = poll.poll(max(0, remaining * 1000))
        for descriptor, _events in ended:
            poll.unregister(descriptor)
            del left[descriptor]
        if remaining <= 0 and not ended:
            break
    return list(left)


def _remove_sockets(directory: Path, sockets: Iterable[Path]) -> None:
    for path in sockets:
        made_by_libguestfs = path.parent.name.startswith("libguestfs")
        if not made_by_libguestfs and not path.is_relative_to(directory):
            continue
        with contextlib.suppress(OSError):
            path.unlink()
        if made_by_libguestfs:
            # rmdir leaves it alone unless it is empty
            with contextlib.suppress(OSError):
                path.parent.rmdir()
