# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages that cannot be removed, as a package manager says that is asked what it would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

#: Packages that are needed, each with the packages that depend on it.
Dependents = dict[str, tuple[str, ...]]


def needed_by_others(
    names: Sequence[str], ask: Callable[[list[str]], object], problems: Callable[[str], Mapping[str, tuple[str, ...]]]
) -> Dependents:
    """Return those of the packages that others depend on, each with its dependents.

    A package may be needed by one of the others that turns out to be needed itself, so the manager is asked again.

    :param ask: asks the manager to remove packages without doing it. :param problems: reads its refusal.
    :raises RuntimeError: from libguestfs: the manager refuses for another reason.
    """
    found: Dependents = {}
    while left := [name for name in names if name not in found]:
        try:
            ask(left)
        except RuntimeError as err:
            more = {name: dependents for name, dependents in problems(str(err)).items() if name in left}
            if not more:
                raise
            found |= more
        else:
            break
    return found
