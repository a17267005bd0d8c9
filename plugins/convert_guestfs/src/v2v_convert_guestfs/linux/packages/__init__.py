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

    def needed(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return those of the packages that other packages depend on, each with its dependents.

        Packages on which only others of ``names`` depend are left out, if those can be removed.

        :raises RuntimeError: from libguestfs: the package manager cannot say.
        """

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages, and never others along with them: a package that others depend on stays.

        :raises RuntimeError: from libguestfs: some packages could not be removed.
        """

    def files_of(self, name: str) -> list[str]:
        """Return the paths of a package's files.

        :raises RuntimeError: from libguestfs: they cannot be listed.
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
