# SPDX-License-Identifier: GPL-2.0-or-later
"""dpkg: list and remove packages, without a network.

apt-get is not used to remove packages: it removes all that depend on them as well, and those are not the hypervisor's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages.dry_run import needed_by_others
from v2v_convert_guestfs.session import Session

#: Bytes. With 5000 packages, the status file has about 5 MB.
STATUS_LIMIT = 32 * 1024 * 1024
#: Packages whose triggers take minutes without hardware virtualization. Their work can wait, or the conversion does it
#: by other means. The triggers stay pending until the guest runs apt the next time.
_SLOW_TRIGGERS = frozenset({"man-db", "initramfs-tools", "dracut"})
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
_LISTS = "/var/lib/dpkg/info"
#: dpkg's message about a package that others need, and each of its lines about such a dependent.
_PROBLEM = re.compile(r"dependency problems prevent removal of (\S+?)(?::[a-z0-9-]+)?:\s*$")
_DEPENDENT = re.compile(r"^ (\S+?)(?::[a-z0-9-]+)? (?:pre-)?depends on ")


class Dpkg:
    """dpkg and apt of Debian and its derivatives."""

    install_command = (
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 -o Acquire::Retries=1 "
        "-o Acquire::http::Timeout=20 --no-install-recommends install"
    )
    refresh_command = "apt-get -q update"
    unmanaged = ""

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files
        self.installed = installed_packages(self._status())

    def needed(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return those of the packages that others depend on, each with its dependents.

        :raises RuntimeError: from libguestfs: dpkg refuses for another reason.
        """
        return needed_by_others(
            names, lambda left: self._session.run(["dpkg", "--no-act", "--remove", *left], _ENVIRONMENT), problems
        )

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages. dpkg refuses to remove one that others depend on.

        :raises RuntimeError: from libguestfs: some packages could not be removed.
        """
        try:
            self._session.run(["dpkg", "--no-triggers", "--force-unsafe-io", "--remove", *names], _ENVIRONMENT)
        finally:
            self._run_triggers(_ENVIRONMENT)
            self.installed = installed_packages(self._status())

    def files_of(self, name: str) -> list[str]:
        """Return the paths of a package's files, as dpkg has listed them."""
        lists = [f"{_LISTS}/{name}.list", *self._files.glob(f"{_LISTS}/{name}:*.list")]
        contents = (self._files.read(path, limit=STATUS_LIMIT) for path in lists)
        return [line for data in contents if data for line in data.decode("utf-8", "replace").splitlines()]

    def _status(self) -> bytes:
        return self._files.read("/var/lib/dpkg/status", limit=STATUS_LIMIT) or b""

    def _run_triggers(self, environment: dict[str, str]) -> None:
        pending = pending_triggers(self._status())
        quick = sorted(pending - _SLOW_TRIGGERS)
        if quick:
            try:
                self._session.run(["dpkg", "--triggers-only", *quick], environment)
            except RuntimeError as err:
                self._session.warn("the triggers of removed packages have not been run", err)
        for name in sorted(pending & _SLOW_TRIGGERS):
            self._session.report.debug(f"the triggers of {name} stay pending until the guest runs apt")


def installed_packages(status: bytes) -> frozenset[str]:
    """Return the names of the installed packages in dpkg's status file."""
    return frozenset(name for name, _ in _states(status))


def pending_triggers(status: bytes) -> frozenset[str]:
    """Return the names of the packages with pending triggers in dpkg's status file."""
    return frozenset(name for name, state in _states(status) if state == "triggers-pending")


def problems(message: str) -> dict[str, tuple[str, ...]]:
    """Return the packages that dpkg refuses to remove because others depend on them, each with its dependents."""
    found: dict[str, tuple[str, ...]] = {}
    current = ""
    for line in message.splitlines():
        if problem := _PROBLEM.search(line):
            current = problem[1]
            found[current] = ()
        elif current and (dependent := _DEPENDENT.match(line)):
            found[current] = tuple(dict.fromkeys((*found[current], dependent[1])))
        elif line.startswith("dpkg:"):
            current = ""
    return found


def _states(status: bytes) -> list[tuple[str, str]]:
    states = []
    # Parsed as bytes, one stanza at a time: as text, the whole file could take many times as much memory.
    start = 0
    while start < len(status):
        end = status.find(b"\n\n", start)
        end = len(status) if end == -1 else end
        stanza = status[start:end]
        name = re.search(rb"^Package: (\S+)", stanza, re.MULTILINE)
        state = re.search(rb"^Status: (?:install|hold) ok (\S+)", stanza, re.MULTILINE)
        if name and state:
            states.append((name[1].decode("utf-8", "replace"), state[1].decode("utf-8", "replace")))
        start = end + 1
    return [(name, state) for name, state in states if state in {"installed", "triggers-pending", "triggers-awaited"}]
