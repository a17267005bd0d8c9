# SPDX-License-Identifier: GPL-2.0-or-later
"""dpkg and apt: list and remove packages, without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: Bytes. With 5000 packages, the status file has about 5 MB.
STATUS_LIMIT = 32 * 1024 * 1024
#: Packages whose triggers take minutes without hardware virtualization. Their work can wait, or the conversion does it
#: by other means. The triggers stay pending until the guest runs apt the next time.
_SLOW_TRIGGERS = frozenset({"man-db", "initramfs-tools", "dracut"})


class Dpkg:
    """dpkg and apt of Debian and its derivatives."""

    install_command = (
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 -o Acquire::Retries=1 "
        "-o Acquire::http::Timeout=20 --no-install-recommends install"
    )
    refresh_command = "apt-get -q update"

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files
        self.installed = installed_packages(files.read("/var/lib/dpkg/status", limit=STATUS_LIMIT) or b"")

    def remove(self, names: Sequence[str], *, dependents: bool = True) -> None:
        """Remove packages with dpkg, or with apt-get if other packages depend on them.

        :param dependents: whether to remove packages that depend on them, too; if not, a dependent is an error.
        :raises RuntimeError: from libguestfs: the packages could not be removed.
        """
        environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
        try:
            self._session.run(["dpkg", "--no-triggers", "--force-unsafe-io", "--remove", *names], environment)
        except RuntimeError as err:
            if not dependents:
                raise
            self._session.report.debug(f"dpkg alone cannot remove them: {brief(err)}")
            options = ["-q", "-y", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confnew", "--no-download"]
            self._session.run(["apt-get", *options, "remove", *names], environment)
        self._run_triggers(environment)
        self.installed -= set(names)

    def _run_triggers(self, environment: dict[str, str]) -> None:
        status = self._files.read("/var/lib/dpkg/status", limit=STATUS_LIMIT) or b""
        pending = pending_triggers(status)
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
