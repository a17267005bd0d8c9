# SPDX-License-Identifier: GPL-2.0-or-later
"""The copier ``imageio``: from the NBD server of the source straight to ovirt-imageio.

``-o rhv-upload`` recommends it. Any other copier works too: each disk is also served through NBD (service.py), where
the data passes through one more program.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from v2v_core.api import CopyError, CopyHooks, CopyRequest, CopyResult, hookimpl, run_copy_program
from v2v_output_rhv.upload.address import address_file

NAME = "imageio"
#: As many as ovirt-imageio's own uploader uses.
_CONNECTIONS = 4


class ImageioCopier(CopyHooks):
    """Send the data of a disk to ovirt-imageio, over several connections."""

    api_version = 1
    summary = "straight to ovirt-imageio, for -o rhv-upload"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk and flush it."""
        return run_copy_program(request, lambda progress: copy_argv(request, progress))


def recommended() -> str | None:
    """Return the name of this copier, or None if the Python binding of libnbd, which it needs, is not installed."""
    return NAME if find_spec("nbd") is not None else None


def copy_argv(request: CopyRequest, progress: int) -> list[str]:
    """Return the command line of the program that copies.

    :param progress: the file descriptor that the program writes its progress to.
    :raises CopyError: the disk does not go to ovirt-imageio.
    """
    address = address_file(request.output_directory, request.index) if request.output_directory is not None else None
    if address is None or not address.exists():
        raise CopyError(
            f"disk {request.index} cannot be copied by --copier {NAME}: it does not go to ovirt-imageio",
            disk=request.index,
            hint="leave out --copier; v2v then uses the copier that suits the output",
        )
    # -P: never import a module from the current directory
    argv = [sys.executable, "-P", "-m", "v2v_output_rhv.upload.copy_program"]
    argv += [f"--connections={request.connections or _CONNECTIONS}", f"--progress={progress}"]
    if request.zeroed and request.allocation != "preallocated":
        argv.append("--destination-is-zero")
    return [*argv, request.source.uri, str(address)]
