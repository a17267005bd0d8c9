# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of ``-i vmx``: its options and arguments, parsed into a record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import InputSetupRequest, PluginOption, UsageError
from v2v_input_vmware.vmx.ssh import Server

_EXTERNAL, _IDENTITY, _KNOWN_HOSTS = "allow-external-files", "ssh-identity", "ssh-known-hosts"
OPTIONS = (
    PluginOption(
        name=_EXTERNAL, help="open disks and extents that lie outside the directory of the VMX file", flag=True
    ),
    PluginOption(name=_IDENTITY, help="with -it ssh: the file with the private key to log in with"),
    PluginOption(name=_KNOWN_HOSTS, help="with -it ssh: the file with the keys of hosts that are trusted"),
)


@dataclass(frozen=True, kw_only=True)
class VmxSettings:
    """Which VMX file is read, and from where.

    :param path: of the VMX file, on this machine or on the server.
    :param server: None: the file is on this machine.
    :param external: files outside the directory of a local VMX file may be opened.
    """

    path: Path
    server: Server | None = None
    external: bool = False

    @classmethod
    def of(cls, request: InputSetupRequest) -> VmxSettings:
        """Parse the options and arguments.

        :raises UsageError: they do not fit this input, or each other.
        :raises SourceError: the password file cannot be read.
        """
        if len(request.arguments) != 1:
            raise UsageError(
                "-i vmx is expecting one VMX file", hint="for example: virt-v2v -i vmx guest.vmx -o local -os /var/tmp"
            )
        if request.in_place:
            raise UsageError(
                "-i vmx cannot convert in place", hint="name the disks themselves, with -i disk, or convert into a copy"
            )
        if request.format is not None or request.connection is not None:
            raise UsageError("-i vmx cannot be used with -if or -ic", hint="leave them out")
        argument, options = request.arguments[0], request.options
        if request.transport == "ssh":
            server = Server.of(
                argument,
                password_file=request.password_file,
                identity=options.one(_IDENTITY),
                known_hosts=options.one(_KNOWN_HOSTS),
            )
            return cls(path=Path(server.path), server=server)
        if request.transport is not None:
            raise UsageError(f"-i vmx does not know the transport -it {request.transport}", hint="use -it ssh, or none")
        if argument.startswith("ssh://"):
            raise UsageError("-i vmx reads a VMX file over ssh only with -it ssh", hint="add: -it ssh")
        if request.password_file is not None:
            raise UsageError("-ip is for -i vmx -it ssh", hint="leave it out for a local file")
        return cls(path=Path(argument).absolute(), external=options.flag(_EXTERNAL))
