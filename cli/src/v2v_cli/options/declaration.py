# SPDX-License-Identifier: GPL-2.0-or-later
"""What the declaration of an option consists of. Declarations are annotations of the fields of a group."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar


class Use(Enum):
    """How often an option may be given, and whether it takes a value."""

    #: Takes no value; the field is True if it is given.
    FLAG = "flag"
    #: Takes a value; a second one is an error.
    ONCE = "once"
    #: Takes a value; the last one counts.
    LAST = "last"
    #: Takes a value; the field is the tuple of all of them.
    EACH = "each"
    #: Takes a value after an equals sign, or none: the field is then the empty string.
    MAYBE = "maybe"


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of the command line.

    :param names: with their dashes; ``-ic`` stands for ``--ic`` too.
    :param parse: called with the name of the option and the word (with ``Use.EACH``: a tuple of all words); returns the
        value of the field, or raises UsageError.
    :param modes: if the value is the name of a plugin, the role of the plugin; the help lists the installed ones.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    use: Use = Use.ONCE
    parse: Callable[[str, Any], Any] | None = None
    modes: str | None = None
    hidden: bool = False

    @property
    def shown(self) -> str:
        """The name for messages: virt-v2v's own."""
        return next((name for name in self.names if not name.startswith("--") and len(name) == 3), self.names[0])


@dataclass(frozen=True, kw_only=True)
class Argument:
    """A positional argument. If the field has a default, it is a tuple of any number of words; if not, one word."""

    metavar: str
    help: str
    parse: Callable[[str, Any], Any] | None = None

    @property
    def shown(self) -> str:
        """The name for messages."""
        return self.metavar


@dataclass(frozen=True)
class InOrder:
    """Marks the field that holds all options of its group as ``Given`` records, in the order of the command line."""


@dataclass(frozen=True)
class Given:
    """One option as it was given: the first of its names, and its value (None if it takes none)."""

    name: str
    value: str | None = field(repr=False)


def option(*names: str, help: str, **more: Any) -> Option:  # noqa: A002 - typer's word for it
    """Declare an option."""
    return Option(names=names, help=help, **more)


def flag(*names: str, help: str, hidden: bool = False) -> Option:  # noqa: A002 - typer's word for it
    """Declare an option without a value."""
    return Option(names=names, help=help, use=Use.FLAG, hidden=hidden)


class Group:
    """The base of all groups: frozen dataclasses whose fields are annotated with ``Option`` or ``Argument``."""

    #: The heading of the options in the help.
    panel: ClassVar[str | None] = None


@dataclass(frozen=True)
class Offer:
    """How a command offers a group, as an annotation of the command's parameter.

    :param without: fields that this command does not offer; they keep their defaults.
    :param defaults: defaults that differ in this command.
    """

    without: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """A field of a group: its declaration and its default (``dataclasses.MISSING`` if it must be given)."""

    name: str
    declaration: Option | Argument
    default: Any

    @property
    def required(self) -> bool:
        """Whether the field has no default."""
        return self.default is dataclasses.MISSING


def declared(group: type[Group], offer: Offer = Offer()) -> Iterator[Declared]:
    """Yield the declarations of a group, in its order, as a command offers them."""
    for name, default, marks in _fields(group):
        for mark in marks:
            if isinstance(mark, Option | Argument) and name not in offer.without:
                yield Declared(name, mark, offer.defaults.get(name, default))


def fill_in(group: type[Group], words: Mapping[str, Any], given: tuple[Given, ...], offer: Offer = Offer()) -> Group:
    """Make a group from the words of the command line.

    :param words: what the user wrote, by field: text, a list of texts, or whether a flag was given; None if nothing.
    :param given: all options of the command line, in its order.
    :raises UsageError: a value cannot be used.
    """
    values: dict[str, Any] = dict(offer.defaults)
    for one in declared(group, offer):
        word = words.get(one.name)
        if word is None or word == []:
            continue
        word = tuple(word) if isinstance(word, list) else word
        parse = one.declaration.parse
        values[one.name] = word if parse is None or word is one.default else parse(one.declaration.shown, word)
    for name, _default, marks in _fields(group):
        if any(isinstance(mark, InOrder) for mark in marks):
            own = {one.declaration.names[0] for one in declared(group, offer) if isinstance(one.declaration, Option)}
            values[name] = tuple(one for one in given if one.name in own)
    return group(**values)


def _fields(group: type[Group]) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    if not dataclasses.is_dataclass(group):
        raise TypeError(f"{group.__name__} is not a dataclass")
    hints = typing.get_type_hints(group, include_extras=True)
    for one in dataclasses.fields(group):
        yield one.name, one.default, getattr(hints[one.name], "__metadata__", ())
