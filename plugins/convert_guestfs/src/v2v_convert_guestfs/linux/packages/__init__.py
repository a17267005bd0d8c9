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
    """The interface that the conversion needs from a package manager."""

    #: The names of the installed packages.
    installed: frozenset[str]
    #: A shell command that installs the package whose name is appended, at the first boot; "" if the guest has none.
    install_command: str
    #: A shell command that updates outdated package lists before installing, or "".
    refresh_command: str

    def remove(self, names: Sequence[str], *, dependents: bool = True) -> None:
        """Remove packages.

        :param dependents: whether to remove packages that depend on them, too; if not, a dependent is an error.
        :raises RuntimeError: from libguestfs or from here: some packages could not be removed.
        """


def find_package_manager(session: Session, files: GuestFiles, blockers: Blockers) -> PackageManager | None:
    """Return the guest's package manager. If it cannot list packages, add a blocker and return None."""
    family = family_of(session.inspection.distro)
    manager: PackageManager
    if family is Family.DEBIAN:
        manager = Dpkg(session, files)
        place, remedy = "/var/lib/dpkg/status", "restore it in the guest: /var/backups has older versions"
    elif family is not None:
        manager = Rpm(session, files, family)
        place, remedy = (
            "rpm's database",
            "run 'rpmdb --rebuilddb' and then 'rpm -qa' in the guest on its source hypervisor",
        )
    else:
        blockers.add(f"the package manager of {session.inspection.distro} is unknown", "report this as a bug")
        return None
    if not manager.installed:
        blockers.add(f"the guest's list of packages ({place}) is empty or damaged", remedy)
        return None
    return manager
