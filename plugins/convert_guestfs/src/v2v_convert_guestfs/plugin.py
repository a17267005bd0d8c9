# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin of the role ``convert``. Importing it loads neither libguestfs nor the conversion."""

from __future__ import annotations

from v2v_core.api import (
    ConvertHooks,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    Finding,
    FirstBootStatus,
    InspectResult,
    PluginOption,
    ProbeHooks,
    ProbeRequest,
    hookimpl,
)


class GuestfsConvert(ConvertHooks, ProbeHooks):
    """Converts guests by looking into them with libguestfs and running their own tools in its appliance."""

    api_version = 1
    summary = "convert Linux and Windows guests through libguestfs"
    capabilities = ("convert:linux", "convert:windows", "collect-option")
    options: tuple[PluginOption, ...] = ()

    @hookimpl
    def v2v_convert_check(self, request: ConvertSettings) -> None:
        """Check ``--collect``, whose names in ``extra`` only this converter knows.

        :raises UsageError: a setting makes no sense.
        """
        from v2v_convert_guestfs.settings import parse_collect

        parse_collect(request.extra)

    @hookimpl
    def v2v_inspect(self, request: ConvertRequest) -> InspectResult:
        """Look into the guest, and say what the conversion would do.

        :raises ConversionError: the guest could not be examined.
        """
        from v2v_convert_guestfs.deep_inspection import look_into
        from v2v_convert_guestfs.host.kvm import with_emulation

        return look_into(with_emulation(request))

    @hookimpl
    def v2v_first_boot(self, request: ConvertRequest) -> FirstBootStatus:
        """Read from a converted guest what it did at its first boots.

        :raises ConversionError: the guest could not be looked into.
        """
        from v2v_convert_guestfs.first_boot_look import look
        from v2v_convert_guestfs.host.kvm import with_emulation

        return look(with_emulation(request))

    @hookimpl
    def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
        """Change the guest on ``request.disks`` so that it boots on KVM, and return what it is able to do.

        :raises ConversionError: it cannot be converted. :raises UsageError: a setting makes no sense.
        """
        from v2v_convert_guestfs.conversion import convert
        from v2v_convert_guestfs.host.kvm import with_emulation

        return convert(with_emulation(request))

    @hookimpl
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for hardware virtualization, for libguestfs and for what its appliance is built from."""
        from v2v_convert_guestfs.host.probes import probe

        return probe(quick=request.quick)
