# SPDX-License-Identifier: GPL-2.0-or-later
"""Time limits for what a guest has a hand in: its own programs, and files that libguestfs reads line by line.

A program is ended by the guest's own timeout(1) where it has one, and the conversion goes on as with any program that
fails. A call of libguestfs cannot be interrupted: when it lasts too long the appliance is killed, and the conversion
with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from v2v_core.api import ConversionError

#: Seconds that one program of the guest may take; twice as many without hardware virtualization, where to make an
#: initramfs takes 90 seconds, and on a busy machine several times as long.
PROGRAM_LIMIT = 15 * 60
#: Seconds more until the appliance is killed: no timeout(1) was there, or its signal did not help.
GRACE = 60
#: Seconds that libguestfs may inspect the guest. It takes 5 to 30.
INSPECTION_LIMIT = 15 * 60


class OutOfTimeError(ConversionError):
    """The appliance was killed, because what it did took too long. Nothing can be done with the guest any more."""


def program_limit(*, emulation: bool) -> int:
    """Give the seconds that a program may take."""
    return PROGRAM_LIMIT * (2 if emulation else 1)


@contextmanager
def limited(what: str, seconds: float, kill: Callable[[], None], *, hint: str) -> Iterator[None]:
    """Have the appliance killed if the block is not done in time.

    :param what: it does, for the message. :param kill: what kills the appliance.
    :raises OutOfTimeError: that had to be done.
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
    """Give a time in words."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
