# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a fact of what was found to be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from v2v_core.api import Fact, Verdict, visible

_DETAIL_LIMIT = 500


class UnknownError(Exception):
    """It cannot be seen whether a fact is true."""


def fact(name: str, wrong: Callable[[], Iterable[str]], *, good: str = "") -> Fact:
    """Return a fact that is true if nothing is wrong.

    :param wrong: lists what is wrong; raises UnknownError if that cannot be seen. :param good: the detail otherwise.
    """
    try:
        found = list(wrong())
    except UnknownError as err:
        return Fact(name=name, verdict=Verdict.UNKNOWN, detail=visible(str(err))[:_DETAIL_LIMIT])
    if found:
        return Fact(name=name, verdict=Verdict.FAILED, detail=visible("; ".join(found))[:_DETAIL_LIMIT])
    return Fact(name=name, verdict=Verdict.PASSED, detail=good)
