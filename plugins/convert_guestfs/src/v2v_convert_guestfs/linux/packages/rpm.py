# SPDX-License-Identifier: GPL-2.0-or-later
"""rpm: list and remove packages, without a network, by the guest's own rpm.

It alone is sure to understand its database, be it Berkeley DB, ndb or SQLite. What stands above it (dnf, zypper) is
asked only where rpm refuses: those take minutes without hardware virtualization, and want their repositories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, release_of
from v2v_convert_guestfs.linux.packages.rpm_frontends import NO_FRONTEND, find_frontend
from v2v_convert_guestfs.session import Session

#: Where the database is: RHEL, SUSE and new Fedoras, systems built by rpm-ostree.
PLACES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
DATABASES = ("rpmdb.sqlite", "Packages.db", "Packages")
_FORMAT = r"%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n"
#: Signatures are not checked when a database is read: that takes longer than the reading.
_QUICKLY = ("--nosignature", "--nodigest")
#: Keys, which rpm keeps like packages.
_KEYS = "gpg-pubkey"
#: No more packages than this go along with one that others depend on, and none of those that make the system.
_MOST_DEPENDENTS = 25
_ESSENTIAL = re.compile(
    r"kernel.*|glibc.*|rpm.*|dnf.*|yum.*|zypper|libzypp|apt.*|systemd.*|dracut.*|grub.*|shim.*|bash|coreutils.*|sudo|"
    r"filesystem|setup|basesystem|openssh.*|NetworkManager|wicked|mkinitrd|make-initrd|util-linux|SysVinit|upstart"
)
#: Scriptlets are told that there is no running system.
_ENVIRONMENT = {"SYSTEMD_OFFLINE": "1"}


@dataclass(frozen=True)
class Package:
    """An installed package. Names are not unique: there may be one per architecture, and several kernels."""

    name: str
    epoch: int
    version: str
    release: str
    arch: str

    def spellings(self) -> frozenset[str]:
        """Give the ways in which rpm names it, without the architecture and with it, without the epoch and with it."""
        plain = f"{self.name}-{self.version}-{self.release}"
        full = f"{self.name}-{self.epoch}:{self.version}-{self.release}"
        return frozenset({plain, full, f"{plain}.{self.arch}", f"{full}.{self.arch}"})


class Rpm:
    """rpm, and the program above it, of the Red Hat, SUSE and ALT families."""

    def __init__(self, session: Session, files: GuestFiles, family: Family) -> None:
        self._session = session
        self._files = files
        self._frontend = find_frontend(files, family, release_of(session.inspection))
        self.install_command = self._frontend.install
        self.refresh_command = self._frontend.refresh
        self._remove_locks(report=True)
        self.packages = self._first_list()
        self.installed = frozenset(package.name for package in self.packages)
        self._remove_locks()

    def remove(self, names: Sequence[str], *, dependents: bool = True) -> None:
        """Remove packages with rpm; if others depend on them, with what stands above it, else with those others.

        :raises RuntimeError: libguestfs's, or like it: some are still there.
        """
        try:
            self._erase(names)
            gone = set(names)
            self.packages = tuple(package for package in self.packages if package.name not in gone)
        except RuntimeError as err:
            self._session.report.debug(f"rpm alone cannot remove them: {brief(err)}")
            self.packages = self._list()
            left = self._left(names)
            if left and not dependents:
                raise
            if left:
                self._remove_with_dependents(left)
        finally:
            self.installed = frozenset(package.name for package in self.packages)
            self._remove_locks()

    def _remove_with_dependents(self, names: Sequence[str]) -> None:
        before = frozenset(package.name for package in self.packages)
        attempts = [self._erase_dependents] if self._frontend is NO_FRONTEND else [self._ask, self._erase_dependents]
        left, failure = list(names), RuntimeError("nothing was tried")
        for attempt in attempts:
            try:
                attempt(left)
            except RuntimeError as err:
                failure = err
                self._session.report.debug(f"they cannot be removed so: {brief(err)}")
            # Programs fail that have done their work (zypper says so that a reboot is due), and the other way round.
            self.packages = self._list()
            left = self._left(names)
            if not left:
                break
        for name in sorted(before - {package.name for package in self.packages} - set(names)):
            self._session.changed(name, "package removed", f"it depends on {', '.join(names)}")
        if left:
            raise RuntimeError(f"{', '.join(left)} cannot be removed: {brief(failure)}") from failure

    def _ask(self, names: Sequence[str]) -> None:
        self._session.run([*self._frontend.remove, *names], _ENVIRONMENT)

    def _erase_dependents(self, names: Sequence[str]) -> None:
        """Remove packages, and with them those that depend on them, as far as those are few and unimportant."""
        wanted = set(names)
        while True:
            try:
                self._erase(sorted(wanted), "--test")
            except RuntimeError as err:
                more = dependents(str(err), self.packages) - wanted
                if not more:
                    raise
                wanted |= more
                along = sorted(wanted - set(names))
                essential = [name for name in along if _ESSENTIAL.fullmatch(name)]
                if essential or len(along) > _MOST_DEPENDENTS:
                    raise RuntimeError(f"with them would go {', '.join(essential or along)}") from err
            else:
                self._erase(sorted(wanted))
                return

    def _erase(self, names: Sequence[str], *options: str) -> None:
        self._session.run(["rpm", "-e", "--allmatches", *options, *names], _ENVIRONMENT)

    def _left(self, names: Iterable[str]) -> list[str]:
        """List those of the packages that are still there."""
        return sorted(set(names) & {package.name for package in self.packages})

    def _list(self, *options: str) -> tuple[Package, ...]:
        """List the packages.

        :raises RuntimeError: libguestfs's: rpm does not run, or cannot read its database.
        """
        query = ["rpm", *options, "-qa", "--queryformat", _FORMAT]
        try:
            return parse_packages(self._session.run([*query, *_QUICKLY]))
        except RuntimeError as err:
            self._session.report.debug(f"rpm is asked in its old way: {brief(err)}")
            return parse_packages(self._session.run(query))

    def _first_list(self) -> tuple[Package, ...]:
        """List the packages; if there are none, mend the database; if rpm does not run, let libguestfs read it."""
        try:
            if found := self._list():
                return found
        except RuntimeError as err:
            self._session.report.debug(f"rpm cannot list its packages: {brief(err)}")
        try:
            if found := self._mended():
                return found
        except RuntimeError as err:
            self._session.report.debug(f"rpm's database cannot be mended: {brief(err)}")
        try:
            return packages_of(self._session.handle.inspect_list_applications2(self._session.inspection.root))
        except RuntimeError as err:
            self._session.report.debug(f"libguestfs cannot read rpm's database: {brief(err)}")
            return ()

    def _mended(self) -> tuple[Package, ...]:
        """Rebuild a copy of the database, which takes its place if there is anything in it, and list the packages.

        :raises RuntimeError: libguestfs's: that cannot be done.
        """
        handle = self._session.handle
        place = self._database()
        if place is None:
            return ()
        # A rebuilding that fails leaves a third directory beside the one that it works on.
        room = f"{place}.v2v"
        copy, old = f"{room}/new", f"{room}/old"
        try:
            handle.rm_rf(room)
            handle.mkdir(room)
            handle.cp_a(place, copy)
            self._session.run(["rpm", "--dbpath", copy, "--rebuilddb"])
            found = self._list("--dbpath", copy)
            if found:
                handle.mv(place, old)
                try:
                    handle.mv(copy, place)
                except RuntimeError:
                    handle.mv(old, place)
                    raise
                self._session.changed(place, "rpm's database rebuilt", "it could not be read")
        finally:
            handle.rm_rf(room)
        return found

    def _database(self) -> str | None:
        for place in PLACES:
            for name in DATABASES:
                if real := self._files.resolve(f"{place}/{name}"):
                    return real.rpartition("/")[0]
        return None

    def _remove_locks(self, *, report: bool = False) -> None:
        """Remove Berkeley DB's environment: it is that of another running system. Each run of rpm leaves one."""
        for place in PLACES[:2]:
            for path in self._files.glob(f"{place}/__db.00?"):
                if report:
                    self._files.remove(path, what="removed", why="locks of a system that does not run")
                else:
                    self._session.handle.rm_f(path)


def parse_packages(output: str) -> tuple[Package, ...]:
    """Read what rpm lists; what is no package, or has a name that no package can have, is left out."""
    found = []
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) == 5:
            found += _package(*fields)
    return tuple(found)


def packages_of(applications: Iterable[dict[str, str]]) -> tuple[Package, ...]:
    """Give the packages that libguestfs has found."""
    keys = ("app2_name", "app2_epoch", "app2_version", "app2_release", "app2_arch")
    return tuple(package for app in applications for package in _package(*(str(app.get(key, "")) for key in keys)))


def dependents(message: str, packages: Iterable[Package]) -> set[str]:
    """Read from rpm's refusal to remove a package which installed ones depend on it."""
    named = set(re.findall(r" is needed by \(installed\) (\S+)", message))
    return {package.name for package in packages if package.spellings() & named}


def _package(name: str, epoch: str, version: str, release: str, arch: str) -> list[Package]:
    if name == _KEYS or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name, re.ASCII):
        return []
    number = int(epoch) if re.fullmatch(r"[0-9]{1,10}", epoch) else 0
    return [Package(name, number, version, release, arch)]
