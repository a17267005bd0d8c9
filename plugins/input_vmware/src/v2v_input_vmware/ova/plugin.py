# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i ova FILE|DIRECTORY``."""

from __future__ import annotations

from pathlib import Path

from v2v_core.api import InputHooks, InputResult, InputSetupRequest, PluginOption, UsageError, hookimpl


class OvaInput(InputHooks):
    """Guests from OVA packages."""

    api_version = 1
    summary = "an OVA package: a directory, its .ovf file, or a tar, tar.gz, tar.xz or zip file"
    options = (
        PluginOption(
            name="skip-manifest",
            help="do not verify the checksums in the manifest; verifying reads the whole package",
            flag=True,
        ),
    )

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe the guest of an OVA and how its disks are served."""
        if len(request.arguments) != 1:
            raise UsageError(
                "-i ova is expecting one OVA file, OVF file or directory",
                hint="for example: virt-v2v -i ova guest.ova -o local -os /var/tmp",
            )
        if request.in_place:
            raise UsageError("-i ova cannot convert in place", hint="convert it into a new guest")
        given = {
            "-ic": request.connection,
            "-it": request.transport,
            "-ip": request.password_file,
            "-if": request.format,
        }
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"-i ova cannot be used with {option}", hint=f"leave {option} out")
        # imported here because lxml is slow to load, and not needed to list the plugins
        from v2v_input_vmware.ova.contents import describe_guest

        return describe_guest(request, Path(request.arguments[0]).absolute())
