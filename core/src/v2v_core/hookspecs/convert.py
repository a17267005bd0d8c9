# SPDX-License-Identifier: GPL-2.0-or-later
"""The hooks of converters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from v2v_core.deep_inspection import InspectResult
from v2v_core.events import Reporter
from v2v_core.first_boot import FirstBootStatus
from v2v_core.hookspecs.common import hookspec
from v2v_core.model import Capabilities, Change, DiskEndpoint, Fact, Firmware, Guest, Inspection, StaticAddress


@dataclass(frozen=True, kw_only=True)
class ConvertSettings:
    """What the user asked of the conversion.

    :param root: which operating system to convert: ``ask``, ``single``, ``first``, or the device of its root.
    :param block_driver: driver for the disks of Windows guests: ``virtio-blk`` or ``virtio-scsi``.
    :param memory: memory of the appliance in bytes; None for the converter's choice.
    :param cpus: number of CPUs of the appliance; None for the converter's choice.
    :param trim: trim file systems so that free space is not copied.
    :param keys: selectors as in ``--key``; a secret.
    :param emulation: use emulation, because hardware virtualization does not work on this machine.
    :param static_addresses: ``--mac MAC:ip:…``, in the order of the command line; a MAC may have several.
    :param serial_console: the target has a serial port. If false, nothing in the guest should wait for a login there.
    :param extra: settings of this converter only (customisation), JSON values by name.
    """

    root: str = "ask"
    block_driver: str = "virtio-blk"
    memory: int | None = None
    cpus: int | None = None
    trim: bool = True
    keys: tuple[str, ...] = field(default=(), repr=False)
    emulation: bool = False
    verbose: bool = False
    static_addresses: tuple[StaticAddress, ...] = ()
    serial_console: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """The guest and its disks, which the converter may write.

    :param directory: private to the converter. :param temporary: directory for large temporary files.
    :param in_place: the disks are those of the source itself. A guest that cannot be converted must not be written.
    """

    directory: Path
    temporary: Path
    guest: Guest
    disks: tuple[DiskEndpoint, ...]
    settings: ConvertSettings
    report: Reporter = field(repr=False)
    in_place: bool = False


@dataclass(frozen=True, kw_only=True)
class ConvertResult:
    """What the converter found in the guest, what hardware the guest can use now, and what was changed in it.

    :param boot_disk: number of the disk that it boots from, from 1; None if that is not known.
    :param nic_order: positions of the source's network interfaces, from 0, in the order in which the guest must find
        them at the target; () for the source's order.
    :param nic_macs: MAC addresses that the guest remembers, by the position of the source's network interface, from 0.
        They count only for interfaces whose source states none.
    :param block_sizes: bytes of a logical block of each disk, in the order of the disks, as their partition tables
        show it; () for what the source says.
    :param facts: what was examined in the result before it was handed over. A fact that failed fails the conversion.
    """

    inspection: Inspection
    capabilities: Capabilities
    firmware: Firmware
    boot_disk: int | None = None
    changes: tuple[Change, ...] = ()
    nic_order: tuple[int, ...] = ()
    nic_macs: Mapping[int, str] = field(default_factory=dict)
    block_sizes: tuple[int, ...] = ()
    facts: tuple[Fact, ...] = ()


class ConvertHooks(Protocol):
    """The role ``convert``: what makes the guest boot on KVM."""

    @hookspec(firstresult=True)
    def v2v_convert_check(self, request: ConvertSettings) -> None:
        """Check the settings without reading the guest. Optional.

        Called before the source is opened, and again before the conversion. Only the converter knows the names in
        ``request.extra``.

        Example::

            @hookimpl
            def v2v_convert_check(self, request: ConvertSettings) -> None:
                if "licence_file" in request.extra and not Path(request.extra["licence_file"]).is_file():
                    raise UsageError("the licence file does not exist", hint="name another one")

        :raises UsageError: a setting makes no sense.
        """

    @hookspec(firstresult=True)
    def v2v_inspect(self, request: ConvertRequest) -> InspectResult:
        """Look into the guest, and say what a conversion would do. Optional; called by ``v2v inspect --deep``.

        Runs in a process of its own, in the place of the conversion. ``request.disks`` are overlays that no later step
        reads, so the most reliable answer is to convert the guest and see what happens.

        Example::

            @hookimpl
            def v2v_inspect(self, request: ConvertRequest) -> InspectResult:
                found = inspect(request.disks)  # an Inspection
                if has_bitlocker(request.disks):
                    obstacle = Obstacle(reason="disk 1 is encrypted with BitLocker", remedy="give its key with --key")
                    return InspectResult(inspection=found, obstacles=(obstacle,))
                return InspectResult(inspection=found, changes=planned_changes(found))

        :raises ConversionError: the guest could not be examined. What keeps an examined guest from being converted
            belongs to ``InspectResult.obstacles``.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_first_boot(self, request: ConvertRequest) -> FirstBootStatus:
        """Read from a converted guest what it did at its first boots. Optional; called by ``v2v report --disk``.

        ``request.disks`` are overlays that no later step reads.

        Example::

            @hookimpl
            def v2v_first_boot(self, request: ConvertRequest) -> FirstBootStatus:
                text = read_from_guest(request.disks, "/var/log/first-boot")
                return FirstBootStatus(planned=text is not None, finished="the end" in (text or ""), log=text or "")

        :raises ConversionError: the guest could not be looked into.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
        """Change the guest on ``request.disks`` so that it boots on KVM, and return what hardware it can use.

        Runs in a process of its own, which may be killed at any time.

        Example::

            @hookimpl
            def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
                found = inspect(request.disks)  # an Inspection
                install_virtio_drivers(request.disks, found)
                return ConvertResult(inspection=found, capabilities=Capabilities(), firmware=Firmware.BIOS)

        :raises ConversionError: it cannot be converted; say why and what to do.
        """
        ...
