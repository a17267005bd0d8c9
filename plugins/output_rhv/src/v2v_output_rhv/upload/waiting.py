# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for the engine, with a limit. It has no way of calling back."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(ready: Callable[[], bool], *, limit: float, poll: float) -> bool:
    """Ask again and again; tell whether it was ready within ``limit`` seconds. It is asked at least once.

    :param poll: seconds between two questions in the long run; what is soon ready is soon found so.
    """
    deadline = time.monotonic() + limit
    pause = poll / 20
    while not ready():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, poll)
    return True
