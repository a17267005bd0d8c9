# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of what a hook has returned, down to the values in its records.

A record is a frozen dataclass, and Python does not look at the types of its fields. A path where a text belongs would
fail much later, in core, and look like a fault of core.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Union


def problem_of(value: object, kind: Any, place: str = "") -> str | None:
    """Return what is wrong with a value, or None. The text begins with the place of the value.

    :param kind: the type that it must have, as an annotation: a record, ``tuple[X, ...]``, a union …
    :param place: where the value is in the result; empty for the result itself, whose type is right.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    problem: str | None = None
    if origin in {Union, types.UnionType}:
        problem = _of_union(value, arguments, place)
    elif origin is tuple:
        problem = _of_tuple(value, arguments, place)
    elif origin is not None:
        problem = _of_mapping(value, arguments, place)
    elif kind is not Any and not _is_of(value, kind):
        problem = _wrong(value, _name(kind), place)
    elif dataclasses.is_dataclass(value):
        problem = _of_record(value, place)
    return problem


def problem_of_json(value: object, place: str) -> str | None:
    """Return why a value cannot be stored as JSON and come back as it was, or None."""
    if isinstance(value, Mapping):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            return f"{place} has the key {wrong!r}, which is {_a(type(wrong).__name__)} and not a str"
        members = [(f"{place}[{key!r}]", member) for key, member in value.items()]
    elif isinstance(value, list | tuple):
        members = [(f"{place}[{number}]", member) for number, member in enumerate(value)]
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}, which JSON does not have"
    elif value is None or isinstance(value, bool | int | float | str):
        return None
    else:
        return f"{place} is {_a(type(value).__name__)}, which cannot be stored as JSON"
    problems = (problem_of_json(member, name) for name, member in members)
    return next((problem for problem in problems if problem), None)


def _is_of(value: object, kind: type[Any]) -> bool:
    """Return whether a value is of a type; a whole number is a ``float``, and a truth value is not an ``int``."""
    if isinstance(value, bool):
        return kind is bool or kind is object
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


def _of_union(value: object, kinds: Sequence[Any], place: str) -> str | None:
    problems = [problem_of(value, kind, place) for kind in kinds]
    if None in problems:
        return None
    # a record of the right type with a wrong field says more than "is none of …"
    for kind, problem in zip(kinds, problems, strict=True):
        if isinstance(kind, type) and isinstance(value, kind):
            return problem
    return _wrong(value, " or ".join(_name(kind) for kind in kinds if kind is not type(None)), place)


def _of_tuple(value: object, kinds: Sequence[Any], place: str) -> str | None:
    # a list does no harm: records pass through JSON, which has no tuples
    if not isinstance(value, list | tuple):
        return _wrong(value, "tuple", place)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = [kinds[0]] * len(value)
    elif len(kinds) != len(value):
        return f"{place or 'it'} has {len(value)} members and not {len(kinds)}"
    each = zip(value, kinds, strict=True)
    problems = (problem_of(member, kind, f"{place}[{number}]") for number, (member, kind) in enumerate(each))
    return next((problem for problem in problems if problem), None)


def _of_mapping(value: object, kinds: Sequence[Any], place: str) -> str | None:
    if not isinstance(value, Mapping):
        return _wrong(value, "dict", place)
    for key, member in value.items():
        problem = problem_of(key, kinds[0], f"a key of {place}") or problem_of(member, kinds[1], f"{place}[{key!r}]")
        if problem:
            return problem
    return None


def _of_record(record: Any, place: str) -> str | None:
    own: Any = type(record)
    for name, kind in _fields(own):
        problem = problem_of(getattr(record, name), kind, f"{place}.{name}" if place else name)
        if problem:
            return problem
    return None


@functools.cache
def _fields(record: Hashable) -> tuple[tuple[str, Any], ...]:
    kind: Any = record
    hints = typing.get_type_hints(kind)
    return tuple((one.name, hints[one.name]) for one in dataclasses.fields(kind))


def _wrong(value: object, wanted: str, place: str) -> str:
    found = "nothing" if value is None else _a(type(value).__name__)
    return f"{place} is {found} and not {wanted if wanted == 'nothing' else _a(wanted)}"


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _a(word: str) -> str:
    return f"an {word}" if word[:1] in "AEIOUaeiou" else f"a {word}"
