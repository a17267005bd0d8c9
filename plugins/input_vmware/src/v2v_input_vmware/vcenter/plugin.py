# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -ic https://USER@HOST/ GUEST``, and ``-i libvirt`` with ``vpx://`` and ``esx://``."""

from __future__ import annotations

from v2v_core.api import InputResult, InputSetupRequest, PluginOption, SourceError, UsageError, hookimpl
from v2v_input_vmware.vcenter import vddk
from v2v_input_vmware.vcenter.address import parse_address

_THUMBPRINT, _CA_FILE = "thumbprint", "ca-file"


class VcenterInput:
    """Guests of a vCenter or an ESXi host."""

    api_version = 1
    summary = "a guest of a vCenter or ESXi host, over https or VDDK (-it vddk)"
    uri_schemes = ("vpx", "esx")
    capabilities = ("vcenter-https", "vddk")
    options = (
        PluginOption(
            name=_THUMBPRINT, help="SHA-1 or SHA-256 fingerprint of the server's certificate, to trust it alone"
        ),
        PluginOption(name=_CA_FILE, help="file with the certificates of the authorities to trust"),
        *vddk.OPTIONS,
    )

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe one guest of the inventory."""
        if len(request.arguments) != 1:
            raise UsageError(
                "-i vcenter is expecting the name of one guest",
                hint="for example: virt-v2v -i vcenter -ic https://root@esxi.example.com/ -ip password-file GUEST",
            )
        if request.in_place:
            raise UsageError(
                "-i vcenter cannot convert in place", hint="the disks are VMware's: convert into a new guest"
            )
        if request.format is not None:
            raise UsageError("-i vcenter cannot be used with -if", hint="leave it out")
        if request.transport not in {None, "https", "vddk"}:
            raise UsageError(
                f"-i vcenter does not know the transport -it {request.transport}",
                hint="https (the default) and vddk are known; over ssh an ESXi host is read with -i vmx -it ssh",
            )
        given = [name for name in request.options.values if name.startswith("vddk-")]
        if given and request.transport != "vddk":
            raise UsageError(f"-io {given[0]} is for -it vddk", hint="add -it vddk, or leave it out")
        return _setup(request)


def _setup(request: InputSetupRequest) -> InputResult:
    # pyvmomi takes a second to load
    from v2v_input_vmware.vcenter import datastore
    from v2v_input_vmware.vcenter.checks import check_machine
    from v2v_input_vmware.vcenter.inventory import datacenter_of, find_vm
    from v2v_input_vmware.vcenter.machine import guest_of, read_machine
    from v2v_input_vmware.vcenter.password import find_password
    from v2v_input_vmware.vcenter.session import connected, session_cookie
    from v2v_input_vmware.vcenter.trust import check_name, fetch_certificate, find_trust, sha1_thumbprint

    address = parse_address(request.connection)
    over_vddk = request.transport == "vddk"
    if over_vddk:
        vddk.check_library(request.options)
    password = find_password(address, request.password_file)
    named = [request.options.one(name) for name in (_THUMBPRINT, "vddk-thumbprint")]
    trust = find_trust(
        address,
        request.directory,
        # the library is led to the same server
        thumbprint=next((thumbprint for thumbprint in named if thumbprint is not None), None),
        ca_file=request.options.one(_CA_FILE),
    )
    report = request.report
    with connected(address, password, trust) as service:
        vm = find_vm(service, request.arguments[0], address.datacenter)
        machine = read_machine(service, vm)
        guest, disks = guest_of(machine, report.warning)
        snapshot = over_vddk and request.options.one("vddk-snapshot") is not None
        check_machine(machine, disks, whole_files=not over_vddk, snapshot=snapshot, warn=report.warning)
        if over_vddk:
            thumbprint = sha1_thumbprint(fetch_certificate(address, trust))
            return InputResult(
                guest=guest,
                disks=vddk.services(address, machine.moref, disks, password, thumbprint, request.options),
            )
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
