# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -ic https://USER@HOST/ GUEST``, and ``-i libvirt`` with ``vpx://`` and ``esx://``."""

from __future__ import annotations

from v2v_core.api import (
    AbortResult,
    DiskService,
    Finding,
    InputAbortRequest,
    InputHooks,
    InputResult,
    InputSetupRequest,
    InputVersions,
    InputVersionsRequest,
    ProbeHooks,
    ProbeRequest,
    hookimpl,
)
from v2v_input_vmware.vcenter.settings import OPTIONS, VcenterSettings


class VcenterInput(InputHooks, ProbeHooks):
    """Guests of a vCenter or an ESXi host."""

    api_version = 1
    summary = "a guest of a vCenter or ESXi host, over https, by an export (-it export) or VDDK (-it vddk)"
    #: virt-v2v reads these through libvirt: ``-i libvirt -ic vpx://...`` is this mode.
    uri_schemes = ("vpx", "esx")
    capabilities = ("vcenter-https", "vcenter-export", "vddk")
    options = OPTIONS

    @hookimpl
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for pyVmomi and nbdkit's plugins."""
        from v2v_input_vmware.probes import probe_vcenter

        return probe_vcenter()

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe one guest of the inventory and how its disks are served."""
        return _setup(request, VcenterSettings.of(request))

    @hookimpl
    def v2v_input_versions(self, request: InputVersionsRequest) -> InputVersions:
        """Ask the server which versions the disks have now."""
        return _versions(request, VcenterSettings.of_source(request))

    @hookimpl
    def v2v_input_abort(self, request: InputAbortRequest) -> AbortResult:
        """End the export of a run that was killed."""
        return _abort(request, VcenterSettings.of_source(request))


def _setup(request: InputSetupRequest, settings: VcenterSettings) -> InputResult:
    # imported here because pyvmomi takes a second to load
    from v2v_input_vmware.vcenter import datastore, export, vddk
    from v2v_input_vmware.vcenter.checks import check_machine
    from v2v_input_vmware.vcenter.machine import guest_of
    from v2v_input_vmware.vcenter.password import find_password
    from v2v_input_vmware.vcenter.session import connected
    from v2v_input_vmware.vcenter.source import Source, find_source
    from v2v_input_vmware.vcenter.trust import find_trust
    from v2v_input_vmware.vcenter.versions import versions_of

    address, report = settings.address, request.report
    if settings.vddk is not None:
        vddk.check_library(settings.vddk)
    password = find_password(address, settings.password_file)
    trust = find_trust(address, request.directory, thumbprint=settings.thumbprint, ca_file=settings.ca_file)
    services: tuple[DiskService, ...]
    with connected(address, password, trust) as service:
        found = find_source(service, settings)
        guest, disks = guest_of(found.machine, report.warning)
        check_machine(
            found.machine,
            disks,
            transport=settings.transport,
            snapshot=settings.snapshot is not None,
            warn=report.warning,
        )
        source = Source(service, address, trust, found, disks)
        if settings.vddk is not None:
            services = vddk.services(source, password, settings.vddk)
        elif settings.export is not None:
            services = export.services(source, settings.export, request)
        else:
            services = datastore.services(source, request.directory, password)
    versions = versions_of(found.machine, disks, found.snapshot_moref)
    return InputResult(guest=guest, disks=services, versions=versions)


def _versions(request: InputVersionsRequest, settings: VcenterSettings) -> InputVersions:
    from v2v_input_vmware.vcenter.machine import guest_of
    from v2v_input_vmware.vcenter.password import find_password
    from v2v_input_vmware.vcenter.session import connected
    from v2v_input_vmware.vcenter.source import find_source
    from v2v_input_vmware.vcenter.trust import find_trust
    from v2v_input_vmware.vcenter.versions import versions_of

    address, kept = settings.address, request.directory / "password"
    password = find_password(address, settings.password_file or (kept if kept.exists() else None))
    trust = find_trust(address, request.directory, thumbprint=settings.thumbprint, ca_file=settings.ca_file)
    with connected(address, password, trust) as service:
        found = find_source(service, settings)
        _, disks = guest_of(found.machine, request.report.debug)
    return InputVersions(versions=versions_of(found.machine, disks, found.snapshot_moref))


def _abort(request: InputAbortRequest, settings: VcenterSettings) -> AbortResult:
    from v2v_input_vmware.vcenter.lease import end_leftover
    from v2v_input_vmware.vcenter.trust import Trust, find_trust

    def trust() -> Trust:
        return find_trust(settings.address, request.directory, thumbprint=settings.thumbprint, ca_file=settings.ca_file)

    end_leftover(request.directory, settings.address, trust)
    return AbortResult()
