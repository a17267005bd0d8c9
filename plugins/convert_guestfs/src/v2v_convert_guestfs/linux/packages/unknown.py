# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests whose package manager cannot be used here: Portage's database is read, others are not known at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: Gentoo's database: a directory NAME-VERSION for each installed package, in one for its category.
PORTAGE = "/var/db/pkg"
_LIMIT = 4 * 1024 * 1024
_VERSIONED = re.compile(r"(?P<name>[A-Za-z0-9+_][A-Za-z0-9+_-]*?)-\d[^/-]*(?:-r\d+)?")


class Unmanaged:
    """No package manager, or one that does not say what depends on a package. It removes nothing."""

    install_command = ""
    refresh_command = ""

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files
        self._directories = self._portage()
        self.installed = frozenset(self._directories)
        what = "Portage does not say what depends on it" if self.installed else "its package manager is not known"
        self.unmanaged = what

    def needed(self, _names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return nothing."""
        return {}

    def remove(self, names: Sequence[str]) -> None:
        """Refuse.

        :raises RuntimeError: always.
        """
        raise RuntimeError(f"{', '.join(names)}: {self.unmanaged}")

    def files_of(self, name: str) -> list[str]:
        """Return the paths of a package's files."""
        directory = self._directories.get(name)
        data = self._files.read(f"{directory}/CONTENTS", limit=_LIMIT) if directory else None
        # A path may contain spaces. The checksum and the time of a file come after it.
        lines = re.findall(r"^obj (/.+) [0-9a-f]{32} \d+$", (data or b"").decode("utf-8", "replace"), re.MULTILINE)
        return [str(line) for line in lines]

    def _portage(self) -> dict[str, str]:
        try:
            paths = [str(path) for path in self._session.handle.glob_expand(f"{PORTAGE}/*/*")]
        except (RuntimeError, UnicodeDecodeError) as err:
            self._session.report.debug(f"{PORTAGE} cannot be listed: {brief(err)}")
            return {}
        found = ((path.rstrip("/"), _VERSIONED.fullmatch(path.rstrip("/").rpartition("/")[2])) for path in paths)
        return {match["name"]: path for path, match in found if match}
