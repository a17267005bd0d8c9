# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the program that copies one disk, reports its progress, and turns its failure into an error.

A program can be stopped when another disk has failed or the user interrupts the run. A thread cannot.
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

    :param argv_for: returns the command line. Its argument is the file descriptor that the program must write its
        progress to, as lines of ``DONE/TOTAL`` in whole numbers of any unit, like nbdcopy(1) with ``--progress=FD``.
    :raises CopyError: the program failed. The error names the disk and has the last line of the program's output.
    """
    size = request.source.size or 0
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="ascii", errors="replace") as progress, tempfile.TemporaryFile() as output:
        try:
            argv = argv_for(writer)
            request.report.debug(f"disk {request.index}: {argv}")
            process = subprocess.Popen(
                [require_program(argv[0]), *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
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
        output.seek(0)
        output_text = output.read().decode("utf-8", "replace").strip()
    if output_text:
        request.report.debug(output_text)
    if status != 0:
        raise _error(request.index, argv[0], status, output_text)
    request.report.progress(size, size, disk=request.index)
    return CopyResult(index=request.index, size=size)


def _error(index: int, program: str, status: int, output: str) -> CopyError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = f"{program} was killed by signal {-status}" if status < 0 else f"{program} ended with exit status {status}"
    if lines:
        reason = lines[-1]
    hint = "see the log of the step, and the logs of the servers beside it"
    if "No space left" in output:
        hint = "free space at the destination, or choose another one, and run again"
    elif "Input/output error" in output:
        hint = "the logs of the servers in1, in2 … and out1, out2 … show whether the source or the destination failed"
    return CopyError(f"disk {index} could not be copied: {reason}", disk=index, hint=hint)
