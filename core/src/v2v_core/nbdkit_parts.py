# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes for nbdkit's plugins and filters, for ``v2v doctor``."""

from __future__ import annotations

from pathlib import Path

from v2v_core.errors import V2VError
from v2v_core.finding import Finding, Status, present_or
from v2v_core.programs import run_program


def nbdkit_config() -> dict[str, str]:
    """Return what ``nbdkit --dump-config`` prints (nbdkit(1)).

    :raises V2VError: nbdkit is not installed, or fails.
    """
    printed = run_program(["nbdkit", "--dump-config"], timeout=10)
    return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)


def probe_nbdkit_part(
    kind: str, name: str, purpose: str, remedy: str, *, absent: Status = Status.OPTIONAL
) -> tuple[Finding, ...]:
    """Return the finding about a plugin or filter of nbdkit.

    There is none if nbdkit itself is missing, because another finding says so.

    :param kind: ``plugin`` or ``filter``.
    :param purpose: what it is needed for.
    :param remedy: the command that installs it.
    :param absent: the status if it is not there.
    """
    try:
        directory = nbdkit_config().get(f"{kind}dir", "/nonexistent")
    except V2VError:
        return ()
    path = Path(directory) / f"nbdkit-{name}-{kind}.so"
    place = str(path) if path.exists() else None
    return (present_or(f"nbdkit {kind} {name}", place, absent, f"not installed; needed for {purpose}", remedy),)
