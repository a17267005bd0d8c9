# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the guest goes: ``-o`` and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from v2v_cli.options.declaration import Group, Use, flag, option
from v2v_cli.options.values import connection_uri, key_values, one_of, readable_file

if TYPE_CHECKING:
    from v2v_core.settings import OutputChoice


@dataclass(frozen=True, kw_only=True)
class Destination(Group):
    """The place where the converted guest will be."""

    panel: ClassVar = "Output"

    mode: Annotated[
        str, option("--output", "-o", metavar="MODE", modes="output", help="Kind of target that the guest goes to.")
    ] = ""
    allocation: Annotated[
        str,
        option(
            "--output-allocation",
            "-oa",
            metavar="sparse|preallocated",
            parse=one_of("sparse", "preallocated"),
            help="Whether the target's disks take up space only for what is used, or all of it at once.",
        ),
    ] = "sparse"
    connection: Annotated[
        str | None,
        option(
            "--output-connection",
            "-oc",
            metavar="URI",
            parse=connection_uri,
            help="Address of the hypervisor or management system that the guest goes to.",
        ),
    ] = None
    format: Annotated[
        str | None,
        option(
            "--output-format",
            "-of",
            metavar="raw|qcow2",
            help="Format of the target's disks; raw if not given.",
        ),
    ] = None
    name: Annotated[
        str | None,
        option("--output-name", "-on", metavar="NAME", help="New name of the guest; it keeps its own if not given."),
    ] = None
    options: Annotated[
        tuple[tuple[str, str | None], ...],
        option(
            "--output-option",
            "-oo",
            metavar="KEY[=VALUE]",
            use=Use.EACH,
            parse=key_values,
            help="An option that only this kind of target has; -oo '?' lists them. Repeatable.",
        ),
    ] = field(default=(), repr=False)
    password_file: Annotated[
        Path | None,
        option(
            "--output-password-file",
            "-op",
            metavar="FILE",
            parse=readable_file,
            help="File whose first line is the password for the target.",
        ),
    ] = None
    storage: Annotated[
        str | None,
        option(
            "--output-storage",
            "-os",
            metavar="STORAGE",
            help="Where the target's disks are stored: a directory, a storage pool or a storage domain.",
        ),
    ] = None

    overwrite: Annotated[
        bool,
        flag(
            "--overwrite",
            help="Replace a guest of the same name at the target; without it, an existing file of that name is an "
            "error. The same as -oo overwrite.",
        ),
    ] = False

    def choice(self, mode: str | None = None) -> OutputChoice:
        """Return the record for the output's steps.

        :param mode: the kind of target, where the name of the command says it.
        """
        from v2v_core.settings import OutputChoice

        return OutputChoice(
            mode=mode or self.mode,
            name=self.name,
            storage=self.storage,
            connection=self.connection,
            format=self.format,
            allocation=self.allocation,
            password_file=self.password_file,
            options=self.options,
            overwrite=self.overwrite,
        )
