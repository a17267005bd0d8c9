# SPDX-License-Identifier: GPL-2.0-or-later
"""The warden: a process that outlives the supervisor of a run for as long as it takes to clean up after it.

It waits on a pipe whose other end only the supervisor holds. "done" says that there is nothing to do; the end of the
pipe without it says that the supervisor was killed, and the warden runs the cleanup step in its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core import processes

if TYPE_CHECKING:
    from v2v_core.conversion_dir import ConversionDir

_DONE = b"done"


class Warden:
    """The supervisor's end."""

    def __init__(self, directory: ConversionDir) -> None:
        # -P and the module's own file: nothing in the current directory can be taken for a module of ours
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "v2v_core.warden", str(directory.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **directory.environment, processes.SERVER_VARIABLE: "warden"},
        )

    def dismiss(self) -> None:
        """Tell it that everything is cleaned up, and wait until it is gone."""
        try:
            self._process.communicate(_DONE, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def main(argv: list[str]) -> int:
    """Wait for the supervisor; clean up when it is gone without a word."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    said = b""
    while chunk := os.read(0, 64):
        said += chunk
    if said == _DONE:
        return 0
    # only now: a process that waits should be small, and start fast
    from v2v_core.conversion_dir import ConversionDir
    from v2v_core.errors import V2VError
    from v2v_core.steps import cleanup

    try:
        cleanup.run(ConversionDir.existing(Path(argv[1])))
    except V2VError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
