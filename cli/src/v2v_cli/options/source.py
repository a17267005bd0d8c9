# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the guest comes from: ``-i`` and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from v2v_cli.options.declaration import Argument, Group, Use, flag, option
from v2v_cli.options.hardware import memory_size, metadata_file, nic_list
from v2v_cli.options.values import at_least, connection_uri, key_values, readable_file
from v2v_core.model import Nic

if TYPE_CHECKING:
    from v2v_core.settings import InputChoice

#: QEMU's limit on a PC.
_MOST_VCPUS = 4096


@dataclass(frozen=True, kw_only=True)
class Source(Group):
    """The guest to convert, and how to reach it."""

    panel: ClassVar = "Input"

    guests: Annotated[
        tuple[str, ...], Argument(metavar="GUEST", help="The guest to convert: files, a name or a URI, as -i asks for.")
    ] = ()
    mode: Annotated[
        str, option("--input", "-i", metavar="MODE", modes="input", help="Kind of source that the guest comes from.")
    ] = ""
    connection: Annotated[
        str | None,
        option(
            "--input-connection",
            "-ic",
            metavar="URI",
            parse=connection_uri,
            help="Address of the hypervisor that the guest comes from.",
        ),
    ] = None
    format: Annotated[
        str | None,
        option(
            "--input-format",
            "-if",
            metavar="FORMAT",
            help="Format of the source's disks, such as raw or qcow2; detected if not given.",
        ),
    ] = None
    options: Annotated[
        tuple[tuple[str, str | None], ...],
        option(
            "--input-option",
            "-io",
            metavar="KEY[=VALUE]",
            use=Use.EACH,
            parse=key_values,
            help="An option that only this kind of source has; -io '?' lists them. Repeatable.",
        ),
    ] = field(default=(), repr=False)
    password_file: Annotated[
        Path | None,
        option(
            "--input-password-file",
            "-ip",
            metavar="FILE",
            parse=readable_file,
            help="File whose first line is the password for the source.",
        ),
    ] = None
    transport: Annotated[
        str | None,
        option(
            "--input-transport",
            "-it",
            metavar="export|ssh|vddk",
            help="How the source's disks are read, if not in the way that is usual for it.",
        ),
    ] = None
    memory: Annotated[
        int | None,
        option(
            "--memory",
            metavar="SIZE",
            use=Use.LAST,
            parse=memory_size,
            help="Memory of the guest, as in 4G or 4096MiB (a number alone counts MiB), in place of what the source "
            "says. -i disk knows nothing of it, and has 2 GiB.",
        ),
    ] = None
    vcpus: Annotated[
        int | None,
        option(
            "--vcpus",
            metavar="N",
            use=Use.LAST,
            parse=at_least(1, most=_MOST_VCPUS),
            help="Number of the guest's virtual CPUs, in place of what the source says.",
        ),
    ] = None
    nics: Annotated[
        tuple[Nic, ...] | None,
        option(
            "--nic",
            metavar="network=NAME|bridge=NAME[,mac=MAC]",
            use=Use.EACH,
            parse=nic_list,
            help="A network interface of the guest. All --nic together stand in place of the source's interfaces; "
            "'none' means that there is none. Repeatable.",
        ),
    ] = None
    metadata: Annotated[
        Path | None,
        option(
            "--metadata",
            metavar="FILE.xml",
            parse=metadata_file,
            help="Description of the guest as libvirt domain XML ('virsh dumpxml'), in place of what the source says: "
            "name, memory, CPUs, interfaces, firmware, buses of disks. The disks remain those of the source.",
        ),
    ] = None
    in_place: Annotated[
        bool, flag("--in-place", help="Convert the guest on its own disks, without a copy; nothing can be undone.")
    ] = False

    def choice(self, mode: str | None = None) -> InputChoice:
        """Return the record for the input step.

        :param mode: the kind of source, where the name of the command says it.
        """
        from v2v_cli.modes import input_mode
        from v2v_core.settings import Hardware, InputChoice

        return InputChoice(
            mode=input_mode(mode or self.mode, self.connection),
            arguments=self.guests,
            connection=self.connection,
            format=self.format,
            transport=self.transport,
            password_file=self.password_file,
            options=self.options,
            in_place=self.in_place,
            hardware=Hardware(memory=self.memory, vcpus=self.vcpus, nics=self.nics, metadata=self.metadata),
        )
