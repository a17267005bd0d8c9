# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -ic https://USER@HOST/ GUEST``, and ``-i libvirt`` with ``vpx://`` and ``esx://``."""

from __future__ import annotations

from v2v_core.api import (
    Finding,
    InputHooks,
    InputResult,
    InputSetupRequest,
    ProbeHooks,
    ProbeRequest,
    SourceError,
    hookimpl,
)
from v2v_input_vmware.vcenter.settings import OPTIONS, VcenterSettings


class VcenterInput(InputHooks, ProbeHooks):
    """Guests of a vCenter or an ESXi host."""

    api_version = 1
    summary = "a guest of a vCenter or ESXi host, over https or VDDK (-it vddk)"
    #: virt-v2v reads these through libvirt: ``-i libvirt -ic vpx://...`` is this mode.
    uri_schemes = ("vpx", "esx")
    capabilities = ("vcenter-https", "vddk")
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


def _setup(request: InputSetupRequest, settings: VcenterSettings) -> InputResult:
    # imported here because pyvmomi takes a second to load
    from v2v_input_vmware.vcenter import datastore, vddk
    from v2v_input_vmware.vcenter.checks import check_machine
    from v2v_input_vmware.vcenter.inventory import datacenter_of, find_vm
    from v2v_input_vmware.vcenter.machine import guest_of, read_machine
    from v2v_input_vmware.vcenter.password import find_password
    from v2v_input_vmware.vcenter.session import connected, session_cookie
    from v2v_input_vmware.vcenter.trust import check_name, fetch_certificate, find_trust, sha1_thumbprint

    address, report = settings.address, request.report
    if settings.vddk is not None:
        vddk.check_library(settings.vddk)
    password = find_password(address, settings.password_file)
    trust = find_trust(address, request.directory, thumbprint=settings.thumbprint, ca_file=settings.ca_file)
    with connected(address, password, trust) as service:
        vm = find_vm(service, settings.guest, address.datacenter)
        machine = read_machine(service, vm)
        guest, disks = guest_of(machine, report.warning)
        check_machine(
            machine,
            disks,
            whole_files=settings.vddk is None,
            snapshot=settings.vddk is not None and settings.vddk.snapshot,
            warn=report.warning,
        )
        if settings.vddk is not None:
            thumbprint = sha1_thumbprint(fetch_certificate(address, trust))
            services = vddk.services(address, machine.moref, disks, password, thumbprint, settings.vddk)
            return InputResult(guest=guest, disks=services)
        if trust.pinned:
            check_name(address, trust)
        datacenter = datacenter_of(service, vm)
        paths = [datastore.folder_path(disk, datacenter) for disk in disks]
        cookie = session_cookie(service)
        for path, disk in zip(paths, disks, strict=True):
            if not disk.path.endswith(".vmdk"):
                raise SourceError(f"{disk.label} ({disk.file}) is not a VMDK", hint="use -it vddk")
            datastore.check_readable(address, trust, path, cookie, disk)
    command = datastore.cookie_command(request.directory, address, trust, password, paths[0])
    return InputResult(guest=guest, disks=tuple(datastore.service(address, trust, path, command) for path in paths))
