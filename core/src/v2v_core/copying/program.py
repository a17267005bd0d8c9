# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the program that copies one disk: its progress, its end, and its last words as the error.

A program and not a thread, so that it can be stopped: when another disk has failed, or the user has had enough.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence

from v2v_core.environment import child_environment
from v2v_core.errors import CopyError
from v2v_core.hookspecs import CopyRequest, CopyResult
from v2v_core.programs import require_program


def run_copy_program(request: CopyRequest, argv_for: Callable[[int], Sequence[str]]) -> CopyResult:
    """Copy one disk with a program that flushes it before it ends with status 0.

    :param argv_for: gives the command line, for the file descriptor that the program writes its progress to: lines of
        ``DONE/TOTAL``, whole numbers of whatever unit, as nbdcopy(1) does with ``--progress=FD``.
    :raises CopyError: naming the disk, with the last line that the program said.
    """
    size = request.source.size or 0
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="ascii", errors="replace") as progress, tempfile.TemporaryFile() as words:
        try:
            argv = argv_for(writer)
            request.report.debug(f"disk {request.index}: {argv}")
            process = subprocess.Popen(
                [require_program(argv[0]), *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[writer],
                env=child_environment(LC_ALL="C"),
            )
        finally:
            os.close(writer)
        with process:
            for line in progress:
                done, _, total = line.strip().partition("/")
                if done.isdigit() and total.isdigit() and int(done) <= int(total) > 0:
                    request.report.progress(size * int(done) // int(total), size, disk=request.index)
            status = process.wait()
        words.seek(0)
        said = words.read().decode("utf-8", "replace").strip()
    if said:
        request.report.debug(said)
    if status != 0:
        raise _error(request.index, argv[0], status, said)
    request.report.progress(size, size, disk=request.index)
    return CopyResult(index=request.index, size=size)


def _error(index: int, program: str, status: int, said: str) -> CopyError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = f"{program} was killed by signal {-status}" if status < 0 else f"{program} ended with exit status {status}"
    if lines:
        why = lines[-1]
    hint = "the log of the step and those of the servers, beside it, say more"
    if "No space left" in said:
        hint = "free space at the destination, or choose another one, and run again"
    elif "Input/output error" in said:
        hint = "the log of the server in1, in2 … or out1, out2 … says which end it was"
    return CopyError(f"disk {index} could not be copied: {why}", disk=index, hint=hint)
