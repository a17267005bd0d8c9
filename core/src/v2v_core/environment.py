# SPDX-License-Identifier: GPL-2.0-or-later
"""The environment of the programs that a run starts: what marks them as its own, and where their temporary files go.

The environment of this process is never changed for a run, because two runs may share the process, each in a thread of
its own. A step sets its variables for the current context (``contextvars``); ``child_environment`` adds them to those
of the process. A thread that a plugin starts needs a copy of the context: ``contextvars.copy_context().run``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

_OF_THE_RUN: ContextVar[Mapping[str, str]] = ContextVar("v2v_environment_of_the_run", default=MappingProxyType({}))


def child_environment(**more: str) -> dict[str, str]:
    """Return the environment for a program that the current step starts.

    :param more: further variables, which win over all others.
    """
    return {**os.environ, **_OF_THE_RUN.get(), **more}


@contextlib.contextmanager
def programs_belong_to(variables: Mapping[str, str]) -> Iterator[None]:
    """Add variables to the environment of the programs that this block starts, in the current context."""
    token = _OF_THE_RUN.set({**_OF_THE_RUN.get(), **variables})
    try:
        yield
    finally:
        _OF_THE_RUN.reset(token)
