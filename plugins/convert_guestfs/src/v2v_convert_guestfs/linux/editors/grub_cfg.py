# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the entries of grub.cfg, their kernels and the default; change the default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.linux.editors.bls import BlsEntry

_ENTRY = re.compile(r"[ \t]*(?P<kind>menuentry|submenu)[ \t]+(?P<rest>.*)\{[ \t]*$", re.ASCII)
_LINUX = re.compile(r"[ \t]*(?:linux|linux16|linuxefi)[ \t]+(?P<path>\S+)(?P<arguments>.*)$", re.ASCII)
_INITRD = re.compile(r"[ \t]*(?:initrd|initrd16|initrdefi)[ \t]+(?P<paths>[^\n]*)$", re.ASCII)
_BLS = re.compile(r"[ \t]*blscfg(?:[ \t]|$)", re.ASCII)
_WORD = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|(\S+)", re.ASCII)
_DEFAULT = re.compile(
    r"(?P<before>^[ \t]*set[ \t]+default=)(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"']+)", re.ASCII | re.MULTILINE
)
_SET = re.compile(r"^[ \t]*set[ \t]+(?P<name>\w{1,64})=(?P<value>\"[^\"\n]*\"|[^\n]*)", re.ASCII | re.MULTILINE)
_LEADS_ON = re.compile(
    r"^[ \t]*(?:configfile|source|normal|\.)[ \t]+(?P<path>[^\n]+?)[ \t\r]*$", re.ASCII | re.MULTILINE
)
_VARIABLE = re.compile(r"\$(?:\{(\w{1,64})\}|(\w{1,64}))", re.ASCII)
_SAVED = frozenset({"${saved_entry}", "$saved_entry"})
_NEXT = frozenset({"${next_entry}", "$next_entry"})
#: Variables in a text that are expanded at most: values may refer to one another endlessly.
_EXPANDED = 64
#: More entries, and deeper submenus, than any usable menu has.
_MOST_ENTRIES, _DEEPEST = 2000, 32


@dataclass(frozen=True)
class MenuEntry:
    """An entry of the menu.

    :param path: GRUB's name for it: the ids (or titles) of the submenus around it, then its own.
    :param indexes: the positions of those submenus and of the entry itself, each from 0.
    :param names: the title and the id at each depth.
    :param kernel: its path from the root of the file system with /boot, as GRUB sees it; empty if it is not Linux.
    :param initrd: the images that are loaded together, with GRUB's variables not expanded.
    """

    path: tuple[str, ...]
    indexes: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    kernel: str = ""
    arguments: str = ""
    initrd: tuple[str, ...] = ()


@dataclass
class _Open:
    """A block whose closing brace has not come yet: an entry or submenu, or something else if it has no names."""

    kind: str = ""
    index: int = 0
    names: tuple[str, ...] = ()
    children: int = 0
    kernel: str = ""
    arguments: str = ""
    initrd: tuple[str, ...] = ()
    around: list[_Open] = field(default_factory=list)

    def entry(self) -> MenuEntry:
        depth = [*self.around, self]
        return MenuEntry(
            path=tuple(block.names[-1] for block in depth),
            indexes=tuple(block.index for block in depth),
            names=tuple(block.names for block in depth),
            kernel=self.kernel,
            arguments=self.arguments,
            initrd=self.initrd,
        )


def menu(data: bytes, bls: Sequence[BlsEntry] = ()) -> list[MenuEntry]:
    """List the entries that boot Linux, in the order of the menu.

    :param bls: the entries that GRUB's command blscfg inserts, in GRUB's order.
    """
    return [entry for entry in everything(data, bls) if entry.kernel]


def everything(data: bytes, bls: Sequence[BlsEntry] = ()) -> list[MenuEntry]:
    """List all entries of the menu, including those of other systems, hypervisors and tools."""
    top = _Open()
    stack: list[_Open] = []
    found: list[_Open] = []
    for line in data.decode("latin-1").split("\n"):
        if len(found) > _MOST_ENTRIES or len(stack) > _DEEPEST:
            break
        match = _ENTRY.match(line)
        named = [block for block in stack if block.names]
        if match:
            parent = named[-1] if named else top
            block = _Open(match["kind"], parent.children, _names(match["rest"]), around=named)
            parent.children += 1
            stack.append(block)
            if block.kind == "menuentry":
                found.append(block)
        elif line.strip() == "}":
            if stack:
                stack.pop()
        elif line.rstrip().endswith("{"):
            stack.append(_Open())
        elif _BLS.match(line) and not named:
            for entry in bls:
                names = (entry.title, entry.name)
                block = _Open("menuentry", top.children, names, kernel=entry.linux, arguments=entry.options)
                block.initrd = entry.initrd
                found.append(block)
                top.children += 1
        elif named and not named[-1].kernel and (linux := _LINUX.match(line)):
            named[-1].kernel = linux["path"].strip("\"'")
            named[-1].arguments = linux["arguments"].strip()
        elif named and (initrd := _INITRD.match(line)):
            named[-1].initrd = tuple(initrd["paths"].split("#", 1)[0].split())
    return [block.entry() for block in found]


