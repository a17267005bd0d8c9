# SPDX-License-Identifier: GPL-2.0-or-later
"""How the guest is converted."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from v2v_cli.options.declaration import Group, Use, flag, option
from v2v_cli.options.values import (
    at_least,
    key_selectors,
    keys_in,
    one_of,
    path,
    root_choice,
)
from v2v_core.errors import UsageError

if TYPE_CHECKING:
    from v2v_core.settings import ConvertChoice

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Conversion(Group):
    """The conversion."""

    panel: ClassVar = "Conversion"

    converter: Annotated[
        str, option("--converter", metavar="NAME", modes="convert", help="Plugin that converts the guest.")
    ] = "guestfs"
    maps: Annotated[
        tuple[str, ...],
        option(
            "--map",
            metavar="[SOURCE=]network:TARGET|bridge:TARGET",
            use=Use.EACH,
            help="Connect interfaces that were on SOURCE, a network or a bridge, to TARGET; without SOURCE: all that "
            "no other option names. Repeatable.",
        ),
    ] = ()
    networks: Annotated[
        tuple[str, ...],
        option(
            "--network",
            "-n",
            metavar="[SOURCE:]TARGET",
            use=Use.EACH,
            help="Connect interfaces that were on the network SOURCE (without SOURCE: on any network) to the network "
            "TARGET; --map can also change the kind. Repeatable.",
        ),
    ] = ()
    bridges: Annotated[
        tuple[str, ...],
        option(
            "--bridge",
            "-b",
            metavar="[SOURCE:]TARGET",
            use=Use.EACH,
            help="Connect interfaces that were on the bridge SOURCE (without SOURCE: on any bridge) to the bridge "
            "TARGET; --map can also change the kind. Repeatable.",
        ),
    ] = ()
    macs: Annotated[
        tuple[str, ...],
        option(
            "--mac",
            metavar="MAC:network|bridge:TARGET",
            use=Use.EACH,
            help="Connect the interface with this MAC address to a network or bridge; or give it a static address "
            "in the guest: MAC:ip:ADDRESS[,GATEWAY[,LENGTH[,NAMESERVER…]]].",
        ),
    ] = ()
    root: Annotated[
        str,
        option(
            "--root",
            metavar="ask|single|first|/dev/…",
            use=Use.LAST,
            parse=root_choice,
            help="Operating system to convert, if the guest has more than one.",
        ),
    ] = "ask"
    block_driver: Annotated[
        str,
        option(
            "--block-driver",
            metavar="virtio-blk|virtio-scsi",
            parse=one_of("virtio-blk", "virtio-scsi"),
            help="Disk controller that a Windows guest gets, if virtio-win has the driver for it.",
        ),
    ] = "virtio-blk"
    no_trim: Annotated[
        bool, flag("--no-fstrim", help="Do not trim the guest's file systems, so that free space is copied, too.")
    ] = False
    no_serial_console: Annotated[
        bool,
        flag("--no-serial-console", help="Take consoles on a serial port away: the target has no serial port."),
    ] = False
    keys: Annotated[
        tuple[str, ...],
        option(
            "--key",
            metavar="SELECTOR",
            use=Use.EACH,
            parse=key_selectors,
            # the form with the key itself on the command line is kept for scripts, and not recommended
            help="Key for encrypted disks, as ID:file:FILE; ID is a device, a UUID, or 'all'. Repeatable.",
        ),
    ] = field(default=(), repr=False)
    keys_from_stdin: Annotated[
        bool,
        flag("--keys-from-stdin", help="Read keys from standard input, one a line; each is tried on every disk."),
    ] = False
    collect: Annotated[
        tuple[str, ...],
        option(
            "--collect",
            metavar="PATH[:NAME]",
            use=Use.EACH,
            help="Save a directory of the guest, as it is before the conversion, under NAME in the archive of "
            "--collect-output. Repeatable.",
        ),
    ] = ()
    collect_output: Annotated[
        Path | None,
        option("--collect-output", metavar="FILE.tar.xz", parse=path, help="Archive that --collect writes."),
    ] = None
    memory: Annotated[
        int | None,
        option(
            "--memsize",
            "-m",
            metavar="MB",
            use=Use.LAST,
            parse=at_least(1),
            help="Memory of the appliance that the conversion runs in, in megabytes.",
        ),
    ] = None
    cpus: Annotated[
        int | None,
        option(
            "--smp",
            metavar="N",
            use=Use.LAST,
            parse=at_least(1),
            help="Number of CPUs of the appliance that the conversion runs in.",
        ),
    ] = None

    def choice(self, *, verbose: bool = False) -> ConvertChoice:
        """Return the record for the conversion step.

        :raises UsageError: options contradict each other, or the converter cannot do what was asked.
        """
        from v2v_cli.options.interfaces import nic_mappings, static_addresses
        from v2v_core.hookspecs import ConvertSettings
        from v2v_core.settings import ConvertChoice

        settings = ConvertSettings(
            root=self.root,
            block_driver=self.block_driver,
            memory=None if self.memory is None else self.memory * _MEGABYTE,
            cpus=self.cpus,
            trim=not self.no_trim,
            serial_console=not self.no_serial_console,
            keys=(*self.keys, *(keys_in(sys.stdin) if self.keys_from_stdin else ())),
            verbose=verbose,
            static_addresses=static_addresses(self.macs),
            extra=self._collected(),
        )
        return ConvertChoice(
            mode=self.converter, settings=settings, nics=nic_mappings(self.networks, self.bridges, self.macs, self.maps)
        )

    def _collected(self) -> dict[str, Any]:
        if not self.collect and self.collect_output is None:
            return {}
        if not self._converter_can("collect-option"):
            raise UsageError(
                f"--collect: the converter {self.converter} cannot save directories of the guest",
                hint="leave --collect out, or choose another converter with --converter",
            )
        # the converter itself knows what makes sense (v2v_convert_check)
        output = None if self.collect_output is None else str(self.collect_output.absolute())
        return {"collect": list(self.collect), "collect_output": output}

    def _converter_can(self, capability: str) -> bool:
        from v2v_core.discovery import Role, installed, words

        plugins = [plugin for plugin in installed(Role.CONVERT) if plugin.name == self.converter]
        # an unknown converter is an error later, where it is loaded
        return not plugins or any(capability in words(plugin, "capabilities") for plugin in plugins)
