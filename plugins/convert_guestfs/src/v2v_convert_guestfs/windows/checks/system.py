# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at the registry and the files of a mounted Windows for what must be told before anything is changed."""

from __future__ import annotations

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks import code_integrity, compact_os, editions, policies, roles, updates
from v2v_convert_guestfs.windows.checks.reading import any_number, controls
from v2v_convert_guestfs.windows.guest import WindowsGuest


def examine(guest: WindowsGuest, blockers: Blockers) -> None:
    """Collect the reasons why the guest cannot be converted as it is, and warn of the rest. Nothing is changed."""
    editions.examine(guest, blockers)
    compact_os.examine(guest, blockers)
    updates.examine(guest, blockers)
    policies.examine(guest, blockers)
    code_integrity.examine(guest)
    roles.examine(guest, blockers)
    _tell_of_fast_startup(guest)


def _tell_of_fast_startup(guest: WindowsGuest) -> None:
    """Tell that Fast Startup is on: the volumes have shown that the last shutdown did not use it."""
    if any_number(controls(guest, r"Control\Session Manager\Power"), "HiberbootEnabled", 1):
        guest.session.report.debug(
            "Fast Startup is on in the guest (HiberbootEnabled): whether its last shutdown used it is seen by its "
            "volumes"
        )
