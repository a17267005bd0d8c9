# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls a hook in a process of its own, like a supervisor that runs the steps one by one.

The memory of earlier hooks is not there, and the process can be killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


class HookProcessError(Exception):
    """The process ended without a result; the text is what it wrote to stderr."""


def call_in_process(plugin_class: type[Any], hook: str, request: object, *, kill: bool = False) -> Any:
    """Call a hook in a new process and return its result.

    :param kill: kill the process right after the hook has returned, before its result is passed on.
    :raises HookProcessError: it ended without a result, or printed something.
    """
    with tempfile.TemporaryDirectory(prefix="v2v-hook.") as scratch:
        order, answer = Path(scratch) / "order", Path(scratch) / "answer"
        order.write_bytes(pickle.dumps((plugin_class, hook, request, kill)))
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, str(order), str(answer)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(word for word in sys.path if word)},
        )
        if kill and done.returncode == -signal.SIGKILL:
            return None
        if done.returncode != 0:
            raise HookProcessError(f"{hook} ended with status {done.returncode}: {done.stderr}")
        if done.stdout or done.stderr:
            raise HookProcessError(f"{hook} printed: {done.stdout}{done.stderr}")
        # our child wrote it, into our directory
        return pickle.loads(answer.read_bytes())  # noqa: S301


def main(argv: list[str]) -> int:
    """Call the hook, as the new process."""
    plugin_class, hook, request, kill = pickle.loads(Path(argv[1]).read_bytes())  # noqa: S301 - from our parent
    result = getattr(plugin_class(), hook)(request=request)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
    Path(argv[2]).write_bytes(pickle.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
