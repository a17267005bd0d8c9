# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of ``-i vcenter``: its options and arguments, parsed into records."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from v2v_core.api import (
    InputAbortRequest,
    InputSetupRequest,
    InputVersionsRequest,
    OptionValues,
    PluginOption,
    UsageError,
)
from v2v_input_vmware.vcenter.address import Address, parse_address

_TRANSPORTS = ("https", "export", "vddk")
_THUMBPRINT, _CA_FILE = "thumbprint", "ca-file"
_VDDK = {
    "compression": "compress on the way: zlib, fastlz or skipz",
    "config": "the library's configuration file",
    "cookie": "log in with this cookie instead of a password",
    "libdir": "the directory of the library (vmware-vix-disklib-distrib)",
    "nfchostport": "port of NFC on the ESXi host",
    "port": "port of the server, for the library",
    "snapshot": "moref of the snapshot to read from",
    "thumbprint": "SHA-1 thumbprint of the server",
    "transports": "ways to read, with colons between them: file:san:hotadd:nbdssl:nbd",
}
#: Passed to nbdkit's plugin unchanged, in this order.
_PASSED = ("compression", "config", "libdir", "nfchostport", "port", "snapshot", "transports")
#: Disks that are downloaded at once. Each takes one of the 52 connections that a vCenter serves.
_PARALLEL, _MOST_PARALLEL = 4, 32
OPTIONS = (
    PluginOption(name=_THUMBPRINT, help="SHA-1 or SHA-256 fingerprint of the server's certificate, to trust it alone"),
    PluginOption(name=_CA_FILE, help="file with the certificates of the authorities to trust"),
    *(
        PluginOption(name=f"vddk-{name}", help=f"with -it vddk: {text}", secret=name == "cookie")
        for name, text in _VDDK.items()
    ),
    PluginOption(
        name="vddk-file", help="with -it vddk: path of a disk instead of that in the inventory", repeatable=True
    ),
    PluginOption(name="export-snapshot", help="with -it export: name or moref of the snapshot to read from"),
    PluginOption(
        name="export-parallel", help=f"with -it export: how many disks are downloaded at once; by default {_PARALLEL}"
    ),
)


@dataclass(frozen=True, kw_only=True)
class VddkSettings:
    """How the VDDK library reads the disks.

    :param thumbprint: SHA-1 thumbprint of the server; None: that of the certificate that was verified.
    :param files: paths of the disks; none: those in the inventory.
    :param parameters: further parameters of nbdkit's plugin.
    """

    libdir: str | None = None
    thumbprint: str | None = None
    cookie: str | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def snapshot(self) -> str | None:
        """The moref of the snapshot that the disks are read from."""
        return dict(self.parameters).get("snapshot")

    @classmethod
    def of(cls, options: OptionValues) -> VddkSettings:
        """Parse the options."""
        return cls(
            libdir=options.one("vddk-libdir"),
            thumbprint=options.one("vddk-thumbprint"),
            cookie=options.one("vddk-cookie"),
            files=options.all("vddk-file"),
            parameters=tuple((name, value) for name in _PASSED if (value := options.one(f"vddk-{name}")) is not None),
        )


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the server exports the disks.

    :param snapshot: name or moref of a snapshot. :param parallel: disks that are downloaded at once.
    """

    snapshot: str | None = None
    parallel: int = _PARALLEL

    @classmethod
    def of(cls, options: OptionValues) -> ExportSettings:
        """Parse the options.

        :raises UsageError: the number of disks is none.
        """
        given = options.one("export-parallel")
        parallel = str(_PARALLEL) if given is None else given
        if not re.fullmatch(r"[0-9]{1,4}", parallel) or not 1 <= int(parallel) <= _MOST_PARALLEL:
            raise UsageError(
                f"-io export-parallel={parallel} is not a number from 1 to {_MOST_PARALLEL}",
                hint=f"leave it out to download {_PARALLEL} disks at once",
            )
        return cls(snapshot=options.one("export-snapshot"), parallel=int(parallel))


@dataclass(frozen=True, kw_only=True)
class VcenterSettings:
    """Which guest of which server is read, and how.

    :param thumbprint: of the server's certificate, which alone is trusted then.
    :param vddk: the disks are read through VDDK. :param export: they are exported. Without both they are read over
        https.
    """

    address: Address
    guest: str
    password_file: Path | None = None
    thumbprint: str | None = None
    ca_file: str | None = None
    vddk: VddkSettings | None = None
    export: ExportSettings | None = None

    @property
    def transport(self) -> str:
        """The value of ``-it``."""
        return "vddk" if self.vddk is not None else "export" if self.export is not None else "https"

    @property
    def snapshot(self) -> str | None:
        """The snapshot that is read; None: the disks as they are."""
        return self.vddk.snapshot if self.vddk is not None else self.export.snapshot if self.export else None

    @classmethod
    def of(cls, request: InputSetupRequest) -> VcenterSettings:
        """Parse the options and arguments.

        :raises UsageError: they do not fit this input, or each other.
        """
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
        return cls.of_source(request)

    @classmethod
    def of_source(cls, request: InputSetupRequest | InputVersionsRequest | InputAbortRequest) -> VcenterSettings:
        """Parse what says where the guest is and how it is read.

        :raises UsageError: the values do not fit this input, or each other.
        """
        if request.transport not in {None, *_TRANSPORTS}:
            raise UsageError(
                f"-i vcenter does not know the transport -it {request.transport}",
                hint="https (the default), export and vddk are known; over ssh, use -i vmx -it ssh",
            )
        transport, options = request.transport or "https", request.options
        for name in options.values:
            owner = name.partition("-")[0]
            if owner in _TRANSPORTS and owner != transport:
                raise UsageError(f"-io {name} is for -it {owner}", hint=f"add -it {owner}, or leave it out")
        vddk = VddkSettings.of(options) if transport == "vddk" else None
        thumbprint = options.one(_THUMBPRINT)
        if thumbprint is None and vddk is not None:
            # the library connects to the same server, so that its thumbprint pins the certificate, too
            thumbprint = vddk.thumbprint
        return cls(
            address=parse_address(request.connection),
            guest=request.arguments[0],
            password_file=request.password_file,
            thumbprint=thumbprint,
            ca_file=options.one(_CA_FILE),
            vddk=vddk,
            export=ExportSettings.of(options) if transport == "export" else None,
        )
