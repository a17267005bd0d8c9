# SPDX-License-Identifier: GPL-2.0-or-later
"""Renderings of events: for people, for programs, as progress bars. The only place that shows a run to anybody."""

from __future__ import annotations

from typing import Protocol

from v2v_core.errors import V2VError
from v2v_core.events import Event


class Renderer(Protocol):
    """Takes events one by one, in the order in which they happen."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def failed(self, error: V2VError) -> None:
        """Show what ended the run; the line on stderr is not a renderer's but the exit's."""

    def close(self) -> None:
        """Give back what is held; nothing more is shown."""
