# SPDX-License-Identifier: GPL-2.0-or-later
"""What a misspelt name was probably meant to be: "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

#: Longer words are not compared: the user did not misspell them.
_LONGEST = 100


def nearest(word: str, known: Iterable[str], *, most: int = 1) -> tuple[str, ...]:
    """Return the known names that the word is a misspelling of, the nearest first; none if none is near.

    A misspelling has one character too many, too few, wrong or swapped with its neighbour, and one more for each six
    characters of the name; the case of letters does not matter, nor whether words are joined by ``-`` or ``_``. A name
    with another number is another name: VLAN 10 is not VLAN 11.
    """
    plain = _plain(word)
    if not 0 < len(plain) <= _LONGEST:
        return ()
    found = []
    for name in dict.fromkeys(known):
        other = _plain(name)
        if _digits(plain) != _digits(other):
            continue
        allowed = _allowed(min(len(plain), len(other)))
        if abs(len(plain) - len(other)) <= allowed and (errors := _errors(plain, other)) <= allowed:
            found.append((errors, name))
    return tuple(name for _, name in sorted(found, key=lambda pair: pair[0])[:most])


def did_you_mean(word: str, known: Iterable[str], *, form: str = "{}", most: int = 1) -> str:
    """Return the question for a hint, or nothing if no known name is near.

    :param form: how a name is written: ``--{}`` for options.
    """
    near = [form.format(name) for name in nearest(word, known, most=most)]
    return f"did you mean {' or '.join(near)}?" if near else ""


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-")


def _digits(word: str) -> str:
    return "".join(filter(str.isdigit, word))


def _allowed(length: int) -> int:
    # of words of two letters, each is near to each other
    return 0 if length < 3 else 1 + min(length // 6, 2)


def _errors(left: str, right: str) -> int:
    """Return how many characters must be added, removed, changed or swapped to get one word from the other.

    This is the distance of Damerau and Levenshtein in which no place is edited twice.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        older, before, row = before, row, [i, *[0] * len(right)]
        for j, b in enumerate(right, start=1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                row[j] = min(row[j], older[j - 2] + 1)
    return row[-1]
