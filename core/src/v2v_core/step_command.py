# SPDX-License-Identifier: GPL-2.0-or-later
"""``helper-v2v-step STEP --dir DIR --choice FILE``: runs any step, with the user's choice as a JSON record.

It is the one command that a supervisor needs, on this host or on another one: its options do not differ from plugin to
plugin. It needs neither typer nor rich. The records are those of ``v2v_core.supervision``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core import __version__, own_stdout
from v2v_core.file_names import read_names_as_utf8
from v2v_core.standard_streams import exit_code_after_output, make_unfailing

if TYPE_CHECKING:
    from v2v_core.events import Step
    from v2v_core.steps.alone import StepChoice

_PROGRAM = "helper-v2v-step"
_DESCRIPTION = """Run one step of a conversion on a directory. The choice is a JSON object: an InputChoice for
input_setup, an OutputChoice for output_check and output_setup, a ConvertChoice for convert, a CopyChoice for copy."""


def main(argv: list[str] | None = None) -> int:
    """Run the step, and return its exit code (``v2v_core.errors``). Write a failure to stderr."""
    from v2v_core.errors import V2VError
    from v2v_core.signals import signals_interrupt

    if argv is None:
        read_names_as_utf8()
    make_unfailing()
    try:
        options = _parser().parse_args(argv)
    except SystemExit as err:
        # argparse has printed the help, the version, or what is wrong
        return exit_code_after_output(_PROGRAM, int(err.code or 0))
    own_stdout.take()
    try:
        with signals_interrupt():
            return _run(options)
    except V2VError as err:
        hint = f"\nhint: {err.hint}" if err.hint else ""
        notes = "".join(f"\n{note}" for note in getattr(err, "__notes__", ()))
        sys.stderr.write(f"{_PROGRAM}: error: {err.message}{hint}{notes}\n")
        return err.exit_code
    finally:
        own_stdout.give_back()


def _run(options: argparse.Namespace) -> int:
    from v2v_core.errors import DestinationError
    from v2v_core.events import Step
    from v2v_core.steps.alone import clean_up_alone, run_alone

    step = Step(options.step)
    if step is Step.CLEANUP:
        left = clean_up_alone(options.dir)
        if left:
            raise DestinationError(
                f"{len(left)} objects could not be deleted, the first is {left[0].kind} {left[0].identity}",
                hint=f"{options.dir} is kept: run this command again when they can be deleted",
            )
        return 0
    result = run_alone(options.dir, step, _choice(step, options.choice))
    if result is not None:
        stdout = own_stdout.stdout()
        stdout.write(json.dumps({"created": list(result.created)}) + "\n")
        stdout.flush()
    return 0


def _choice(step: Step, file: str | None) -> StepChoice | None:
    from v2v_core.errors import UsageError
    from v2v_core.records import from_json
    from v2v_core.steps.alone import CHOICES

    kind = CHOICES[step]
    if kind is None:
        return None
    if file is None:
        raise UsageError(f"step {step.value} needs a choice", hint="name a JSON file with --choice, or '-' for stdin")
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return from_json(json.loads(text), kind)
    except (OSError, ValueError) as err:
        # the text may hold keys, so only the name of the file is shown
        raise UsageError(f"--choice {file} cannot be used: {err}") from err


def _parser() -> argparse.ArgumentParser:
    steps = ["input_setup", "output_check", "convert", "output_setup", "copy", "output_finalize", "cleanup"]
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("step", choices=steps, metavar="STEP", help=f"Step to run: {', '.join(steps)}.")
    parser.add_argument("--dir", required=True, type=Path, metavar="DIR", help="The conversion directory.")
    parser.add_argument("--choice", metavar="FILE", help="JSON file with the choice for the step; '-' reads stdin.")
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
