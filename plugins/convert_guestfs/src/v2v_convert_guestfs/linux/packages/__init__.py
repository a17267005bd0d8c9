# SPDX-License-Identifier: GPL-2.0-or-later
"""Package managers: list and remove packages, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import SMALL, Family, family_of
from v2v_convert_guestfs.linux.packages import apk, pacman
from v2v_convert_guestfs.linux.packages.apk import Apk
from v2v_convert_guestfs.linux.packages.dpkg import STATUS_LIMIT, Dpkg
from v2v_convert_guestfs.linux.packages.pacman import Pacman
from v2v_convert_guestfs.linux.packages.rpm import DATABASES, PLACES, Rpm
from v2v_convert_guestfs.linux.packages.unknown import Unmanaged
from v2v_convert_guestfs.session import Blockers, Session

_OF_FAMILY = {
    Family.DEBIAN: "dpkg",
    Family.ALPINE: "apk",
    Family.ARCH: "pacman",
    **dict.fromkeys((Family.REDHAT, Family.SUSE, Family.ALT, Family.PHOTON), "rpm"),
}


class PackageManager(Protocol):
    """The interface that the conversion needs from a package manager."""

    #: The names of the installed packages.
    installed: frozenset[str]
    #: A shell command that installs the package whose name is appended, at the first boot; "" if the guest has none.
    install_command: str
    #: A shell command that updates outdated package lists before installing, or "".
    refresh_command: str
    #: Why it cannot remove packages, as a clause; "" if it can.
    unmanaged: str

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
    """Return the guest's package manager. If it cannot list packages, add a blocker and return None.

    The family decides which one it is. In a small family, the database in the guest does, if there is one.
    """
    family = family_of(session.inspection.distro)
    kind = (_by_database(files) if family in SMALL else "") or _OF_FAMILY.get(family, "")
    manager: PackageManager
    if kind == "dpkg":
        manager = Dpkg(session, files)
        place, remedy = "/var/lib/dpkg/status", "restore it in the guest: /var/backups has older versions"
    elif kind == "apk":
        manager = Apk(session, files)
        place, remedy = apk.DATABASES[0], "run 'apk fix' in the guest on its source hypervisor"
    elif kind == "pacman":
        manager = Pacman(session, files)
        place, remedy = pacman.DATABASE, "restore it in the guest from a backup"
    elif kind == "rpm":
        manager = Rpm(session, files, family)
        place, remedy = (
            "rpm's database",
            "run 'rpmdb --rebuilddb' and then 'rpm -qa' in the guest on its source hypervisor",
        )
    else:
        return Unmanaged(session, files)
    if not manager.installed:
        blockers.add(f"the guest's list of packages ({place}) is empty or damaged", remedy)
        return None
    return manager


def has_dpkg(files: GuestFiles) -> bool:
    """Return whether the guest has packages of dpkg's. The program alone says nothing: Fedora has it, too."""
    return bool(files.read("/var/lib/dpkg/status", limit=STATUS_LIMIT))


def has_rpm(files: GuestFiles) -> bool:
    """Return whether the guest has a database of rpm's. The program alone says nothing: Debian has it, too."""
    return any(files.resolve(f"{place}/{name}") for place in PLACES for name in DATABASES)


def _by_database(files: GuestFiles) -> str:
    # The guest may have the programs of the last two as packages of the others.
    if any(map(files.resolve, apk.DATABASES)):
        return "apk"
    if files.glob(f"{pacman.DATABASE}/ALPM_DB_VERSION"):
        return "pacman"
    if has_rpm(files):
        return "rpm"
    return "dpkg" if has_dpkg(files) else ""
