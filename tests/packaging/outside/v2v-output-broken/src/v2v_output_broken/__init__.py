# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs that are broken on purpose."""

import os
from pathlib import Path

# the test sees by this that somebody imported it
if "V2V_BROKEN_WAS_IMPORTED" in os.environ:
    Path(os.environ["V2V_BROKEN_WAS_IMPORTED"]).touch()
