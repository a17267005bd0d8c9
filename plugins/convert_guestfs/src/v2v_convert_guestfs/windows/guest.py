# SPDX-License-Identifier: GPL-2.0-or-later
"""The Windows guest that the rooms of the conversion look at and change."""

from __future__ import annotations

from dataclasses import dataclass, field

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.files import WindowsFiles
from v2v_convert_guestfs.windows.firstboot.plan import FirstBoot
from v2v_convert_guestfs.windows.registry.hives import Registry
from v2v_convert_guestfs.windows.system import WindowsSystem


@dataclass(frozen=True)
class WindowsGuest:
    """A Windows guest whose file systems are mounted.

    Each room has an ``examine(guest, …, blockers)`` that changes nothing and returns a frozen plan, and a
    ``change(guest, plan)`` that stages edits of the registry, writes files and adds scripts for the first boot.
    """

    session: Session
    files: WindowsFiles
    registry: Registry
    system: WindowsSystem
    first_boot: FirstBoot = field(default_factory=FirstBoot)
