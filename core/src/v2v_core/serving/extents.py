# SPDX-License-Identifier: GPL-2.0-or-later
"""How much data a disk holds, as its server knows it (the metadata context base:allocation of NBD)."""

from __future__ import annotations

import json

from v2v_core.errors import CommandError
from v2v_core.programs import run_program

#: The flag of an extent that reads as zeros (NBD_STATE_ZERO).
_ZERO = 2


def data_of(uri: str, *, timeout: float) -> int | None:
    """Return the bytes of a disk that are not known to be zeros: the most that a copy of it writes.

    :param timeout: seconds. A map of many extents takes its time over a network.
    :returns: None if the server does not say, or not in time.
    """
    try:
        extents = json.loads(run_program(["nbdinfo", "--json", "--map", "--totals", uri], timeout=timeout))
        return sum(int(extent["size"]) for extent in extents if not int(extent["type"]) & _ZERO)
    except (CommandError, ValueError, KeyError, TypeError):
        return None
