# SPDX-License-Identifier: GPL-2.0-or-later
"""Step cleanup: nothing of the run is left. Works after success, failure, and ``kill -9`` of everybody else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.events import EventSink, Step
from v2v_core.reporting import running
from v2v_core.steps.output_abort import abort_output


def run(directory: ConversionDir, sinks: Sequence[EventSink] = ()) -> None:
    """Stop everything, take back an output that was begun and not finished, remove the directory.

    :raises V2VError: the directory cannot be removed.
    """
    with contextlib.ExitStack() as stack:
        try:
            report = stack.enter_context(running(directory, Step.CLEANUP, sinks))
        except OSError:
            # without space for a log there is all the more reason to clean up
            report = None
        processes.stop(directory.path, processes.is_gone_with_the_run)
        if report is not None:
            abort_output(directory, report)
    directory.remove()
