# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns functions that take groups of options into typer commands, with the rules of ``getopt_long_only``."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from v2v_cli.exit import Session
from v2v_cli.getopt_long_only import Arity, OptionSpec, canonical_argv
from v2v_cli.modes import completion, sentence
from v2v_cli.options.declaration import Argument, Declared, Given, Group, Offer, Option, Use, declared, fill_in
from v2v_core.errors import UsageError
from v2v_core.near_names import nearest

_GIVEN = "v2v_cli.given"


class GetoptCommand(TyperCommand):
    """A command whose words are rewritten by ``getopt_long_only.py`` before typer reads them."""

    #: Options that are known and refused. They take part in the matching of abbreviations.
    refused: ClassVar[tuple[OptionSpec, ...]] = ()
    #: Options of older versions, without dashes, and what to write instead.
    removed: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite the words so that each has one meaning, and let typer read them.

        :raises UsageError: the words make no sense.
        """
        if ctx.resilient_parsing:
            # the shell asks for completion, and the words are unfinished
            return super().parse_args(ctx, args)
        table = (*option_table(self, ctx), *self.refused)
        words = canonical_argv(args, table, removed=self.removed)
        ctx.meta[_GIVEN] = tuple(_in_order(words, table))
        return super().parse_args(ctx, words)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, including the installed modes."""
        options = options_of(self)
        parameters: list[Any] = list(self.get_params(ctx))
        for parameter in parameters:
            role = options[parameter.name].modes if parameter.name in options else None
            if role is not None and (names := sentence(role)) not in parameter.help:
                parameter.help = f"{parameter.help} {names}"
        _hide_types(self, ctx)
        super().format_help(ctx, formatter)


class GetoptGroup(TyperGroup):
    """A command of subcommands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an unknown option, with the option or the subcommand that was probably meant.

        :raises UsageError: the first word is an option that the command does not have.
        """
        if not args and self.no_args_is_help:
            args = ["--help"]
        first = args[0].partition("=")[0] if args else ""
        known = {name for parameter in self.get_params(ctx) for name in parameter.opts if name.startswith("-")}
        if first.startswith("-") and first not in known and not ctx.resilient_parsing:
            word = first.lstrip("-")
            raise _unknown(
                f"unknown option {first}", self._meant(word, {name.lstrip("-"): name for name in known}), ctx
            )
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the subcommand.

        :raises UsageError: there is none of this name.
        """
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise _unknown(f"unknown command {args[0]!r}", self._meant(args[0], {}), ctx)
        return super().resolve_command(ctx, args)

    def _meant(self, word: str, options: Mapping[str, str]) -> str:
        # "v2v --doctor" is a command
        names = [*options, *self.commands]
        near = (word,) if word in names else nearest(word, names)
        return f"did you mean {options.get(near[0], near[0])}?" if near else ""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _hide_types(self, ctx)
        super().format_help(ctx, formatter)


def _unknown(message: str, question: str, ctx: Any) -> UsageError:
    return UsageError(message, hint=f"{question} '{ctx.command_path} --help' lists the commands".strip())


def _hide_types(command: Any, ctx: Any) -> None:
    # typer's help would show "<bool>" for a flag, and "<list[str]>" for arguments
    for parameter in command.get_params(ctx):
        if parameter.param_type_name == "argument" or parameter.is_flag:
            parameter.display_type_rich = lambda ctx: None


def option_table(command: TyperCommand, ctx: Any) -> tuple[OptionSpec, ...]:
    """Return the options of a typer command, for getopt: those of its groups, and ``--help``."""
    options = options_of(command)
    return tuple(
        OptionSpec(
            names=tuple(parameter.opts),
            arity=_ARITY[options[parameter.name].use] if parameter.name in options else Arity.NONE,
            once=parameter.name in options and options[parameter.name].use is Use.ONCE,
        )
        for parameter in command.get_params(ctx)
        if parameter.param_type_name == "option"
    )


_ARITY = {
    Use.FLAG: Arity.NONE,
    Use.ONCE: Arity.REQUIRED,
    Use.LAST: Arity.REQUIRED,
    Use.EACH: Arity.REQUIRED,
    Use.MAYBE: Arity.OPTIONAL,
}


def _in_order(words: Sequence[str], table: Sequence[OptionSpec]) -> Iterator[Given]:
    specs = {spec.canonical: spec for spec in table}
    rest = iter(words)
    for word in rest:
        if word == "--":
            return
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        spec = specs[name]
        if spec.arity is not Arity.NONE and not equals:
            value = next(rest)
        yield Given(spec.names[0], None if spec.arity is Arity.NONE else value)


def options_of(command: TyperCommand) -> Mapping[str, Option]:
    """Return the options that the groups of a command declare, by typer's name of the parameter."""
    if command.callback is None:
        return {}
    options: Mapping[str, Option] = getattr(inspect.unwrap(command.callback), "declared_options", {})
    return options


