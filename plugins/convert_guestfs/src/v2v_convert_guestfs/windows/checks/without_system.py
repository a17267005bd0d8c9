# SPDX-License-Identifier: GPL-2.0-or-later
"""What of Windows is on disks on which no operating system was found, and what keeps it from being seen."""

from __future__ import annotations

from v2v_convert_guestfs.filesystems.limits import Limit
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.checks import compact_os, layers


def limits_without_a_system(session: Session) -> list[Limit]:
    """Return the reasons. Nothing must be mounted."""
    return [*layers.limits_without_a_system(session), *compact_os.limits_without_a_system(session)]
