# SPDX-License-Identifier: GPL-2.0-or-later
"""Collect what the guest has to do at its first boots. ``install`` writes it into the guest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

#: The places in the order of the scripts.
DRIVERS, NETWORK, DISKS, AGENT, TOOLS, CUSTOM = 2000, 2500, 3000, 4000, 5000, 6000


@dataclass(frozen=True)
class Script:
    r"""A batch script that the service runs as LocalSystem.

    Its exit code says what comes next, as with virt-v2v: 249 - run it again after the next restart, but only so many
    times; 250 - it is done, go on without a restart; any other - it is done (0) or failed, restart, then go on.
    In it, ``%V2V%`` is the directory with the files of ``FirstBoot.files``. It must not use ``exit /b``: it runs in a
    cmd of its own, so ``exit 250`` is right.

    :param order: scripts run in this order, then in that in which they were added.
    :param name: letters, digits and hyphens. :param body: lines of batch, separated by LF.
    """

    order: int
    name: str
    body: str
    why: str


@dataclass
class FirstBoot:
    """The scripts, and the files that they use (by name: bytes, or a file of the host)."""

    scripts: list[Script] = field(default_factory=list)
    files: dict[str, bytes | Path] = field(default_factory=dict)

    def add(self, order: int, name: str, body: str, *, why: str) -> None:
        """Add a script."""
        self.scripts.append(Script(order, name, body, why))

    def add_file(self, name: str, content: bytes | Path) -> None:
        """Add a file that scripts use."""
        self.files[name] = content
