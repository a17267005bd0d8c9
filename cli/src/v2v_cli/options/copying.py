# SPDX-License-Identifier: GPL-2.0-or-later
"""How the disks are copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from v2v_cli.options.declaration import Group, Use, option
from v2v_cli.options.values import at_least

if TYPE_CHECKING:
    from v2v_core.settings import CopyChoice


@dataclass(frozen=True, kw_only=True)
class Copying(Group):
    """The copy from the source's disks to the target's."""

    panel: ClassVar = "Copy"

    parallel: Annotated[
        int,
        option("--parallel", metavar="N", use=Use.LAST, parse=at_least(1), help="Number of disks copied at once."),
    ] = 1
    connections: Annotated[
        int,
        option(
            "--connections",
            metavar="N",
            use=Use.LAST,
            parse=at_least(0),
            help="Connections used for each disk; 0 leaves it to the program that copies.",
        ),
    ] = 0
    copier: Annotated[
        str | None,
        option(
            "--copier",
            metavar="NAME",
            modes="copy",
            help="Plugin that copies the disks; the target recommends one if not given.",
        ),
    ] = None

    def choice(self) -> CopyChoice:
        """Return the record for the copy step."""
        from v2v_core.settings import CopyChoice

        return CopyChoice(mode=self.copier, parallel=self.parallel, connections=self.connections)
