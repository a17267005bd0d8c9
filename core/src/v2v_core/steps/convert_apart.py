# SPDX-License-Identifier: GPL-2.0-or-later
"""Step convert in a process of its own, as a supervisor runs it.

Library code that waits for an appliance cannot be interrupted; a process can.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import ConversionError, V2VError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.hookspecs import ConvertSettings
from v2v_core.model import StaticAddress
from v2v_core.reporting import StepReport, forward
from v2v_core.settings import ConvertChoice, NicMapping

#: The user's wishes for the child; it may hold keys, and is readable for this user only.
CHOICE = "convert.json"


def convert_apart(directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()) -> None:
    """Run the step in a child process, forward its events, and raise what it failed with.

    :raises V2VError: as in the child.
    """
    directory.write_json(CHOICE, asdict(choice))
    reader, writer = os.pipe()
    argv = [sys.executable, "-P", "-m", "v2v_core.steps.convert_apart", str(directory.path), str(writer)]
    failed: Event | None = None
    # a session of its own: Ctrl-C goes to the supervisor, which stops the child in good order
    with subprocess.Popen(
        argv,
        pass_fds=[writer],
        start_new_session=True,
        env={**os.environ, **directory.environment},
    ) as child:
        os.close(writer)
        try:
            with os.fdopen(reader, encoding="utf-8", errors="replace") as events:
                for line in events:
                    try:
                        event = Event.from_json(line)
                    except ValueError:
                        # cut short: the child was killed in the middle of it
                        continue
                    if event.kind is EventKind.STEP_FAILED:
                        failed = event
                    for problem in forward(event, sinks):
                        with directory.log(Step.CONVERT).open("a", encoding="utf-8") as log:
                            log.write(f"{problem}\n")
            status = child.wait()
        except BaseException:
            # the child and all that it started: the appliance does not listen to anybody but the kernel
            processes.stop(directory.path, processes.is_worker, grace=2.0)
            raise
    (directory.path / CHOICE).unlink(missing_ok=True)
    if failed is not None:
        raise _error(failed)
    if status != 0:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        error = ConversionError(f"the conversion process {how}", hint=f"see {directory.log(Step.CONVERT)}")
        # it could not say so itself
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
        raise error


def _error(failed: Event) -> V2VError:
    error = ConversionError(failed.text, hint=failed.hint, obstacles=failed.obstacles)
    if failed.code is not None:
        error.exit_code = failed.code
    return error


def load_choice(directory: ConversionDir) -> ConvertChoice:
    """Read what ``convert_apart`` wrote for its child."""
    record = directory.read_json(CHOICE)
    settings = {**record["settings"], "keys": tuple(record["settings"]["keys"])}
    settings["static_addresses"] = tuple(
        StaticAddress(**{**found, "nameservers": tuple(found["nameservers"])}) for found in settings["static_addresses"]
    )
    nics = tuple(NicMapping(**mapping) for mapping in record["nics"])
    return ConvertChoice(mode=record["mode"], settings=ConvertSettings(**settings), nics=nics)


def main(argv: list[str]) -> int:
    """Be the child: run the step, write its events to a file descriptor."""
    from v2v_core.steps import convert

    directory = ConversionDir.existing(Path(argv[1]))
    # what the converter starts must not hold the supervisor's pipe open
    os.set_inheritable(int(argv[2]), False)
    with os.fdopen(int(argv[2]), "w", encoding="utf-8", buffering=1) as stream:

        def write(event: Event) -> None:
            stream.write(event.to_json() + "\n")

        try:
            convert.run(directory, load_choice(directory), [write])
        except V2VError as err:
            return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
