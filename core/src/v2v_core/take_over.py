# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes a conversion directory over from a supervisor that hangs: it is killed, with all that belongs to the run."""

from __future__ import annotations

import contextlib
import os
import select
import signal

from v2v_core import locks, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying import fence
from v2v_core.copying.ends import PLACE
from v2v_core.errors import V2VError

#: Seconds that a killed process may take to end.
_PATIENCE = 10.0


def take_over(directory: ConversionDir) -> None:
    """Kill the process that holds the directory, and all processes of the run.

    What was started earlier and lives on nevertheless, say on another machine that shares the directory, is fenced off.

    :raises V2VError: the holder cannot be killed.
    """
    place = directory.path / PLACE
    fence.raise_epoch(place)
    for pid in locks.holders(directory):
        _kill_holder(directory, pid)
    # wardens too: that of the killed supervisor has nothing to do any more
    processes.stop(directory.path, lambda _process: True, grace=2.0)


def _kill_holder(directory: ConversionDir, pid: int) -> None:
    lock = directory.path / "lock" / "run"
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as err:
        raise V2VError(f"process {pid} cannot be killed: {err.strerror}") from err
    try:
        # looked at again now that the descriptor pins the process: its number may have been used again
        if pid == os.getpid() or not locks.holds(lock, pid):
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(_PATIENCE * 1000):
            raise V2VError(
                f"process {pid}, which holds {directory.path}, does not end even though it was killed",
                hint="it waits for a device or a network file system: see what that is, and try again",
            )
    except PermissionError as err:
        raise V2VError(
            f"process {pid}, which holds {directory.path}, cannot be killed: {err.strerror}",
            hint="it runs as another user",
        ) from err
    finally:
        os.close(descriptor)
