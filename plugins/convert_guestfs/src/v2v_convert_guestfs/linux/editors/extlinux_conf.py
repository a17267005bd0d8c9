# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and change the configuration of SYSLINUX and EXTLINUX: entries, the default, kernel command lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_LINE = re.compile(r"[ \t]*(?P<key>[A-Za-z]+)(?:[ \t]+(?P<value>[^\n]*?))?[ \t\r]*$", re.ASCII)
_DEFAULT = re.compile(r"^([ \t]*default[ \t]+)\S[^\n]*?(?=[ \t\r]*$)", re.ASCII | re.IGNORECASE | re.MULTILINE)
_MENU_DEFAULT = re.compile(r"^[ \t]*menu[ \t]+default[ \t\r]*(?:\n|\Z)", re.ASCII | re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(r"^[ \t]*label[ \t]+(?P<name>\S+)[^\n]*(?:\n|\Z)", re.ASCII | re.IGNORECASE | re.MULTILINE)
_APPEND = re.compile(r"^([ \t]*append[ \t]+)([^\n]*)$", re.ASCII | re.IGNORECASE | re.MULTILINE)
_INITRD = re.compile(r"(?<![\w.])initrd=(\S+)", re.ASCII)
_MOST_ENTRIES = 500


@dataclass(frozen=True)
class Entry:
    """An entry that boots Linux, with its label, which is its name.

    :param kernel: a path, relative to the directory of the configuration or absolute. :param initrd: likewise.
    :param marked: it is the default of the graphical menu.
    """

    label: str
    kernel: str = ""
    initrd: tuple[str, ...] = ()
    arguments: str = ""
    marked: bool = False


def entries(data: bytes) -> list[Entry]:
    """List the entries that boot Linux, in the order of the menu."""
    found: list[dict[str, str]] = []
    common = ""
    for line in data.decode("latin-1").split("\n"):
        match = _LINE.match(line)
        key, value = (match["key"].lower(), match["value"] or "") if match else ("", "")
        if key == "label" and value:
            found.append({"label": value.split()[0]})
        elif key == "append" and not found:
            common = value
        elif key == "menu" and found and value.lower() == "default":
            found[-1]["marked"] = "yes"
        elif key in {"linux", "kernel", "initrd", "append"} and found:
            found[-1]["kernel" if key == "linux" else key] = value
        if len(found) > _MOST_ENTRIES:
            break
    return [_entry(fields, common) for fields in found if fields.get("kernel", "") and not _is_module(fields["kernel"])]


def default_entry(data: bytes) -> Entry | None:
    """Return the entry that boots by default: the one marked in the menu, the one that DEFAULT names, or the first."""
    listed = entries(data)
    words = [match[0].split()[1] for match in _DEFAULT.finditer(data.decode("latin-1"))]
    named = (entry for entry in listed if words and entry.label == words[-1])
    return next((entry for entry in listed if entry.marked), next(named, listed[0] if listed else None))


def set_default(data: bytes, label: str) -> bytes:
    """Make an entry the default: mark it if another one is marked, and name it if DEFAULT names another one."""
    text = data.decode("latin-1")
    labels = {entry.label for entry in entries(data)}
    if _MENU_DEFAULT.search(text):
        text = _MENU_DEFAULT.sub("", text)
        text = _LABEL.sub(lambda match: match[0] + ("\tMENU DEFAULT\n" if match["name"] == label else ""), text)
    if not _DEFAULT.search(text):
        text = f"DEFAULT {label}\n{text}"
    # DEFAULT may also name the menu itself: "DEFAULT menu.c32".
    return _DEFAULT.sub(lambda match: f"{match[1]}{label}" if match[0].split()[1] in labels else match[0], text).encode(
        "latin-1"
    )


def edit_arguments(data: bytes, edit: Callable[[str], str]) -> bytes:
    """Edit the kernel command lines."""
    return _APPEND.sub(lambda match: match[1] + edit(match[2]), data.decode("latin-1")).encode("latin-1")


def _entry(fields: dict[str, str], common: str) -> Entry:
    arguments = fields.get("append", common)
    images = [
        *fields.get("initrd", "").split(","),
        *(name for found in _INITRD.findall(arguments) for name in found.split(",")),
    ]
    return Entry(
        label=fields["label"],
        kernel=fields["kernel"].split()[0],
        initrd=tuple(image.strip() for image in images if image.strip()),
        arguments="" if arguments == "-" else arguments,
        marked="marked" in fields,
    )


def _is_module(path: str) -> bool:
    """Return whether a kernel is one of SYSLINUX's own programs."""
    return path.split(maxsplit=1)[0].lower().endswith((".c32", ".com", ".cbt", ".0", ".bin", ".bs", ".bss"))
