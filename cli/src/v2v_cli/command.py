# SPDX-License-Identifier: GPL-2.0-or-later
"""A typer command whose words are read as ``getopt_long_only`` would read them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand

from v2v_cli.getopt_long_only import Arity, Habit, OptionSpec, canonical_argv
from v2v_cli.modes import Modes


class GetoptCommand(TyperCommand):
    """Rewrites its words with the table of its own options, before typer reads them."""

    #: Options that are known, and refused: they take part in the matching of abbreviations.
    refused: ClassVar[tuple[OptionSpec, ...]] = ()
    #: Options of older versions, without dashes, and what to write instead.
    removed: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give typer words that have one meaning only.

        :raises UsageError: the words make no sense.
        """
        if ctx.resilient_parsing:
            # the shell asks for completion: the words are not finished
            return super().parse_args(ctx, args)
        words = canonical_argv(args, (*option_table(self, ctx), *self.refused), removed=self.removed)
        return super().parse_args(ctx, words)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the installed modes in it."""
        self._name_modes(ctx)
        super().format_help(ctx, formatter)

    def _name_modes(self, ctx: Any) -> None:
        habits = _habits(self)
        parameters: list[Any] = list(self.get_params(ctx))
        for parameter in parameters:
            for modes in habits.get(parameter.name or "", ()):
                if isinstance(modes, Modes) and modes.sentence() not in parameter.help:
                    parameter.help = f"{parameter.help} {modes.sentence()}"


def option_table(command: TyperCommand, ctx: Any) -> tuple[OptionSpec, ...]:
    """Derive the options from the parameters of a typer command, so that there is no second list of them."""
    habits = _habits(command)
    return tuple(
        OptionSpec(
            names=tuple(parameter.opts),
            arity=_arity(parameter, habits.get(parameter.name or "", ())),
            once=_once(parameter, habits.get(parameter.name or "", ())),
        )
        for parameter in command.get_params(ctx)
        if parameter.param_type_name == "option"
    )


def _habits(command: TyperCommand) -> dict[str, Sequence[object]]:
    if command.callback is None:
        return {}
    function = inspect.unwrap(command.callback)
    hints = typing.get_type_hints(function, include_extras=True)
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}


def _arity(parameter: Any, habits: Sequence[object]) -> Arity:
    if Habit.VALUE_OPTIONAL in habits:
        return Arity.OPTIONAL
    return Arity.NONE if parameter.is_flag or parameter.count else Arity.REQUIRED


def _once(parameter: Any, habits: Sequence[object]) -> bool:
    repeatable = parameter.multiple or Habit.LAST_COUNTS in habits or Habit.VALUE_OPTIONAL in habits
    return _arity(parameter, habits) is Arity.REQUIRED and not repeatable


def single_command(
    function: Any, *, cls: type[GetoptCommand] = GetoptCommand, epilog: str | None = None
) -> TyperCommand:
    """Make a program of one function."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,  # they would show local variables, and with them secrets
        context_settings={"help_option_names": ["--help"]},
    )
    app.command(cls=cls, epilog=epilog)(function)
    command = typer.main.get_command(app)
    if not isinstance(command, TyperCommand):
        raise TypeError("a typer application of one function is a command")
    return command
