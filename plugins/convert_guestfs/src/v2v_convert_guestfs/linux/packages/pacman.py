# SPDX-License-Identifier: GPL-2.0-or-later
"""pacman of Arch Linux: list and remove packages, without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages.dry_run import needed_by_others
from v2v_convert_guestfs.session import Session

#: The database: a directory NAME-VERSION-RELEASE for each installed package.
DATABASE = "/var/lib/pacman/local"
_LIMIT = 4 * 1024 * 1024
#: pacman's message about a package that others need.
_BREAKS = re.compile(r"removing (\S+) breaks dependency '[^']*' required by (\S+)")


class Pacman:
    """pacman."""

    install_command = "pacman --sync --noconfirm --needed --noprogressbar"
    #: Updated lists without updated packages are not supported by Arch Linux.
    refresh_command = ""
    unmanaged = ""

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files
        self.installed = frozenset(self._directories())

    def needed(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return those of the packages that others depend on, each with its dependents.

        :raises RuntimeError: from libguestfs: pacman refuses for another reason.
        """
        return needed_by_others(
            names, lambda left: self._session.run(["pacman", "--remove", "--print", *left]), problems
        )

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages. pacman refuses to remove one that others depend on, and leaves what it depends on.

        :raises RuntimeError: from libguestfs: some packages could not be removed.
        """
        try:
            self._session.run(["pacman", "--remove", "--noconfirm", "--noprogressbar", *names])
        finally:
            self.installed = frozenset(self._directories())

    def files_of(self, name: str) -> list[str]:
        """Return the paths of a package's files."""
        directory = self._directories().get(name)
        data = self._files.read(f"{DATABASE}/{directory}/files", limit=_LIMIT) if directory else None
        return [f"/{line}" for line in (data or b"").decode("utf-8", "replace").splitlines() if "/" in line]

    def _directories(self) -> dict[str, str]:
        """Return the directories of the installed packages, by the names of the packages."""
        try:
            directories = [str(name) for name in self._session.handle.ls(DATABASE)]
        except (RuntimeError, UnicodeDecodeError) as err:
            self._session.report.debug(f"{DATABASE} cannot be listed: {brief(err)}")
            return {}
        matches = (re.fullmatch(r"([a-z0-9@_+][A-Za-z0-9@._+-]*)-[^-]+-[^-]+", name) for name in directories)
        return {match[1]: match[0] for match in matches if match}


def problems(message: str) -> dict[str, tuple[str, ...]]:
    """Return the packages that pacman refuses to remove because others depend on them, each with its dependents."""
    found: dict[str, tuple[str, ...]] = {}
    for name, dependent in _BREAKS.findall(message):
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), dependent)))
    return found
