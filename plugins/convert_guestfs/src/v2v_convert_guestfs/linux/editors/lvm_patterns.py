# SPDX-License-Identifier: GPL-2.0-or-later
"""The regular expressions in LVM's filters, in the syntax of libdevmapper, described in lvm.conf(5).

Python's own would be a risk: a pattern of the guest can make them run forever. Here the time is bounded, since a
pattern is matched against all positions of the name at once.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass

#: Limits on a pattern. Real ones have a few dozen characters.
_LONGEST, _DEEPEST = 500, 10
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}

#: Return the positions at which a match can end, of those at which it may start.
_Matcher = Callable[[str, Set[int]], Set[int]]


class PatternError(ValueError):
    """The text is not a pattern that LVM understands."""


@dataclass(frozen=True)
class Pattern:
    """One pattern of a filter, such as ``a|^/dev/sda|``.

    :param accepts: whether devices that match are accepted; else they are rejected.
    :param opening: the delimiter before the expression. :param closing: the one after it.
    """

    accepts: bool
    opening: str
    expression: str
    closing: str

    def __str__(self) -> str:
        return ("a" if self.accepts else "r") + self.opening + self.expression + self.closing


def parse(text: str) -> Pattern:
    """Parse a pattern.

    :raises PatternError: it is damaged.
    """
    if len(text) < 3 or text[0] not in "ar":
        raise PatternError(f"not a pattern of a filter: {text}")
    closing = _CLOSING.get(text[1], text[1])
    if text[-1] != closing:
        raise PatternError(f"{text} does not end with {closing}")
    return Pattern(text[0] == "a", text[1], text[2:-1], closing)


def matcher(expression: str) -> Callable[[str], bool]:
    """Return a function that looks for the expression anywhere in a name.

    :raises PatternError: the expression is damaged, or too long or deep.
    """
    if len(expression) > _LONGEST:
        raise PatternError(f"an expression of {len(expression)} characters")
    reader = _Reader(expression)
    matches = reader.alternatives(0)
    if reader.position < len(expression):
        raise PatternError(f"unbalanced parentheses: {expression}")
    return lambda name: bool(matches(name, frozenset(range(len(name) + 1))))


class _Reader:
    """A recursive descent through an expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    def _next(self) -> str:
        return self._text[self.position : self.position + 1]

    def _take(self) -> str:
        char = self._next()
        if not char:
            raise PatternError(f"an unfinished expression: {self._text}")
        self.position += 1
        return char

    def alternatives(self, depth: int) -> _Matcher:
        if depth > _DEEPEST:
            raise PatternError(f"too many parentheses: {self._text}")
        several = [self._sequence(depth)]
        while self._next() == "|":
            self.position += 1
            several.append(self._sequence(depth))
        return lambda name, starts: frozenset[int]().union(*(one(name, starts) for one in several))

    def _sequence(self, depth: int) -> _Matcher:
        parts: list[_Matcher] = []
        while self._next() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom(depth)))

        def match(name: str, starts: Set[int]) -> Set[int]:
            for part in parts:
                starts = part(name, starts)
            return starts

        return match

    def _repeated(self, one: _Matcher) -> _Matcher:
        sign = self._next()
        if sign not in {"*", "+", "?"} or not sign:
            return one
        while self._next() in {"*", "+", "?"} and self._next():
            # Repeated repetitions, such as ``.**``, match what the star does.
            sign = "*" if self._take() != sign else sign
        if sign == "?":
            return lambda name, starts: starts | one(name, starts)

        def many(name: str, starts: Set[int]) -> Set[int]:
            done = new = one(name, starts) if sign == "+" else starts
            while new := one(name, new) - done:
                done = done | new
            return done

        return many

    def _atom(self, depth: int) -> _Matcher:
        char = self._take()
        if char == "(":
            inner = self.alternatives(depth + 1)
            if self._take() != ")":
                raise PatternError(f"unbalanced parentheses: {self._text}")
            return inner
        if char == "^":
            return lambda name, starts: starts & {0}
        if char == "$":
            return lambda name, starts: starts & {len(name)}
        if char == ".":
            return lambda name, starts: {start + 1 for start in starts if start < len(name)}
        if char in {"*", "+", "?"}:
            raise PatternError(f"nothing to repeat: {self._text}")
        negated, accepted = self._set() if char == "[" else (False, frozenset(self._literal(char)))
        return lambda name, starts: {
            start + 1 for start in starts if start < len(name) and (name[start] in accepted) is not negated
        }

    def _literal(self, char: str) -> str:
        if char != "\\":
            return char
        char = self._take()
        return _CONTROL.get(char, char)

    def _set(self) -> tuple[bool, frozenset[str]]:
        negated = self._next() == "^"
        if negated:
            self.position += 1
        chars: list[str] = []
        first = True
        while (char := self._take()) != "]" or first:
            first = False
            if char == "-" and chars and self._next() != "]":
                end = self._literal(self._take())
                chars += map(chr, range(ord(chars[-1]), min(ord(end), 0x7F) + 1))
            else:
                chars.append(self._literal(char))
        return negated, frozenset(chars)
