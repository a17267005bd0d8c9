# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapter between the rules of GNU ``getopt_long_only`` and typer.

virt-v2v's users write ``-ic URI``, ``--oo k=v``, ``-vx``, ``-olocal``, ``-collect``, ``--quie``. typer understands some
of these words and silently misreads others. So the words are first rewritten, by the rules of getopt_long_only, into a
form that has only one meaning (``--input-connection=URI``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from v2v_core.errors import UsageError
from v2v_core.near_names import nearest


class Arity(Enum):
    """Whether an option takes a value; an optional one is given with ``=`` only."""

    NONE = "none"
    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class OptionSpec:
    """An option, as far as reading the command line depends on it.

    :param names: with their dashes; ``-ic`` stands for ``--ic`` too, as any long name may be written with one dash.
    :param once: whether a second use is an error.
    :param refusal: why the option, though known, cannot be used.
    """

    names: tuple[str, ...]
    arity: Arity = Arity.NONE
    once: bool = False
    refusal: str | None = None

    @property
    def canonical(self) -> str:
        """The name that is passed on to typer: the first with two dashes, or else the first."""
        return next((name for name in self.names if name.startswith("--")), self.names[0])


@dataclass
class _Reading:
    """One pass over the words."""

    words: Sequence[str]
    long: dict[str, OptionSpec]
    short: dict[str, OptionSpec]
    removed: Mapping[str, str]
    catch_typos: bool
    position: int = 0
    options: list[str] = field(default_factory=list)
    positionals: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def run(self) -> list[str]:
        while self.position < len(self.words):
            word = self.words[self.position]
            self.position += 1
            if word == "--":
                self.positionals.extend(self.words[self.position :])
                break
            if word.startswith("--"):
                self._read_long(word, word[2:])
            elif word.startswith("-") and word != "-":
                self._read_one_dash(word)
            else:
                self.positionals.append(word)
        return [*self.options, "--", *self.positionals]

    def _read_one_dash(self, word: str) -> None:
        # if there is a short option f, the word -f is never an abbreviation of a long option
        if (len(word) > 2 or word[1] not in self.short) and self._is_long(word[1:]):
            self._read_long(word, word[1:])
        elif word[1] in self.short:
            self._read_cluster(word)
        else:
            raise self._unknown(word)

    def _is_long(self, body: str) -> bool:
        name = body.partition("=")[0]
        return bool(self._candidates(name)) or name in self.removed

    def _candidates(self, name: str) -> list[str]:
        return [name] if name in self.long else [known for known in self.long if known.startswith(name)]

    def _read_long(self, word: str, body: str) -> None:
        name, equals, value = body.partition("=")
        candidates = self._candidates(name)
        if not candidates:
            if name in self.removed:
                raise UsageError(f"the option {_visible(word)} no longer exists", hint=self.removed[name])
            raise self._unknown(word)
        if len(candidates) > 1:
            listed = ", ".join(f"--{candidate}" for candidate in candidates)
            raise UsageError(f"the option {_visible(word)} is ambiguous: it could be {listed}", hint="write it out")
        spec = self.long[candidates[0]]
        shown = ("--" if word.startswith("--") else "-") + candidates[0]
        if spec.arity is Arity.NONE and equals:
            raise UsageError(f"the option {shown} takes no value")
        if spec.arity is Arity.REQUIRED and not equals:
            value = self._next_word(shown)
        self._found(spec, shown, value)

    def _read_cluster(self, word: str) -> None:
        for at, letter in enumerate(word[1:], start=1):
            spec = self.short.get(letter)
            if spec is None:
                raise self._unknown(word)
            if spec.arity is Arity.NONE:
                self._found(spec, f"-{letter}", "")
                continue
            attached = word[at + 1 :]
            if attached and spec.arity is Arity.REQUIRED and at == 1 and self.catch_typos:
                self._refuse_typo(word, letter)
            value = attached if attached or spec.arity is Arity.OPTIONAL else self._next_word(f"-{letter}")
            self._found(spec, f"-{letter}", value)
            return

    def _refuse_typo(self, word: str, letter: str) -> None:
        """Refuse what getopt would take for a value but is more likely misspelt: ``-oz D``, ``-netwrok N``."""
        siblings = [name for name in self.long if len(name) == 2 and name[0] == letter]
        body = word[1:].partition("=")[0]
        close = nearest(body, [name for name in self.long if name[:2] == body[:2]])
        if siblings and len(body) == 2:
            raise UsageError(
                f"unknown option {_visible(word)}",
                hint=f"did you mean {' or '.join('-' + name for name in siblings)}? "
                f"for the value {body[1]!r} write -{letter} {body[1]}",
            )
        if close and len(body) > 3:
            raise UsageError(
                f"unknown option {_visible(word)}",
                hint=f"did you mean --{close[0]}? for the value {_visible(body[1:])!r} write -{letter} and a space",
            )

    def _next_word(self, shown: str) -> str:
        if self.position >= len(self.words):
            raise UsageError(f"the option {shown} needs a value")
        value = self.words[self.position]
        self.position += 1
        return value

    def _found(self, spec: OptionSpec, shown: str, value: str) -> None:
        if spec.refusal is not None:
            raise UsageError(f"{spec.refusal}: {shown}")
        if spec.once and spec.canonical in self.seen:
            raise UsageError(f"the option {shown} was given more than once", hint="it can be given once only")
        self.seen.add(spec.canonical)
        name = spec.canonical
        if spec.arity is Arity.NONE:
            self.options.append(name)
        elif name.startswith("--"):
            self.options.append(f"{name}={value}")
        else:
            self.options += [name, value]

    def _unknown(self, word: str) -> UsageError:
        name = _visible(word)
        every = {*self.long, *(name for name in self.removed if len(name) > 3)}
        meant = next(iter(nearest(name.lstrip("-"), sorted(every))), None)
        if meant is None:
            return UsageError(f"unknown option {name}", hint="--help lists the options")
        # to follow the hint must help, even if the option that was meant cannot be used
        spec = self.long.get(meant)
        more = self.removed[meant] if spec is None else spec.refusal or "--help lists the options"
        return UsageError(f"unknown option {name}", hint=f"did you mean --{meant}? {more}")


def canonical_argv(
    words: Sequence[str],
    options: Iterable[OptionSpec],
    *,
    removed: Mapping[str, str] | None = None,
    catch_typos: bool = True,
) -> list[str]:
    """Return the words of a command line rewritten so that each has one meaning: options, ``--``, arguments.

    :param removed: options of older versions, without dashes, and what to write instead.
    :param catch_typos: refuse a value attached to a short option if the word looks like a misspelt long option.
    :raises UsageError: an option is unknown, ambiguous or repeated, or has a value too few or too many.
    """
    table = tuple(options)
    long = {name.lstrip("-"): spec for spec in table for name in spec.names if len(name.lstrip("-")) > 1}
    short = {name[1]: spec for spec in table for name in spec.names if len(name) == 2}
    return _Reading(words, long, short, removed or {}, catch_typos).run()


def base0_integer(text: str) -> int:
    """Read an integer as getopt programs do: decimal, ``0x…``, or octal with a leading 0; -2**30 to 2**30 - 1.

    :raises ValueError: the text is not such an integer.
    """
    match = re.fullmatch(r"([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)", text)
    if match is None:
        raise ValueError(f"{text!r} is not an integer")
    sign, digits = match.groups()
    base = 16 if digits[:2] in {"0x", "0X"} else 8 if digits.startswith("0") else 10
    try:
        value = int(digits, base) * (-1 if sign == "-" else 1)
    except ValueError:
        raise ValueError(f"{text!r} is not an octal integer") from None
    if not -(2**30) <= value < 2**30:
        raise ValueError(f"{text!r} is out of range")
    return value


def _visible(word: str) -> str:
    # the text after the name may be a secret (--kye=ID:key:SECRET), so only the name is shown
    match = re.match(r"-{0,2}[A-Za-z0-9_-]*", word)
    return match.group() if match else ""
