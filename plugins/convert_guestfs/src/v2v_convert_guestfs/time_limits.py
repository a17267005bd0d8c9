# SPDX-License-Identifier: GPL-2.0-or-later
"""Time limits for work that a guest can prolong: its own programs, and libguestfs's reading of its files.

The guest's own timeout(1) ends a program, and the conversion continues as after any program that fails. A call of
libguestfs cannot be interrupted: when it takes too long, the appliance is killed and the conversion fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from v2v_core.api import ConversionError

#: Seconds for one program of the guest; twice as many without hardware virtualization. Building an initramfs takes 90
#: seconds there, and several times as long on a busy machine.
PROGRAM_LIMIT = 15 * 60
#: Further seconds until the appliance is killed, if the guest has no timeout(1) or its signal did not help.
GRACE = 60
#: Seconds for libguestfs's inspection of the guest. It takes 5 to 30.
INSPECTION_LIMIT = 15 * 60


class OutOfTimeError(ConversionError):
    """The appliance was killed because a call took too long; the guest cannot be accessed any more."""


def program_limit(*, emulation: bool) -> int:
    """Return the seconds that a program of the guest may take."""
    return PROGRAM_LIMIT * (2 if emulation else 1)


@contextmanager
def limited(what: str, seconds: float, kill: Callable[[], None], *, hint: str) -> Iterator[None]:
    """Kill the appliance if the block takes longer than ``seconds``.

    :param what: names the work in the message. :param kill: kills the appliance.
    :raises OutOfTimeError: the appliance was killed.
    """
    done, killed = threading.Event(), threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            killed.set()
            kill()

    watcher = threading.Thread(target=watch, name="time-limit", daemon=True)
    watcher.start()
    failure: BaseException | None = None
    try:
        yield
    except (RuntimeError, ConversionError) as err:
        failure = err
        if not killed.is_set():
            raise
    finally:
        done.set()
        watcher.join()
    if killed.is_set():
        raise OutOfTimeError(f"{what} did not end within {duration(seconds)}", hint=hint) from failure


def duration(seconds: float) -> str:
    """Return a time in words."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
