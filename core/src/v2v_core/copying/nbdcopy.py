# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``nbdcopy`` copier: one nbdcopy(1) per disk, its progress read from ``--progress=FD``."""

from __future__ import annotations

import os
import subprocess
import tempfile

from v2v_core.errors import CopyError
from v2v_core.hookspecs import CopyRequest, CopyResult, hookimpl
from v2v_core.programs import require_program

#: What is in flight at once: nbdcopy's own default of 64 requests, fewer when they are large.
_REQUESTS = 64
_IN_FLIGHT = 64 * 1024 * 1024
_REQUEST_SIZE = 256 * 1024


class NbdCopy:
    """Copy a disk with nbdcopy, which uses several connections where both ends can."""

    api_version = 1
    summary = "nbdcopy of libnbd"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk and flush it."""
        size = request.source.size or 0
        reader, writer = os.pipe()
        argv = nbdcopy_argv(request, writer)
        request.report.debug(f"disk {request.index}: {argv}")
        with tempfile.TemporaryFile() as words:
            with subprocess.Popen(
                [require_program("nbdcopy"), *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[writer],
                env={**os.environ, "LC_ALL": "C"},
            ) as process:
                os.close(writer)
                with os.fdopen(reader, encoding="ascii", errors="replace") as progress:
                    for line in progress:
                        done, _, total = line.strip().partition("/")
                        if done.isdigit() and total == "100":
                            request.report.progress(size * int(done) // 100, size, disk=request.index)
                status = process.wait()
            words.seek(0)
            said = words.read().decode("utf-8", "replace").strip()
        if said:
            request.report.debug(said)
        if status != 0:
            raise _error(request.index, status, said)
        request.report.progress(size, size, disk=request.index)
        return CopyResult(index=request.index, size=size)


def nbdcopy_argv(request: CopyRequest, progress: int) -> list[str]:
    """Give nbdcopy's command line.

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


def _error(index: int, status: int, said: str) -> CopyError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = lines[-1] if lines else (f"nbdcopy was killed by signal {-status}" if status < 0 else f"exit status {status}")
    hint = "the log of the step and those of the servers, beside it, say more"
    if "No space left" in said:
        hint = "free space at the destination, or choose another one, and run again"
    elif "Input/output error" in said:
        hint = "the log of the server in1, in2 … or out1, out2 … says which end it was"
    return CopyError(f"disk {index} could not be copied: {why}", disk=index, hint=hint)
