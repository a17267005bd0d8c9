# SPDX-License-Identifier: GPL-2.0-or-later
"""Read grub.cfg: which entries there are, which kernel each boots, which is the default; and change the default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ENTRY = re.compile(r"[ \t]*(?P<kind>menuentry|submenu)[ \t]+(?P<rest>.*)\{[ \t]*$", re.ASCII)
_LINUX = re.compile(r"[ \t]*(?:linux|linux16|linuxefi)[ \t]+(?P<path>\S+)(?P<arguments>.*)$", re.ASCII)
_WORD = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|(\S+)", re.ASCII)
_DEFAULT = re.compile(
    r"(?P<before>^[ \t]*set[ \t]+default=)(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"']+)", re.ASCII | re.MULTILINE
)
_SAVED = "${saved_entry}"
_NEXT = "${next_entry}"


@dataclass(frozen=True)
class MenuEntry:
    """An entry of the menu that boots a kernel.

    :param path: how GRUB names it: the ids (or titles) of the submenus around it, then its own.
    :param indexes: its place in the menu and in the submenus around it, each from 0.
    :param names: the title and the id at each depth.
    :param kernel: as GRUB sees it, from the root of the file system that /boot is on.
    """

    path: tuple[str, ...]
    indexes: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    kernel: str
    arguments: str


@dataclass
class _Open:
    """A block that has not ended: an entry or submenu, or, without names, something else in braces."""

    index: int = 0
    names: tuple[str, ...] = ()
    children: int = 0
    kernel: bool = False


def menu(data: bytes) -> list[MenuEntry]:
    """List the entries that boot Linux, in the order of the menu."""
    return list(_menu(data.decode("latin-1")))


def _menu(text: str) -> Iterator[MenuEntry]:
    top = _Open()
    stack: list[_Open] = []
    for line in text.split("\n"):
        match = _ENTRY.match(line)
        named = [block for block in stack if block.names]
        if match:
            parent = named[-1] if named else top
            stack.append(_Open(parent.children, _names(match["rest"])))
            parent.children += 1
        elif line.strip() == "}":
            if stack:
                stack.pop()
        elif line.rstrip().endswith("{"):
            stack.append(_Open())
        elif named and not named[-1].kernel and (linux := _LINUX.match(line)):
            named[-1].kernel = True
            yield MenuEntry(
                path=tuple(block.names[-1] for block in named),
                indexes=tuple(block.index for block in named),
                names=tuple(block.names for block in named),
                kernel=linux["path"].strip("\"'"),
                arguments=linux["arguments"].strip(),
            )


def all_have_initramfs(data: bytes) -> bool:
    """Tell whether there are as many lines that load an initramfs as lines that load a kernel."""
    kernels = re.findall(rb"^[ \t]*linux(?:16|efi)?[ \t]", data, re.MULTILINE)
    return len(re.findall(rb"^[ \t]*initrd(?:16|efi)?[ \t]", data, re.MULTILINE)) >= len(kernels)


def default_entry(data: bytes, saved: str | None) -> MenuEntry | None:
    """Find the entry that boots when nobody chooses.

    :param saved: saved_entry of grubenv.
    """
    values = [match["value"].strip("\"'") for match in _DEFAULT.finditer(data.decode("latin-1"))]
    chosen = [value for value in values if value != _NEXT]
    wanted = chosen[-1] if chosen else "0"
    if wanted == _SAVED:
        wanted = saved or "0"
    entries = menu(data)
    parts = wanted.split(">")
    for entry in entries:
        if len(parts) <= len(entry.names) and all(
            part.strip() == str(index) or part.strip() in names
            for part, index, names in zip(parts, entry.indexes, entry.names, strict=False)
        ):
            return entry
    return entries[0] if entries else None


def set_default(data: bytes, entry: MenuEntry) -> bytes:
    """Make an entry the default, in the place where grub-mkconfig writes it. What GRUB boots only once stays."""
    name = ">".join(entry.path)

    def edit(match: re.Match[str]) -> str:
        return match[0] if match["value"].strip("\"'") == _NEXT else f'{match["before"]}"{name}"'

    return _DEFAULT.sub(edit, data.decode("latin-1")).encode("latin-1")


def saved_entry(grubenv: bytes) -> str | None:
    """Read saved_entry from a GRUB environment block."""
    match = re.search(r"^saved_entry=(.*)$", grubenv.decode("latin-1"), re.MULTILINE)
    return match[1] if match and match[1] else None


def replace_consoles(data: bytes) -> bytes:
    """Turn the consoles of Xen on kernel command lines into the first serial port."""
    return re.sub(rb"(?<![\w.])console=(?:hvc|xvc)0(?=[,\s\"']|$)", b"console=ttyS0", data, flags=re.MULTILINE)


def _names(rest: str) -> tuple[str, ...]:
    words = [match[1] or match[2] or match[3] or "" for match in _WORD.finditer(rest)]
    title = words[0] if words else ""
    for position, word in enumerate(words[:-1]):
        if word in {"$menuentry_id_option", "--id", "${menuentry_id_option}"}:
            return (title, words[position + 1])
        if word.startswith("--id="):
            return (title, word.removeprefix("--id="))
    return (title,)
