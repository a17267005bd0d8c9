# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v version``."""

from __future__ import annotations

import sys

from v2v_core import __version__


def version() -> int:
    """Print the version.

    Examples:
    $ v2v version
    """
    sys.stdout.write(f"v2v {__version__}\n")
    return 0
