# SPDX-License-Identifier: GPL-2.0-or-later
"""Renderings of the events of a run: for people, for programs, as progress bars."""

from __future__ import annotations

from typing import Protocol

from v2v_core.errors import V2VError
from v2v_core.events import Event


class Renderer(Protocol):
    """Shows events one by one, in the order in which they happen."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def failed(self, error: V2VError) -> None:
        """Show the error that ended the run. The line on stderr is written by ``exit.py``, not by a renderer."""

    def close(self) -> None:
        """Release the stream or terminal; no event follows."""
