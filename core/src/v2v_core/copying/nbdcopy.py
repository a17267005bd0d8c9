# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``nbdcopy`` copier: one nbdcopy(1) per disk, its progress read from ``--progress=FD``."""

from __future__ import annotations

from v2v_core.copying.program import run_copy_program
from v2v_core.hookspecs import CopyHooks, CopyRequest, CopyResult, hookimpl

#: Limits of what is in flight at once: nbdcopy's default of 64 requests, or fewer if they are large.
_REQUESTS = 64
_IN_FLIGHT = 64 * 1024 * 1024
_REQUEST_SIZE = 256 * 1024


class NbdCopy(CopyHooks):
    """Copy a disk with nbdcopy, which uses several connections where both ends can."""

    api_version = 1
    summary = "nbdcopy of libnbd"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk and flush it."""
        return run_copy_program(request, lambda progress: nbdcopy_argv(request, progress))


def nbdcopy_argv(request: CopyRequest, progress: int) -> list[str]:
    """Return the command line of nbdcopy(1).

    :param progress: the file descriptor that it writes its progress to.
    """
    argv = ["nbdcopy", "--flush", f"--progress={progress}"]
    if request.request_size is not None:
        requests = max(1, min(_REQUESTS, _IN_FLIGHT // max(request.request_size, _REQUEST_SIZE)))
        argv += [f"--request-size={request.request_size}", f"--requests={requests}"]
    if request.connections:
        argv.append(f"--connections={request.connections}")
    if request.allocation == "preallocated":
        argv.append("--allocated")
    elif request.zeroed:
        argv.append("--destination-is-zero")
    return [*argv, request.source.uri, request.destination.uri]
