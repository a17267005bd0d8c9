# SPDX-License-Identifier: GPL-2.0-or-later
"""What is changed so that Windows starts, and what was found on the way."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.windows.boot.bcd_entries import Found
from v2v_convert_guestfs.windows.boot.esp import Fallback
from v2v_convert_guestfs.windows.boot.letters import Letters
from v2v_convert_guestfs.windows.boot.store import BcdEdit


@dataclass(frozen=True, kw_only=True)
class BootPlan:
    """The plan.

    :param rtc_utc: Windows takes the hardware clock for UTC.
    :param found: the boot configuration; None if there is none, or if it is that of Windows XP.
    :param ntfs_heads: devices whose boot sectors get another number of heads.
    :param test_signing: Windows loads drivers that are signed with a test certificate (not with secure boot).
    :param no_integrity_checks: Windows loads drivers without a signature (not with secure boot).
    """

    rtc_utc: bool
    letters: Letters
    found: Found | None = None
    bcd_edits: tuple[BcdEdit, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    ntfs_heads: tuple[tuple[str, int], ...] = ()
    test_signing: bool = False
    no_integrity_checks: bool = False
