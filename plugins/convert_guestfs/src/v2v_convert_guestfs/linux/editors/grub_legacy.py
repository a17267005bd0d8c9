# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and edit GRUB legacy's menu, grub.conf or menu.lst: entries, the default, names of disks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.editors.devices_in import command_line

_TITLE = re.compile(r"[ \t]*title(?:[ \t=](?P<title>[^\n]*)|\r?$)", re.ASCII)
#: Before the path there may be options (``--no-mem-option``) and a disk: ``(hd0,0)/vmlinuz``.
_KERNEL = re.compile(
    r"[ \t]*kernel[ \t=]+(?:--\S*[ \t]+)*(?:\([^)\s]*\))?(?P<path>\S+)(?P<arguments>[^\n]*)",
    re.ASCII,
)
_INITRD = re.compile(r"[ \t]*initrd[ \t=]+(?:\([^)\s]*\))?(?P<path>\S+)", re.ASCII)
_DEFAULT = re.compile(r"(?P<before>[ \t]*default[ \t=]+)(?P<value>[^\s#=]+)", re.ASCII)
_COMMAND_LINE = re.compile(r"[ \t]*(?:kernel|module)[ \t=]", re.ASCII)
#: Comments that programs read: Debian's update-grub makes entries from the first kind, Red Hat's grubby reads #boot=.
_MAGIC = re.compile(r"#[ \t]*(?:kopt(?:_\w+)?|defoptions|altoptions|xenkopt|xenhopt|nonaltoptions)=|#boot=", re.ASCII)
#: Xen's hypervisor; its kernel is a module.
_HYPERVISOR = re.compile(r"(?:^|/)xen[^/]*$", re.ASCII)
#: More entries than any usable menu has.
_MOST_ENTRIES = 1000
_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)


@dataclass(frozen=True)
class LegacyEntry:
    """An entry of the menu.

    :param kernel: its path from the root of its file system, as GRUB sees it; empty if the entry boots something other
        than Linux: a hypervisor, another boot loader.
    :param initrd: the path of its initramfs, or empty.
    """

    index: int
    title: str
    kernel: str = ""
    arguments: str = ""
    initrd: str = ""


def entries(data: bytes) -> list[LegacyEntry]:
    """List all entries, in the order of the menu."""
    found: list[LegacyEntry] = []
    for block in _blocks(_lines(data))[1 : _MOST_ENTRIES + 1]:
        title = _TITLE.match(block[0])
        kernels = [match for line in block[1:] if (match := _KERNEL.match(line))]
        last = kernels[-1] if kernels else None
        linux = last if last and not _HYPERVISOR.search(last["path"]) else None
        found.append(
            LegacyEntry(
                index=len(found),
                title=(title["title"] or "").strip(" \t\r=") if title else "",
                kernel=linux["path"] if linux else "",
                arguments=linux["arguments"].strip(" \t\r") if linux else "",
                initrd=next((match["path"] for line in block[1:] if (match := _INITRD.match(line))), ""),
            )
        )
    return found


def default_is_saved(data: bytes) -> bool:
    """Return whether the default is the number in GRUB's file ``default``."""
    return _default(data) == "saved"


def default_entry(data: bytes, saved: bytes = b"") -> LegacyEntry | None:
    """Return the entry that boots by default, or None if it does not boot Linux.

    :param saved: the content of GRUB's file ``default``.
    """
    found = entries(data)
    wanted = _default(data)
    if wanted == "saved":
        wanted = saved.decode("latin-1").split("\n", 1)[0].strip()
    index = int(wanted) if _NUMBER.fullmatch(wanted) else 0
    if not found:
        return None
    chosen = found[index] if index < len(found) else found[0]
    return chosen if chosen.kernel else None


def set_default(data: bytes, index: int) -> bytes:
    """Make an entry the default by its number, from 0."""
    blocks = _blocks(_lines(data))
    head = blocks[0]
    places = [place for place, line in enumerate(head) if _DEFAULT.match(line)]
    for place in places:
        head[place] = _DEFAULT.sub(lambda match: f"{match['before']}{index}", head[place], count=1)
    if not places:
        head.append(f"default {index}")
    return _joined(blocks)


def add_entry(data: bytes, template: LegacyEntry, old: str, new: str) -> bytes:
    """Add a copy of an entry at the end, with ``new`` in place of the kernel's version ``old``."""
    blocks = _blocks(_lines(data))
    commands = (line for line in blocks[template.index + 1] if line.strip() and not line.lstrip().startswith("#"))
    copied = "".join(line.replace(old, new) + "\n" for line in commands)
    return data.rstrip(b"\n") + b"\n\n" + copied.encode("latin-1")


def rename_devices(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks on kernel command lines, and in the comments from which programs make new ones."""
    return "\n".join(
        command_line(line, names) if _COMMAND_LINE.match(line) or _MAGIC.match(line) else line for line in _lines(data)
    ).encode("latin-1")


def _default(data: bytes) -> str:
    values = [match["value"] for line in _blocks(_lines(data))[0] if (match := _DEFAULT.match(line))]
    return values[-1] if values else "0"


def _lines(data: bytes) -> list[str]:
    return data.decode("latin-1").split("\n")


def _blocks(lines: list[str]) -> list[list[str]]:
    """Split the lines into those before the first title, and the entries, each beginning with its title."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _TITLE.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _joined(blocks: list[list[str]]) -> bytes:
    return "\n".join(line for block in blocks for line in block).encode("latin-1")
