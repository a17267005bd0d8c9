# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB's environment block: variables in a file of a fixed size, which GRUB itself overwrites in place."""

from __future__ import annotations

import re
from collections.abc import Callable

_SIGNATURE = "# GRUB Environment Block\n"
_SIZE = 1024
#: A backslash quotes the next character, even a newline.
_LINE = re.compile(r"^(?P<name>[A-Za-z_]\w*)=(?P<value>(?:[^\\\n]|\\.)*)$", re.ASCII | re.MULTILINE | re.DOTALL)


def parse(data: bytes) -> dict[str, str]:
    """Return the variables by name; none if the data is not an environment block."""
    return {match["name"]: _plain(match["value"]) for match in _LINE.finditer(_content(data))}


def empty() -> bytes:
    """Return a block without variables."""
    return _SIGNATURE.ljust(_SIZE, "#").encode()


def set_value(data: bytes, name: str, value: str) -> bytes:
    """Set a variable. The block keeps its size; data that GRUB would not read is replaced by a new block.

    :raises ValueError: it does not fit into the block.
    """
    if not data.startswith(_SIGNATURE.encode()):
        data = empty()
    line, content = f"{name}={_escaped(value)}", _content(data)
    new, count = re.subn(_LINE, lambda match: line if match["name"] == name else match[0], content)
    if not count or all(match["name"] != name for match in _LINE.finditer(content)):
        new = content + ("" if content.endswith("\n") else "\n") + line + "\n"
    return _block(new, len(data))


def edit_values(data: bytes, names: re.Pattern[str], edit: Callable[[str], str]) -> bytes:
    """Edit the values of the variables whose whole name matches; data that is not an environment block is unchanged.

    :raises ValueError: the result does not fit into the block.
    """

    def edited(match: re.Match[str]) -> str:
        old = _plain(match["value"])
        new = edit(old)
        return match[0] if new == old else f"{match['name']}={_escaped(new)}"

    content = _content(data)
    new = _LINE.sub(lambda match: edited(match) if names.fullmatch(match["name"]) else match[0], content)
    return data if new == content else _block(new, len(data))


def _content(data: bytes) -> str:
    """Return the content before the padding; nothing if the data is not an environment block."""
    text = data.decode("latin-1")
    return text.rstrip("#") if text.startswith(_SIGNATURE) else ""


def _block(content: str, size: int) -> bytes:
    if len(content) > size:
        raise ValueError(f"{len(content)} bytes do not fit into GRUB's environment block of {size}")
    return content.ljust(size, "#").encode("latin-1")


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)


def _escaped(value: str) -> str:
    return re.sub(r"[\\\n]", lambda match: "\\" + match[0], value)
