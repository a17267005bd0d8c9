# SPDX-License-Identifier: GPL-2.0-or-later
"""Step convert, or a look into the guest in its place, in a process of its own, as a supervisor runs it.

Library code that waits for an appliance cannot be interrupted; a process can.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.deep_inspection import InspectResult
from v2v_core.environment import child_environment
from v2v_core.errors import ConversionError, Interrupted, V2VError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.first_boot import FirstBootStatus
from v2v_core.records import from_json, to_json
from v2v_core.reporting import StepReport, forward
from v2v_core.settings import ConvertChoice
from v2v_core.signals import interrupted, interruption
from v2v_core.steps import convert, first_boot, inspect

#: What the child process can do.
_TASKS: dict[str, Callable[[ConversionDir, ConvertChoice, Sequence[EventSink]], object]] = {
    "convert": convert.run,
    "inspect": inspect.run,
    "first_boot": first_boot.run,
}


def convert_apart(
    directory: ConversionDir,
    choice: ConvertChoice,
    sinks: Sequence[EventSink] = (),
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run the step in a child process, and forward its events.

    :param stopped: whether the caller has stopped the child, and reports itself why.
    :raises Interrupted: the caller has stopped the child.
    :raises V2VError: the step failed, with the same error in the child; or the child was killed.
    """
    _run_apart("convert", directory, choice, sinks, stopped=stopped)


def inspect_apart(directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()) -> InspectResult:
    """Look into the guest in a child process, forward its events, and return what it found.

    :raises V2VError: it failed, with the same error in the child; or the child was killed.
    """
    _run_apart("inspect", directory, choice, sinks)
    return directory.read_record(inspect.RESULT, InspectResult)


def first_boot_apart(
    directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()
) -> FirstBootStatus:
    """Read in a child process how the guest's first boots went, and forward the events.

    :raises V2VError: it failed, with the same error in the child; or the child was killed.
    """
    _run_apart("first_boot", directory, choice, sinks)
    return directory.read_record(first_boot.RESULT, FirstBootStatus)


def _run_apart(
    task: str,
    directory: ConversionDir,
    choice: ConvertChoice,
    sinks: Sequence[EventSink],
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    reader, writer = os.pipe()
    argv = [sys.executable, "-P", "-m", "v2v_core.steps.convert_apart", str(directory.path), str(writer), task]
    failed: Event | None = None
    # a session of its own: Ctrl-C goes to the supervisor, which stops the child and cleans up
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        pass_fds=[writer],
        start_new_session=True,
        env=child_environment(**directory.environment, **{processes.STEP_VARIABLE: Step.CONVERT}),
    ) as child:
        os.close(writer)
        try:
            _send(child, choice)
            with os.fdopen(reader, encoding="utf-8", errors="replace") as events:
                for line in events:
                    try:
                        event = Event.from_json(line)
                    except ValueError:
                        # cut short: the child was killed while it wrote the line
                        continue
                    if event.kind is EventKind.STEP_FAILED:
                        failed = event
                        if stopped():
                            # it failed because what it needs was stopped
                            continue
                    for problem in forward(event, sinks):
                        with directory.log(Step.CONVERT).open("a", encoding="utf-8") as log:
                            log.write(f"{problem}\n")
            status = child.wait()
        except BaseException as err:
            # all that the child started is stopped, too: the appliance would go on without it
            processes.stop(directory.path, processes.works_for(Step.CONVERT), grace=2.0)
            if (signal := interruption(err)) is not None:
                _report_failure(directory, sinks, interrupted(signal))
            raise
    if stopped() and (failed is not None or status != 0):
        raise Interrupted("the conversion was stopped")
    if failed is not None:
        raise _error(failed)
    if status != 0:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        error = ConversionError(f"the conversion process {how}", hint="the log of this step says what it did last")
        _report_failure(directory, sinks, error)
        raise error


def _report_failure(directory: ConversionDir, sinks: Sequence[EventSink], error: V2VError) -> None:
    """Report the failure of the step on behalf of a child that was killed."""
    with contextlib.suppress(OSError), contextlib.closing(StepReport(directory, Step.CONVERT, sinks)) as report:
        report.emit(
            Event(
                kind=EventKind.STEP_FAILED,
                step=Step.CONVERT,
                text=error.message,
                hint=error.hint,
                log=str(report.log_path),
                code=error.exit_code,
            )
        )


def _error(failed: Event) -> V2VError:
    error = ConversionError(failed.text, hint=failed.hint, obstacles=failed.obstacles)
    if failed.code is not None:
        error.exit_code = failed.code
    return error


def _send(child: subprocess.Popen[bytes], choice: ConvertChoice) -> None:
    """Send the choice to the child through a pipe. It may hold keys, which are never written to a disk."""
    if child.stdin is None:
        raise TypeError("the child is started with a pipe")
    # a child that is dead already is reported by its status
    with contextlib.suppress(BrokenPipeError), child.stdin as stream:
        stream.write(json.dumps(to_json(choice)).encode())


def main(argv: list[str]) -> int:
    """Run the step, as the child process, and write its events to a file descriptor."""
    _program, path, descriptor, task = argv
    directory = ConversionDir.existing(Path(path))
    choice = from_json(json.load(sys.stdin), ConvertChoice)
    # what the converter starts must not hold the supervisor's pipe open
    os.set_inheritable(int(descriptor), False)
    with os.fdopen(int(descriptor), "w", encoding="utf-8", buffering=1) as stream:

        def write(event: Event) -> None:
            stream.write(event.to_json() + "\n")

        try:
            _TASKS[task](directory, choice, [write])
        except V2VError as err:
            return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
