# SPDX-License-Identifier: GPL-2.0-or-later
"""The groups that a command is called with: values, defaults, and the order of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from v2v_cli.command import single_command
from v2v_cli.exit import Session
from v2v_cli.options.declaration import Argument, Given, Group, InOrder, Offer, Use, flag, option
from v2v_cli.options.values import at_least
from v2v_core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Customisation(Group):
    """Options whose order matters, because each changes the guest that the one before left."""

    install: Annotated[
        tuple[str, ...], option("--install", metavar="NAME", use=Use.EACH, help="Install a package.")
    ] = ()
    run: Annotated[tuple[str, ...], option("--run", "-r", metavar="FILE", use=Use.EACH, help="Run a program.")] = ()
    update: Annotated[bool, flag("--update", help="Update all packages.")] = False
    steps: Annotated[tuple[Given, ...], InOrder()] = ()


@dataclass(frozen=True, kw_only=True)
class Numbers(Group):
    """Values that are read."""

    words: Annotated[tuple[str, ...], Argument(metavar="WORD", help="Any word.")] = ()
    size: Annotated[int, option("--size", metavar="N", parse=at_least(2), help="Size of a thing.")] = 3
    last: Annotated[str | None, option("--last", metavar="X", use=Use.LAST, help="A word that counts.")] = None
    maybe: Annotated[str | None, option("--maybe", metavar="[=X]", use=Use.MAYBE, help="A word or none.")] = None


def filled(*words: str, offer: Offer | None = None) -> dict[str, Any]:
    """Return the groups that a command is called with."""
    seen: dict[str, Any] = {}

    def command(session: Session, customisation: Customisation, numbers: Numbers) -> int:
        seen.update(session=session, customisation=customisation, numbers=numbers)
        return 7

    if offer is not None:
        command.__annotations__["numbers"] = Annotated[Numbers, offer]
    session = Session("p")
    made = single_command(command)
    assert made.main(args=list(words), prog_name="p", standalone_mode=False, obj=session) == 7
    assert seen["session"] is session
    return seen


def test_defaults() -> None:
    seen = filled()
    assert seen["customisation"] == Customisation()
    assert seen["numbers"] == Numbers()


def test_values_are_read() -> None:
    seen = filled("a", "--size=0x10", "b", "--last", "1", "--last", "2", "--maybe")
    assert seen["numbers"] == Numbers(words=("a", "b"), size=16, last="2", maybe="")
    assert filled("--maybe=x")["numbers"].maybe == "x"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--size", "1"], "--size must be at least 2, and not 1"),
        (["--size", "many"], "--size: 'many' is not an integer"),
        (["--size", "2", "--size", "3"], "--size was given more than once"),
        (["--maybe", "--update=x"], "--update takes no value"),
    ],
)
def test_wrong_values(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        filled(*words)


def test_options_of_a_group_are_known_in_the_order_of_the_command_line() -> None:
    seen = filled("--run", "a", "--size=5", "--update", "word", "-inst", "p", "-rb", "--run=", "--", "--update")
    assert seen["customisation"].steps == (
        Given("--run", "a"),
        Given("--update", None),
        Given("--install", "p"),
        Given("--run", "b"),
        Given("--run", ""),
    )
    assert seen["customisation"].run == ("a", "b", "")


def test_command_offers_a_group_with_other_defaults_and_without_some_fields() -> None:
    offer = Offer(without=("last",), defaults={"size": 9, "last": "fixed"})
    assert filled(offer=offer)["numbers"] == Numbers(size=9, last="fixed")
    with pytest.raises(UsageError, match="unknown option --last"):
        filled("--last", "x", offer=offer)
