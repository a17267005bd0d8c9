# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i outside FILE``: the first line of the file is the name of the guest, the second the bytes of its disk."""

from pathlib import Path

from v2v_core.api import (
    Guest,
    InputResult,
    InputSetupRequest,
    NbdkitPlugin,
    PluginOption,
    SourceDisk,
    SourceError,
    UsageError,
    hookimpl,
)


class OutsideInput:
    """Guests that exist only as a name and a size."""

    api_version = 1
    summary = "guests from a file of two lines"
    options = (PluginOption(name="prefix", help="put before the name of the guest"),)

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe the guest."""
        if len(request.arguments) != 1:
            raise UsageError("-i outside needs one file", hint="virt-v2v -i outside guest.txt -o null")
        path = Path(request.arguments[0])
        try:
            name, size = path.read_text(encoding="utf-8").splitlines()[:2]
        except (OSError, ValueError) as err:
            raise SourceError(f"{path}: {err}", hint="a name on the first line, a size on the second") from err
        return InputResult(
            guest=Guest(
                name=f"{request.options.one('prefix') or ''}{name}", disks=(SourceDisk(index=1, origin=str(path)),)
            ),
            disks=(NbdkitPlugin(name="pattern", parameters=(("size", size),)),),
        )
