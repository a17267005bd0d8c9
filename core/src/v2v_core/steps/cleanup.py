# SPDX-License-Identifier: GPL-2.0-or-later
"""Step cleanup: leaves nothing of the run. Works after success, failure, and ``kill -9`` of everything else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from v2v_core import claims, processes, run_record
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OwnedObject
from v2v_core.reporting import running
from v2v_core.space import overlays
from v2v_core.steps.abort import take_back


def run(directory: ConversionDir, sinks: Sequence[EventSink] = ()) -> tuple[OwnedObject, ...]:
    """Stop the processes of the run, take back what it created elsewhere, and remove the directory.

    :return: what could not be deleted; a warning names each object. The directory is then kept without its large
        files: it holds the ledger, so that the next cleanup can go on.
    :raises V2VError: the directory cannot be removed.
    """
    left: tuple[OwnedObject, ...] = ()
    with contextlib.ExitStack() as stack:
        try:
            report = stack.enter_context(running(directory, Step.CLEANUP, sinks))
        except OSError:
            # without space for a log there is all the more reason to clean up
            report = None
        # from here on there is nothing to go on with, even if the cleanup is killed
        run_record.forget(directory)
        processes.stop(directory.path, processes.is_gone_with_the_run)
        # before anything else is written: the file system may be full
        for overlay in overlays(directory.overlay):
            with contextlib.suppress(OSError):
                overlay.unlink()
        if report is not None:
            left = take_back(directory, Role.OUTPUT, report) + take_back(directory, Role.INPUT, report)
            if left:
                report.warning(
                    f"{directory.path} is kept: it says what was left behind; "
                    f"run helper-v2v-cleanup --dir {directory.path} again when it can be deleted"
                )
        else:
            left = directory.ledger.owned()
    claims.release(directory)
    if left:
        directory.empty()
    else:
        directory.remove()
    return left
