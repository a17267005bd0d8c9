# SPDX-License-Identifier: GPL-2.0-or-later
"""rpm: list and remove packages with the guest's own rpm, without a network.

Only the guest's rpm is sure to understand its database (Berkeley DB, ndb or SQLite). The frontends (dnf, zypper) are
not used to remove packages: they remove all that depend on them as well, and those are not the hypervisor's. They also
take minutes without hardware virtualization, and need their repositories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, release_of
from v2v_convert_guestfs.linux.packages.rpm_frontends import find_frontend
from v2v_convert_guestfs.session import Session

#: The directories of the database: RHEL; SUSE and recent Fedora; systems built by rpm-ostree.
PLACES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
DATABASES = ("rpmdb.sqlite", "Packages.db", "Packages")
_FORMAT = r"%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n"
#: Options against checking signatures while listing, which takes longer than reading the database.
_QUICKLY = ("--nosignature", "--nodigest")
#: The name under which rpm stores public keys as packages.
_KEYS = "gpg-pubkey"
#: Tells scriptlets that no system is running.
_ENVIRONMENT = {"SYSTEMD_OFFLINE": "1"}


@dataclass(frozen=True)
class Package:
    """An installed package. Names are not unique: packages for two architectures and kernels share theirs."""

    name: str
    epoch: int
    version: str
    release: str
    arch: str

    def spellings(self) -> frozenset[str]:
        """Return the ways in which rpm spells it: with or without the architecture, with or without the epoch."""
        plain = f"{self.name}-{self.version}-{self.release}"
        full = f"{self.name}-{self.epoch}:{self.version}-{self.release}"
        return frozenset({plain, full, f"{plain}.{self.arch}", f"{full}.{self.arch}"})


class Rpm:
    """rpm of the Red Hat, SUSE, ALT and Photon families, with its frontend."""

    unmanaged = ""

    def __init__(self, session: Session, files: GuestFiles, family: Family) -> None:
        self._session = session
        self._files = files
        frontend = find_frontend(files, family, release_of(session.inspection))
        self.install_command = frontend.install
        self.refresh_command = frontend.refresh
        self._remove_locks(report=True)
        self.packages = self._first_list()
        self.installed = frozenset(package.name for package in self.packages)
        self._remove_locks()

    def needed(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return those of the packages that others depend on, each with its dependents.

        :raises RuntimeError: from libguestfs: rpm refuses for another reason.
        """
        found: dict[str, tuple[str, ...]] = {}
        try:
            while left := [name for name in names if name not in found]:
                together = self._dependents(left)
                if not together:
                    break
                alone = {name: self._dependents([name]) - set(left) for name in left}
                # If each of them alone can be removed, and not all together, one of them is needed, whichever it is.
                found |= {name: tuple(sorted(alone[name])) for name in left if alone[name]} or {
                    name: tuple(sorted(together)) for name in left
                }
        finally:
            self._remove_locks()
        return found

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages. rpm refuses to remove any of them if one of them is needed by others.

        :raises RuntimeError: from libguestfs: some packages could not be removed.
        """
        try:
            self._erase(names)
            gone = set(names)
            self.packages = tuple(package for package in self.packages if package.name not in gone)
        except RuntimeError as err:
            self._session.report.debug(f"rpm cannot remove them: {brief(err)}")
            self.packages = self._list()
            left = self._left(names)
            if len(left) == len(names):
                raise
            # rpm asks for a package that it does not have as for one that it cannot remove.
            if left:
                self._erase(left)
                self.packages = tuple(package for package in self.packages if package.name not in left)
        finally:
            self.installed = frozenset(package.name for package in self.packages)
            self._remove_locks()

    def files_of(self, name: str) -> list[str]:
        """Return the paths of a package's files.

        :raises RuntimeError: from libguestfs: rpm cannot list them.
        """
        try:
            return [line for line in self._session.run(["rpm", "-ql", name]).splitlines() if line.startswith("/")]
        finally:
            self._remove_locks()

    def _dependents(self, names: Sequence[str]) -> set[str]:
        """Return the packages that depend on these and that are not among them.

        :raises RuntimeError: from libguestfs: rpm refuses for another reason.
        """
        try:
            self._erase(names, "--test")
        except RuntimeError as err:
            found = dependents(str(err), self.packages)
            if not found:
                raise
            return found
        return set()

    def _erase(self, names: Sequence[str], *options: str) -> None:
        self._session.run(["rpm", "-e", "--allmatches", *options, *names], _ENVIRONMENT)

    def _left(self, names: Iterable[str]) -> list[str]:
        """Return those of the packages that are still installed."""
        return sorted(set(names) & {package.name for package in self.packages})

    def _list(self, *options: str) -> tuple[Package, ...]:
        """Return the installed packages.

        :raises RuntimeError: from libguestfs: rpm does not run, or cannot read its database.
        """
        query = ["rpm", *options, "-qa", "--queryformat", _FORMAT]
        try:
            return parse_packages(self._session.run([*query, *_QUICKLY]))
        except RuntimeError as err:
            self._session.report.debug(f"rpm may be too old for {' '.join(_QUICKLY)}, trying without: {brief(err)}")
            return parse_packages(self._session.run(query))

    def _first_list(self) -> tuple[Package, ...]:
        """Return the installed packages, or () if no way to list them works.

        If rpm lists none, its database is rebuilt. If that does not help, libguestfs reads the database.
        """
        try:
            if packages := self._list():
                return packages
        except RuntimeError as err:
            self._session.report.debug(f"rpm cannot list its packages: {brief(err)}")
        try:
            if packages := self._rebuild_database():
                return packages
        except RuntimeError as err:
            self._session.report.debug(f"rpm's database cannot be rebuilt: {brief(err)}")
        try:
            return packages_of(self._session.handle.inspect_list_applications2(self._session.inspection.root))
        except RuntimeError as err:
            self._session.report.debug(f"libguestfs cannot read rpm's database: {brief(err)}")
            return ()

    def _rebuild_database(self) -> tuple[Package, ...]:
        """Rebuild a copy of the database, use it if it has packages, and return the packages.

        :raises RuntimeError: from libguestfs: the database cannot be rebuilt.
        """
        handle = self._session.handle
        place = self._database()
        if place is None:
            return ()
        # A failed rebuild leaves another directory beside the copy. All are removed with their parent.
        workspace = f"{place}.v2v"
        copy, old = f"{workspace}/new", f"{workspace}/old"
        try:
            handle.rm_rf(workspace)
            handle.mkdir(workspace)
            handle.cp_a(place, copy)
            self._session.run(["rpm", "--dbpath", copy, "--rebuilddb"])
            packages = self._list("--dbpath", copy)
            if packages:
                handle.mv(place, old)
                try:
                    handle.mv(copy, place)
                except RuntimeError:
                    handle.mv(old, place)
                    raise
                self._session.changed(place, "rpm's database rebuilt", "it could not be read")
        finally:
            handle.rm_rf(workspace)
        return packages

    def _database(self) -> str | None:
        for place in PLACES:
            for name in DATABASES:
                if real := self._files.resolve(f"{place}/{name}"):
                    return real.rpartition("/")[0]
        return None

    def _remove_locks(self, *, report: bool = False) -> None:
        """Remove Berkeley DB's environment files, which are valid only in the running system that created them.

        Each run of rpm creates them.
        """
        for place in PLACES[:2]:
            for path in self._files.glob(f"{place}/__db.00?"):
                if report:
                    self._files.remove(path, what="removed", why="locks of a system that is not running")
                else:
                    self._session.handle.rm_f(path)


def parse_packages(output: str) -> tuple[Package, ...]:
    """Parse rpm's list of packages. Keys, malformed lines and impossible names are left out."""
    packages = []
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) == 5:
            packages += _package(*fields)
    return tuple(packages)


def packages_of(applications: Iterable[dict[str, str]]) -> tuple[Package, ...]:
    """Return the packages in libguestfs's list of applications."""
    keys = ("app2_name", "app2_epoch", "app2_version", "app2_release", "app2_arch")
    return tuple(package for app in applications for package in _package(*(str(app.get(key, "")) for key in keys)))


def dependents(message: str, packages: Iterable[Package]) -> set[str]:
    """Return the names of the installed packages that rpm's error message names as dependents."""
    named = set(re.findall(r" is needed by \(installed\) (\S+)", message))
    return {package.name for package in packages if package.spellings() & named}


def _package(name: str, epoch: str, version: str, release: str, arch: str) -> list[Package]:
    if name == _KEYS or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name, re.ASCII):
        return []
    number = int(epoch) if re.fullmatch(r"[0-9]{1,10}", epoch) else 0
    return [Package(name, number, version, release, arch)]
