# SPDX-License-Identifier: GPL-2.0-or-later
"""Package managers: list and remove packages, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, family_of
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg
from v2v_convert_guestfs.linux.packages.rpm import Rpm
from v2v_convert_guestfs.session import Blockers, Session


class PackageManager(Protocol):
    """What the conversion wants of a package manager."""

    #: The names of the packages that are installed.
    installed: frozenset[str]
    #: The words of a shell command that installs a package at the first boot, its name comes last; "" if nothing in
    #: the guest can.
    install_command: str
    #: A shell command that is to be run first where the lists of packages are old, or "".
    refresh_command: str

    def remove(self, names: Sequence[str], *, dependents: bool = True) -> None:
        """Remove packages, and what depends on them.

        :param dependents: if not, packages that others depend on stay, and that is an error.
        :raises RuntimeError: libguestfs's, or like it: some are still there.
        """


def find_package_manager(session: Session, files: GuestFiles, blockers: Blockers) -> PackageManager | None:
    """Find the guest's package manager; None, and a blocker, if its packages cannot be listed."""
    family = family_of(session.inspection.distro)
    manager: PackageManager
    if family is Family.DEBIAN:
        manager = Dpkg(session, files)
        place, remedy = "/var/lib/dpkg/status", "repair it in the guest: there are older ones in /var/backups"
    elif family is not None:
        manager = Rpm(session, files, family)
        place, remedy = "rpm's database", "run 'rpmdb --rebuilddb' and then 'rpm -qa' in the guest at its hypervisor"
    else:
        blockers.add(f"nobody knows how packages are managed on {session.inspection.distro}", "report this as a bug")
        return None
    if not manager.installed:
        blockers.add(f"the guest's list of packages ({place}) is empty or damaged", remedy)
        return None
    return manager
