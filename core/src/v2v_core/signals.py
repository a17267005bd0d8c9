# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals that stop the program, as an exception, so that the run is cleaned up."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from v2v_core.errors import Interrupted

_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM, SIGHUP and SIGQUIT, as Python does for SIGINT.

    The signal can arrive anywhere in the block, also in library code, and ``except Exception`` does not catch a
    KeyboardInterrupt.

    :raises Interrupted: in place of the KeyboardInterrupt, at the end of the block.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    with _handling(stop, _STOPPING):
        try:
            yield
        except BaseException as err:
            if (stopped := interruption(err)) is None:
                raise
            error = interrupted(stopped)
            for note in getattr(err, "__notes__", ()):
                # where the logs are kept
                error.add_note(note)
            raise error from err


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Ignore the signals that stop the program, so that they cannot interrupt the cleanup."""
    with _handling(signal.SIG_IGN, (signal.SIGINT, *_STOPPING)):
        yield


def interruption(error: BaseException, known: BaseException | None = None) -> KeyboardInterrupt | None:
    """Return the KeyboardInterrupt that caused an exception, or None if no signal caused it.

    A signal that arrives in library code, say while a lock is being taken, can leave it as another exception ("release
    unlocked lock"). An exception that was raised after a signal had been handled was not caused by that signal.

    :param known: the exception that was already being handled when the error was raised.
    """
    seen: BaseException | None = error
    while seen is not None and seen is not known and not isinstance(seen, Interrupted):
        if isinstance(seen, KeyboardInterrupt):
            return seen
        seen = seen.__context__
    return None


def interrupted(cause: KeyboardInterrupt) -> Interrupted:
    """Return the error that tells the user which signal stopped the run."""
    return Interrupted(str(cause) or "interrupted")


@contextlib.contextmanager
def _handling(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers, numbers: Sequence[signal.Signals]
) -> Iterator[None]:
    before: dict[signal.Signals, object] = {}
    try:
        for number in numbers:
            # only the main thread can set handlers; a supervisor with conversions in threads handles signals itself
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)  # type: ignore[arg-type]  # the value that signal.signal returned
