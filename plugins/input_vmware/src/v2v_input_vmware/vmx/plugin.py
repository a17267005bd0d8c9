# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vmx FILE`` and ``-i vmx -it ssh ssh://HOST/vmfs/volumes/.../guest.vmx``."""

from __future__ import annotations

from pathlib import Path

from v2v_core.api import (
    DiskService,
    Finding,
    InputHooks,
    InputResult,
    InputSetupRequest,
    ProbeHooks,
    ProbeRequest,
    SourceError,
    describe_image,
    hookimpl,
)
from v2v_input_vmware.vmx import checks, ssh
from v2v_input_vmware.vmx.guest import VmxDisk, assumed, guest_of
from v2v_input_vmware.vmx.settings import OPTIONS, VmxSettings
from v2v_input_vmware.vmx.syntax import parse_vmx


class VmxInput(InputHooks, ProbeHooks):
    """Guests of VMware from their VMX file, on this machine or over ssh."""

    api_version = 1
    summary = "a VMX file and its disks, local or on an ESXi host (-it ssh)"
    options = OPTIONS

    @hookimpl
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for nbdkit's ssh plugin."""
        from v2v_input_vmware.probes import probe_vmx

        return probe_vmx()

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe the guest of a VMX file and how its disks are served."""
        settings = VmxSettings.of(request)
        if settings.server is not None:
            return _over_ssh(request, settings.server)
        return _local(request, settings)


def _local(request: InputSetupRequest, settings: VmxSettings) -> InputResult:
    path = settings.path
    if not settings.external:
        checks.check_link(path)
    vmx = parse_vmx(checks.read(path), request.report.warning)
    guest, disks = guest_of(vmx, path.stem or "unknown", request.report.warning)
    checks.check_content(vmx, disks, str(path))
    services = tuple(_describe(path.parent, disk, external=settings.external) for disk in disks)
    return InputResult(guest=guest, disks=services, assumed=assumed(vmx))


def _over_ssh(request: InputSetupRequest, server: ssh.Server) -> InputResult:
    data = ssh.fetch(server, server.path, request.directory, limit=checks.LIMIT)
    checks.check_is_vmx(data, server.path)
    vmx = parse_vmx(data, request.report.warning)
    guest, disks = guest_of(vmx, Path(server.path).stem or "unknown", request.report.warning)
    checks.check_content(vmx, disks, server.path)
    services: list[DiskService] = []
    for disk in disks:
        checks.check_name(disk)
        flat = ssh.flat_path(server.path, disk.file)
        ssh.check_exists(server, flat, disk.device, request.directory)
        services.append(ssh.service(server, flat))
    return InputResult(guest=guest, disks=tuple(services), assumed=assumed(vmx))


def _describe(directory: Path, disk: VmxDisk, *, external: bool) -> DiskService:
    path = directory / disk.file
    checks.check_exists(directory, disk)
    if not external:
        checks.check_place(directory, disk)
    try:
        return describe_image(path, "vmdk", external=external, within=directory)
    except SourceError as err:
        raise SourceError(f"the disk {disk.device} of the VMX file: {err.message}", hint=err.hint) from err