@dataclass(frozen=True)
class _Part:
    """A group as a command takes it; ``prefix`` makes the names of its typer parameters."""

    group: type[Group]
    offer: Offer
    prefix: str

    def declared(self) -> Iterator[tuple[str, Declared]]:
        for one in declared(self.group, self.offer):
            yield f"{self.prefix}__{one.name}", one

    def fill_in(self, values: Mapping[str, Any], given: tuple[Given, ...]) -> Group:
        words = {one.name: values[name] for name, one in self.declared()}
        return fill_in(self.group, words, given, self.offer)


def with_options(function: Callable[..., int]) -> Callable[..., int]:
    """Return a function from which typer can make a command.

    :param function: takes groups of options (annotated with ``Offer`` where it needs only part of one) and the session.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    names = list(inspect.signature(function).parameters)
    parts = {name: _part(name, hints[name]) for name in names if hints[name] is not Session}
    everything = [pair for part in parts.values() for pair in part.declared()]

    def run(context: typer.Context, **values: Any) -> int:
        given = context.meta.get(_GIVEN, ())
        filled = {name: parts[name].fill_in(values, given) if name in parts else context.obj for name in names}
        return function(**filled)

    parameters = [_typer_parameter(name, one, _panel(parts, name)) for name, one in everything]
    own = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = inspect.Signature([own, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (own, *parameters)}
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.declared_options = {  # type: ignore[attr-defined]
        name: one.declaration for name, one in everything if isinstance(one.declaration, Option)
    }
    return run


def _part(name: str, hint: Any) -> _Part:
    marks = getattr(hint, "__metadata__", ())
    offer = next((mark for mark in marks if isinstance(mark, Offer)), Offer())
    return _Part(typing.get_args(hint)[0] if marks else hint, offer, name)


def _panel(parts: Mapping[str, _Part], name: str) -> str | None:
    return parts[name.partition("__")[0]].group.panel


def _typer_parameter(name: str, one: Declared, panel: str | None) -> inspect.Parameter:
    kind, info = _typer_info(one, panel)
    empty = one.required or one.default in ((), None)
    default: Any = False if kind is bool else None if empty else str(one.default)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind, info],
        default=inspect.Parameter.empty if one.required else default,
    )


def _typer_info(one: Declared, panel: str | None) -> tuple[Any, Any]:
    it = one.declaration
    if isinstance(it, Argument):
        info = typer.Argument(metavar=it.metavar, help=_plain(it.help), show_default=False)
        return (str if one.required else list[str] | None), info
    kinds: dict[Use, Any] = {Use.FLAG: bool, Use.EACH: list[str] | None}
    kind = kinds.get(it.use, str | None)
    return kind, typer.Option(
        *it.names,
        metavar=it.metavar or None,
        help=_plain(it.help),
        hidden=it.hidden,
        autocompletion=None if it.modes is None else completion(it.modes),
        rich_help_panel=panel,
    )


def _plain(text: str) -> str:
    """Escape what rich would take for markup."""
    return re.sub(r"\[(?=[a-z#/@])", r"\\[", text)


def single_command(function: Callable[..., int], *, cls: type[GetoptCommand] = GetoptCommand) -> TyperCommand:
    """Make the command of a program from one function that takes groups of options."""
    app = application()
    app.command(cls=cls)(with_options(function))
    command = typer.main.get_command(app)
    if not isinstance(command, TyperCommand):
        raise TypeError("a typer application of one function is a command")
    return command


def application(
    *,
    help: str | None = None,  # noqa: A002 - typer's word for it
    help_names: Sequence[str] = ("--help",),
    completion_options: bool = False,
    **more: Any,
) -> typer.Typer:
    """Make a typer application, to which commands can be added."""
    return typer.Typer(
        cls=GetoptGroup,
        help=help,
        add_completion=completion_options,
        pretty_exceptions_enable=False,  # they would show local variables, and with them secrets
        context_settings={"help_option_names": list(help_names)},
        **more,
    )
