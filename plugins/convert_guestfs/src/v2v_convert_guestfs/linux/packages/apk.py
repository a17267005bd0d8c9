# SPDX-License-Identifier: GPL-2.0-or-later
"""apk of Alpine Linux: list and remove packages, without a network.

apk installs what /etc/apk/world lists, and what that needs. It keeps a package that others depend on, but drops those
that were there for the removed one only. They are added to the list before, because the guest's administrator may use
them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: The database of installed packages; the second is that of version 3.
DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
#: Bytes. With 1000 packages, the database has about 5 MB, because it lists their files.
_LIMIT = 64 * 1024 * 1024
_OFFLINE = ("--no-network", "--no-progress")
_PURGED = re.compile(r"^\(\d+/\d+\) Purging (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """An installed package.

    :param requires: the names of what it depends on: packages, or what they provide (``so:libc.so``, ``cmd:sh``).
    """

    name: str
    requires: frozenset[str] = frozenset()
    provides: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()


class Apk:
    """apk."""

    install_command = "apk add --quiet --no-progress"
    refresh_command = "apk update --quiet"
    unmanaged = ""

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files
        self._packages = self._list()
        self.installed = frozenset(self._packages)

    def needed(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return those of the packages that others depend on, each with its dependents."""
        return needed_among(self._packages, names)

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages, and keep those that were there for them only, unless they are parts of the same source.

        :raises RuntimeError: from libguestfs: some packages could not be removed.
        """
        try:
            plan = self._session.run(["apk", "del", "--simulate", *_OFFLINE, *names])
            along = [name for name in _PURGED.findall(plan) if name not in names and not _is_part(name, names)]
            if along:
                self._session.run(["apk", "add", *_OFFLINE, *along])
            self._session.run(["apk", "del", *_OFFLINE, *names])
        finally:
            self._packages = self._list()
            self.installed = frozenset(self._packages)

    def files_of(self, name: str) -> list[str]:
        """Return the paths of a package's files."""
        return list(self._packages[name].files) if name in self._packages else []

    def _list(self) -> dict[str, Package]:
        place = next((path for path in DATABASES if self._files.resolve(path)), None)
        return parse_database(self._files.read(place, limit=_LIMIT) or b"") if place else {}


def parse_database(data: bytes) -> dict[str, Package]:
    """Return the packages in apk's database: stanzas of lines, each with a letter and a colon before its value."""
    packages = {}
    for stanza in data.decode("utf-8", "replace").split("\n\n"):
        values: dict[str, list[str]] = {}
        files = []
        directory = ""
        for line in stanza.split("\n"):
            key, _, value = line.partition(":")
            if key == "F":
                directory = value
            elif key == "R":
                files.append(f"/{directory}/{value}")
            else:
                values.setdefault(key, []).append(value)
        name = next(iter(values.get("P", [])), "")
        if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name, re.ASCII):
            packages[name] = Package(name, _names(values.get("D", [])), _names(values.get("p", [])), tuple(files))
    return packages


def needed_among(packages: dict[str, Package], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return those of the packages that others depend on, each with its dependents.

    Packages that only others of these depend on are left out, unless those stay as well.
    """
    found: dict[str, tuple[str, ...]] = {}
    while True:
        going = {name for name in names if name in packages and name not in found}
        staying = [package for package in packages.values() if package.name not in going]
        kept = {offer for package in staying for offer in (package.name, *package.provides)}
        more = {}
        for name in sorted(going):
            # What another package provides as well is not missed.
            offers = {offer for offer in (name, *packages[name].provides) if offer not in kept}
            if dependents := sorted(package.name for package in staying if package.requires & offers):
                more[name] = tuple(dependents)
        if not more:
            return found
        found |= more


def _names(values: Sequence[str]) -> frozenset[str]:
    """Return the names in lists of dependencies, without versions and conflicts (``!name``)."""
    words = (word for value in values for word in value.split() if not word.startswith("!"))
    return frozenset(re.split(r"[<>=~@]", word, maxsplit=1)[0] for word in words)


def _is_part(name: str, names: Sequence[str]) -> bool:
    return any(name.startswith(f"{other}-") for other in names)
