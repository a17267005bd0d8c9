# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps as separate commands, for supervisors. Each gets the conversion directory, and finds the rest in it.

::

    helper-v2v-input-disk --dir DIR IMAGE…          input_helper("disk")
    helper-v2v-convert --dir DIR                    convert()
    helper-v2v-output-local check -os D             output_helper("local")
    helper-v2v-output-local setup --dir DIR -os D   output_helper("local")
    helper-v2v-copy --dir DIR                       copy()
    helper-v2v-output-local final --dir DIR         output_helper("local")
    helper-v2v-cleanup --dir DIR                    cleanup()

A plugin's script starts in ``v2v_core.helper``, which reads the role and the mode from the name of the script.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from v2v_cli.exit import Session, guard
from v2v_core import __version__
from v2v_core.errors import UsageError
from v2v_core.file_names import read_names_as_utf8
from v2v_core.signals import signals_interrupt
from v2v_core.standard_streams import print_alone

if TYPE_CHECKING:
    from typer.core import TyperCommand


def input_helper(mode: str, argv: list[str] | None = None) -> int:
    """Run the step input_setup with the input plugin ``mode``, and return the exit code."""
    from v2v_cli.step_commands import input_setup_command

    return _run(f"helper-v2v-input-{mode}", lambda: input_setup_command(mode), argv)


def output_helper(mode: str, argv: list[str] | None = None) -> int:
    """Run the output plugin ``mode``.

    ``check`` is the step output_check, ``setup`` both this and output_setup, ``final`` is output_finalize.
    """
    if argv is None:
        read_names_as_utf8()
    words = sys.argv[1:] if argv is None else argv
    program = f"helper-v2v-output-{mode}"

    def make() -> TyperCommand:
        from v2v_cli import step_commands

        makers = {
            "check": step_commands.output_check_command,
            "setup": step_commands.output_setup_command,
            "final": step_commands.output_finalize_command,
        }
        return makers[words[0]](mode)

    if words[:1] in (["check"], ["setup"], ["final"]):
        return _run(f"{program} {words[0]}", make, words[1:])
    if words in (["--version"], ["-V"]):
        return _print_version(program)
    if words == ["--help"]:
        usage = f"Usage: {program} check|setup|final --dir DIR [OPTIONS]\n\n'{program} setup --help' lists them.\n"
        return print_alone(program, usage)
    return guard(Session(program), lambda: _refuse(f"{program} needs one of the words check, setup and final first"))


def convert(argv: list[str] | None = None) -> int:
    """Run the step convert: ``helper-v2v-convert``."""
    from v2v_cli.step_commands import convert_command

    return _run("helper-v2v-convert", convert_command, argv)


def copy(argv: list[str] | None = None) -> int:
    """Run the step copy: ``helper-v2v-copy``."""
    from v2v_cli.step_commands import copy_command

    return _run("helper-v2v-copy", copy_command, argv)


def cleanup(argv: list[str] | None = None) -> int:
    """Run the step cleanup: ``helper-v2v-cleanup``."""
    from v2v_cli.step_commands import cleanup_command

    return _run("helper-v2v-cleanup", cleanup_command, argv)


def _run(program: str, make: Callable[[], TyperCommand], argv: list[str] | None) -> int:
    if argv is None:
        read_names_as_utf8()
    words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-V"]):
        return _print_version(program)
    session = Session(program)

    def body() -> Any:
        with signals_interrupt():
            return make().main(args=words, prog_name=program, standalone_mode=False, obj=session)

    return guard(session, body)


def _print_version(program: str) -> int:
    return print_alone(program, f"{program} {__version__}\n")


def _refuse(reason: str) -> int:
    raise UsageError(reason)


def main() -> int:
    """Run ``python -m v2v_cli.helpers convert|copy|cleanup …``, for places where no scripts are installed."""
    programs = {"convert": convert, "copy": copy, "cleanup": cleanup}
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in programs:
        return programs[word](sys.argv[2:])
    return guard(Session("v2v_cli.helpers"), lambda: _refuse(f"the first word must be one of {', '.join(programs)}"))


if __name__ == "__main__":
    sys.exit(main())
