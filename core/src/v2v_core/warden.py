# SPDX-License-Identifier: GPL-2.0-or-later
"""The warden: a process that outlives the supervisor of a run for as long as it takes to clean up after it.

It waits on a pipe whose other end only the supervisor holds. "done" says that there is nothing to do; the end of the
pipe without it says that the supervisor was killed, and the warden runs the cleanup step in its place. A directory that
can be resumed (``run_record``) is kept; only its processes are stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from v2v_core.processes import DIRECTORY_VARIABLE, SERVER_VARIABLE, is_gone_with_the_run, stop

_DONE = b"done"


@contextlib.contextmanager
def warden(path: Path, token: str) -> Iterator[None]:
    """Run a warden for a conversion directory, which may not exist yet, while the block runs.

    :param token: names this run; the warden leaves the directory alone if another run has taken it over meanwhile.
    """
    path = Path(os.path.realpath(path))
    process = subprocess.Popen(
        # -P: nothing in the current directory can be taken for a module of ours
        [sys.executable, "-P", "-m", "v2v_core.warden", str(path), token],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={**os.environ, DIRECTORY_VARIABLE: str(path), SERVER_VARIABLE: "warden"},
    )
    try:
        yield
    finally:
        try:
            process.communicate(_DONE, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()


def main(argv: list[str]) -> int:
    """Wait until the supervisor has ended, and clean up unless it sent "done"."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    received = b""
    while chunk := os.read(0, 64):
        received += chunk
    path, token = Path(argv[1]), argv[2]
    if received == _DONE:
        return 0
    if not path.exists():
        # it was not made yet, or another process removed it while the servers were running
        stop(path, is_gone_with_the_run)
        from v2v_core.conversion_dir import remove_rest

        remove_rest(path)
        return 0
    # imported only now: a process that waits should be small, and start fast
    from v2v_core import kept_logs, locks, run_record
    from v2v_core.conversion_dir import ConversionDir
    from v2v_core.errors import V2VError
    from v2v_core.steps import cleanup

    try:
        # the supervisor may have been killed before the directory was whole
        directory = ConversionDir.open_or_create(path)
    except V2VError:
        # another process is removing it: without it the servers are of no use to anyone
        stop(path, is_gone_with_the_run)
        return 1
    try:
        with locks.held_for_cleanup(directory):
            if not locks.is_still_the_run_of(path, token):
                return 0
            kept_logs.keep(directory, None)
            if run_record.exists(path):
                # the user has named the directory, and can go on with the run
                stop(path, is_gone_with_the_run)
            elif cleanup.run(directory):
                # something is left, and the log of the cleanup says why, so it is kept, too
                kept_logs.keep(directory, None)
    except V2VError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