def uses_bls(data: bytes) -> bool:
    """Return whether the menu includes entries of the Boot Loader Specification, which are in separate files."""
    return any(_BLS.match(line) for line in data.decode("latin-1").split("\n"))


def leads_to(data: bytes) -> str | None:
    """Return the configuration that this one loads: a path as GRUB sees it, such as ``/boot/grub2/grub.cfg``.

    The file on the EFI system partition often does nothing else. None if this configuration has its own menu.
    """
    if uses_bls(data) or everything(data):
        return None
    set_here = variables(data)
    for match in reversed(list(_LEADS_ON.finditer(data.decode("latin-1")))):
        path = expand(match["path"].strip().strip("\"'"), set_here)
        path = re.sub(r"^\([^)]*\)", "", path).replace("'", "").replace('"', "")
        if path.startswith("/") and "$" not in path:
            return path
    return None


def variables(data: bytes) -> dict[str, str]:
    """Return the variables by name, each with the value that is set last."""
    return {
        match["name"]: match["value"].strip(" \t\r").strip("\"'") for match in _SET.finditer(data.decode("latin-1"))
    }


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace variables by their values, also those inside values; leave unknown ones."""
    for _ in range(4):
        if len(_VARIABLE.findall(text)) > _EXPANDED:
            break
        text = _VARIABLE.sub(lambda match: known.get(match[1] or match[2], match[0])[:4096], text)
    return text


def all_have_initramfs(data: bytes) -> bool:
    """Return whether at least as many lines load an initramfs as load a kernel."""
    kernels = re.findall(rb"^[ \t]*linux(?:16|efi)?[ \t]", data, re.MULTILINE)
    return len(re.findall(rb"^[ \t]*initrd(?:16|efi)?[ \t]", data, re.MULTILINE)) >= len(kernels)


def default_is_saved(data: bytes) -> bool:
    """Return whether the default entry is the one that is saved in grubenv."""
    return _default(data) in _SAVED


def default_entry(data: bytes, saved: str | None, bls: Sequence[BlsEntry] = ()) -> MenuEntry | None:
    """Return the entry that boots by default, or None if there is none or it does not boot Linux.

    :param saved: saved_entry of grubenv.
    """
    wanted = _default(data)
    if wanted in _SAVED:
        wanted = saved or "0"
    entries = everything(data, bls)
    parts = wanted.split(">")
    # GRUB boots the first entry if it does not find the default.
    chosen = next((entry for entry in entries if _is_named(entry, parts)), entries[0] if entries else None)
    return chosen if chosen is not None and chosen.kernel else None


def set_default(data: bytes, entry: MenuEntry) -> bytes:
    """Make an entry the default, in the line that grub-mkconfig writes. The entry for the next boot only stays."""
    name = ">".join(entry.path)

    def edit(match: re.Match[str]) -> str:
        return match[0] if match["value"].strip("\"'") in _NEXT else f'{match["before"]}"{name}"'

    return _DEFAULT.sub(edit, data.decode("latin-1")).encode("latin-1")


def for_uefi(data: bytes) -> bytes:
    """Replace linux16 and initrd16, which GRUB for UEFI does not have, by linuxefi and initrdefi (RHEL 7)."""
    return re.sub(rb"^([ \t]*(?:linux|initrd))16(?=[ \t])", rb"\1efi", data, flags=re.MULTILINE)


def replace_consoles(data: bytes) -> bytes:
    """Replace Xen's consoles on kernel command lines by the first serial port."""
    return re.sub(rb"(?<![\w.])console=(?:hvc|xvc)0(?=[,\s\"']|$)", b"console=ttyS0", data, flags=re.MULTILINE)


def remove_consoles(data: bytes) -> bytes:
    """Remove Xen's consoles from kernel command lines, each with the blanks before it, or else after it."""
    console = rb"console=(?:hvc|xvc)0(?:,[^\s\"']*)?"
    data = re.sub(rb"[ \t]+" + console + rb"(?=[\s\"']|$)", b"", data, flags=re.MULTILINE)
    return re.sub(rb"(?<![\w.])" + console + rb"(?:[ \t]+|(?=[\s\"']|$))", b"", data, flags=re.MULTILINE)


def _default(data: bytes) -> str:
    values = [match["value"].strip("\"'") for match in _DEFAULT.finditer(data.decode("latin-1"))]
    chosen = [value for value in values if value not in _NEXT]
    return chosen[-1] if chosen else "0"


def _is_named(entry: MenuEntry, parts: list[str]) -> bool:
    return len(parts) <= len(entry.names) and all(
        part.strip() == str(index) or part.strip() in names
        for part, index, names in zip(parts, entry.indexes, entry.names, strict=False)
    )


def _names(rest: str) -> tuple[str, ...]:
    words = [match[1] or match[2] or match[3] or "" for match in _WORD.finditer(rest)]
    title = words[0] if words else ""
    for position, word in enumerate(words[:-1]):
        if word in {"$menuentry_id_option", "--id", "${menuentry_id_option}"}:
            return (title, words[position + 1])
        if word.startswith("--id="):
            return (title, word.removeprefix("--id="))
    return (title,)
