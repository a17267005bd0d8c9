# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of ``-i vcenter``: its options and arguments, parsed into records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from v2v_core.api import InputSetupRequest, OptionValues, PluginOption, UsageError
from v2v_input_vmware.vcenter.address import Address, parse_address

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
    def snapshot(self) -> bool:
        """Whether the disks are read from a snapshot."""
        return any(name == "snapshot" for name, _ in self.parameters)

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
class VcenterSettings:
    """Which guest of which server is read, and how.

    :param thumbprint: of the server's certificate, which alone is trusted then.
    :param vddk: None: the disks are read over https.
    """

    address: Address
    guest: str
    password_file: Path | None = None
    thumbprint: str | None = None
    ca_file: str | None = None
    vddk: VddkSettings | None = None

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
        if request.transport not in {None, "https", "vddk"}:
            raise UsageError(
                f"-i vcenter does not know the transport -it {request.transport}",
                hint="https (the default) and vddk are known; over ssh an ESXi host is read with -i vmx -it ssh",
            )
        options = request.options
        given = [name for name in options.values if name.startswith("vddk-")]
        if given and request.transport != "vddk":
            raise UsageError(f"-io {given[0]} is for -it vddk", hint="add -it vddk, or leave it out")
        vddk = VddkSettings.of(options) if request.transport == "vddk" else None
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
        )
