# SPDX-License-Identifier: GPL-2.0-or-later
"""The copier ``imageio``: from the NBD server of the source to ovirt-imageio, with no other program between.

It is what ``-o rhv-upload`` recommends. Any other copier does as well: the disk is served through NBD, too, where the
data passes one program more (service.py).
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from v2v_core.api import HOOK_API_VERSION, CopyError, CopyRequest, CopyResult, hookimpl, run_copy_program
from v2v_output_rhv.upload.address import address_file

NAME = "imageio"
#: As many as the client's own uploader has.
_CONNECTIONS = 4


class ImageioCopier:
    """Send the data of a disk to ovirt-imageio, over several connections."""

    api_version = HOOK_API_VERSION
    summary = "straight to ovirt-imageio, for -o rhv-upload"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk and flush it."""
        return run_copy_program(request, lambda progress: copy_argv(request, progress))


def recommended() -> str | None:
    """Name this copier where it works: where libnbd can be had from Python."""
    return NAME if find_spec("nbd") is not None else None


def copy_argv(request: CopyRequest, progress: int) -> list[str]:
    """Give the command line of the program that copies.

    :param progress: the file descriptor that it writes its progress to.
    :raises CopyError: the disk is not uploaded.
    """
    address = address_file(request.output_directory, request.index) if request.output_directory is not None else None
    if address is None or not address.exists():
        raise CopyError(
            f"disk {request.index} cannot be copied by --copier {NAME}: it does not go to ovirt-imageio",
            disk=request.index,
            hint="leave --copier out, which takes the one that suits the output",
        )
    # -P: a file in the current directory is no module
    argv = [sys.executable, "-P", "-m", "v2v_output_rhv.upload.copy_program"]
    argv += [f"--connections={request.connections or _CONNECTIONS}", f"--progress={progress}"]
    if request.zeroed and request.allocation != "preallocated":
        argv.append("--destination-is-zero")
    return [*argv, request.source.uri, str(address)]
