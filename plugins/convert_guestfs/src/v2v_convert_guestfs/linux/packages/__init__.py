# SPDX-License-Identifier: GPL-2.0-or-later
"""Package managers: list and remove packages, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg
from v2v_convert_guestfs.session import Blockers, Session


class PackageManager(Protocol):
    """What the conversion wants of a package manager."""

    installed: frozenset[str]
    #: The words of a shell command that installs a package at the first boot, its name comes last.
    install_command: str
    #: A shell command that is to be run first where the lists of packages are old, or "".
    refresh_command: str

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages, and what depends on them.

        :raises RuntimeError: libguestfs's: it failed.
        """


def find_package_manager(session: Session, files: GuestFiles, blockers: Blockers) -> PackageManager | None:
    """Find the guest's package manager; None, and a blocker, if there is none that is understood."""
    kind = session.inspection.package_format
    if kind == "deb":
        manager = Dpkg(session, files)
        if manager.installed:
            return manager
        blockers.add(
            "the guest's list of packages (/var/lib/dpkg/status) is empty or damaged", "repair it in the guest"
        )
        return None
    blockers.add(
        f"packages of the format {kind or 'unknown'} are not supported ({session.inspection.distro})",
        "this converter knows Debian and its descendants so far; virt-v2v knows more",
    )
    return None
