# SPDX-License-Identifier: GPL-2.0-or-later
"""Append lines to files in which a backslash at the end of a line continues it on the next one."""

from __future__ import annotations


def ended(text: str) -> str:
    """Return the text such that a line can be appended: its last line ends with a newline, and is not continued.

    After a backslash, an empty line ends the continued one: a line appended at once would become a part of it.
    """
    if text.endswith("\\"):
        return text + "\n\n"
    if text.endswith(("\\\n", "\\\r\n")) or (text and not text.endswith("\n")):
        return text + "\n"
    return text
