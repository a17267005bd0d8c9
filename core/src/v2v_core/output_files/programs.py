# SPDX-License-Identifier: GPL-2.0-or-later
"""The external programs that the destination of a disk needs."""

from __future__ import annotations

from v2v_core.errors import DestinationError, V2VError
from v2v_core.programs import require_program


def require_for_output(*names: str) -> None:
    """Make sure that programs are installed.

    :raises DestinationError: one is missing; the hint names the package.
    """
    for name in names:
        try:
            require_program(name)
        except V2VError as err:
            raise DestinationError(err.message, hint=err.hint) from err
