# SPDX-License-Identifier: GPL-2.0-or-later
"""The signals that ask for the end, as an exception, so that what was begun is cleaned up."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from v2v_core.errors import Interrupted

_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise for SIGTERM, SIGHUP and SIGQUIT what Python raises for SIGINT.

    KeyboardInterrupt, because it may come anywhere, and nobody's ``except Exception`` takes it for an error of his own.

    :raises Interrupted: in its place, when it comes out of the block.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    with _handling(stop, _STOPPING):
        try:
            yield
        except BaseException as err:
            if (stopped := interruption(err)) is None:
                raise
            raise interrupted(stopped) from err


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Let no signal interrupt the cleanup."""
    with _handling(signal.SIG_IGN, (signal.SIGINT, *_STOPPING)):
        yield


def interruption(error: BaseException, known: BaseException | None = None) -> KeyboardInterrupt | None:
    """Give the signal that an exception really is, None if it is none.

    A signal that comes in the middle of other people's code, say while a lock is being taken, may come out of it as an
    error of theirs ("release unlocked lock"). What happens after a signal was dealt with is an error of its own.

    :param known: what was being dealt with already when the error came.
    """
    seen: BaseException | None = error
    while seen is not None and seen is not known and not isinstance(seen, Interrupted):
        if isinstance(seen, KeyboardInterrupt):
            return seen
        seen = seen.__context__
    return None


def interrupted(cause: KeyboardInterrupt) -> Interrupted:
    """Give the error that the user is told about."""
    return Interrupted(str(cause) or "interrupted")


@contextlib.contextmanager
def _handling(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers, numbers: Sequence[signal.Signals]
) -> Iterator[None]:
    before: dict[signal.Signals, object] = {}
    try:
        for number in numbers:
            # only the main thread may; a supervisor that runs conversions in threads deals with signals itself
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)  # type: ignore[arg-type]  # it is what signal.signal gave
