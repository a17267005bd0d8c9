# SPDX-License-Identifier: GPL-2.0-or-later
"""The letters in the names of drives, as Linux counts them: ``a`` in ``sda``, ``aa`` in ``sdaa``."""

from __future__ import annotations

import re

_LETTERS = 26
#: Linux makes no longer names than this, so a longer word is not the name of a drive.
_VALID = re.compile("[a-z]{1,6}")


def drive_letters(number: int) -> str:
    """Return the letters of a drive: 0 is ``a``, 25 ``z``, 26 ``aa``.

    :param number: from 0.
    :raises ValueError: the number is negative.
    """
    if number < 0:
        raise ValueError(f"drives are numbered from 0, not {number}")
    letters = ""
    left = number + 1
    while left:
        left, letter = divmod(left - 1, _LETTERS)
        letters = chr(ord("a") + letter) + letters
    return letters


def drive_number(letters: str) -> int:
    """Return the number of a drive, from 0: ``a`` is 0, ``z`` 25, ``aa`` 26.

    :raises ValueError: these are not one to six small ASCII letters.
    """
    if not _VALID.fullmatch(letters):
        raise ValueError(f"not the letters of a drive: {letters!r}")
    number = 0
    for letter in letters:
        number = number * _LETTERS + ord(letter) - ord("a") + 1
    return number - 1
