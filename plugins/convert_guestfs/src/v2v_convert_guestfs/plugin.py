# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin: the one hook of the role ``convert``. Importing it loads neither libguestfs nor the conversion."""

from __future__ import annotations

from v2v_core.api import HOOK_API_VERSION, ConvertRequest, ConvertResult, Finding, PluginOption, ProbeRequest, hookimpl


class GuestfsConvert:
    """Converts guests by looking into them with libguestfs and running their own tools in its appliance."""

    api_version = HOOK_API_VERSION
    summary = "convert Linux guests through libguestfs"
    capabilities = ("convert:linux", "collect-option")
    options: tuple[PluginOption, ...] = ()

    @hookimpl
    def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
        """Change the guest on ``request.disks`` so that it boots on KVM, and say what it can do.

        :raises ConversionError: it cannot be converted.
        """
        from v2v_convert_guestfs.conversion import convert
        from v2v_convert_guestfs.host.kvm import with_emulation

        return convert(with_emulation(request))

    @hookimpl
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for hardware virtualization, and for libguestfs with what its appliance is made of."""
        from v2v_convert_guestfs.host.probes import probe

        return probe(quick=request.quick)
