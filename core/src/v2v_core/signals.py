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
        except KeyboardInterrupt as err:
            raise interrupted(err) from err


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Let no signal interrupt the cleanup."""
    with _handling(signal.SIG_IGN, (signal.SIGINT, *_STOPPING)):
        yield


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
