# SPDX-License-Identifier: GPL-2.0-or-later
"""Read disks through VMware's VDDK library, which nbdkit-vddk-plugin(1) loads.

It is the fastest way, and it can read snapshots. Each disk has a server of its own with a single handle, because
several handles on one disk obstruct each other.
"""

from __future__ import annotations

from pathlib import Path

from v2v_core.api import (
    CommandError,
    NbdkitFilter,
    NbdkitPlugin,
    SourceError,
    UsageError,
    require_program,
    run_program,
)
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.settings import VddkSettings
from v2v_input_vmware.vcenter.source import Source
from v2v_input_vmware.vcenter.trust import fetch_certificate, sha1_thumbprint

_LIBRARY = (
    "use -it export, which needs no library: VMware closed its downloads to the public in August 2026; if you can "
    "still download the Virtual Disk Development Kit, unpack it, and name its directory: "
)


def check_library(settings: VddkSettings) -> None:
    """Check that nbdkit has the plugin, and the plugin its library.

    :raises SourceError: one is missing; the hint says where to get it.
    """
    require_program("nbdkit")
    libdir = settings.libdir
    if libdir is not None and not Path(libdir).is_dir():
        raise SourceError(
            f"-io vddk-libdir: {libdir} is not a directory",
            hint="name the directory vmware-vix-disklib-distrib of the unpacked library",
        )
    argv = ["nbdkit", "vddk", "--dump-plugin", *([f"libdir={libdir}"] if libdir is not None else [])]
    try:
        run_program(argv, timeout=60)
    except CommandError as err:
        if "nbdkit-vddk-plugin" in err.stderr_tail:
            raise SourceError(
                "nbdkit has no plugin for VDDK",
                hint="install nbdkit-vddk-plugin (Fedora, RHEL); Debian has no such package: build nbdkit; or "
                "use -it export, which needs no plugin and no library",
            ) from err
        if "cannot open shared object file" in err.stderr_tail:
            raise SourceError(
                "VMware's VDDK library was not found", hint=f"{_LIBRARY}-io vddk-libdir=DIRECTORY"
            ) from err
        reasons = [line.strip() for line in err.stderr_tail.splitlines() if line.strip()]
        raise SourceError(
            f"nbdkit's plugin for VDDK does not work: {reasons[-1][-300:] if reasons else err.message}",
            hint=f"{_LIBRARY}-io vddk-libdir=DIRECTORY",
        ) from err


def services(source: Source, password: str, settings: VddkSettings) -> tuple[NbdkitPlugin, ...]:
    """Describe how the disks are served.

    :raises UsageError: ``vddk-file`` does not name one file for each disk.
    """
    address, moref, disks = source.address, source.found.machine.moref, source.disks
    # the library gets the thumbprint of the certificate that was verified
    thumbprint = sha1_thumbprint(fetch_certificate(address, source.trust))
    files = settings.files or tuple(disk.file for disk in disks)
    if len(files) != len(disks):
        raise UsageError(
            f"-io vddk-file is given {len(files)} times, and the virtual machine has {len(disks)} disks",
            hint="give it once for each disk, in their order",
        )
    return tuple(_service(address, moref, file, password, thumbprint, settings) for file in files)


def _service(
    address: Address, moref: str, file: str, password: str, thumbprint: str, settings: VddkSettings
) -> NbdkitPlugin:
    cookie = settings.cookie
    return NbdkitPlugin(
        name="vddk",
        parameters=(
            ("server", address.host),
            ("vm", f"moref={moref}"),
            ("user", address.user),
            ("thumbprint", settings.thumbprint or thumbprint),
            ("file", file),
            *settings.parameters,
        ),
        secrets=(("password", password), *((("cookie", cookie),) if cookie is not None else ())),
        filters=(
            # each connection would open a handle of its own
            NbdkitFilter(name="multi-conn", parameters=(("multi-conn-mode", "disable"),)),
            # very large reads exhaust the memory of the server (nbdkit-vddk-plugin(1))
            NbdkitFilter(name="blocksize", parameters=(("minblock", "512"), ("maxdata", "2M"))),
        ),
        remote=True,
        single=True,
    )
