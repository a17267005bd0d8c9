# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries of the Boot Loader Specification, each in a file ``/boot/loader/entries/MACHINE-VERSION.conf``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FIELD = re.compile(r"[ \t]*(?P<key>[a-z_-]+)[ \t]+(?P<value>[^\n]*)", re.ASCII)
#: The fields that contain the kernel's version. A version on the kernel command line does not count.
_OF_A_VERSION = re.compile(r"^([ \t]*(?:title|version|linux|initrd|id)[ \t][^\n]*)$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True)
class BlsEntry:
    """An entry that boots Linux.

    :param name: of its file, without .conf. GRUB uses it as the entry's id.
    :param options: the kernel command line, with GRUB's variables (``$kernelopts``) not expanded.
    :param sort_key: the first key of systemd-boot's order. :param machine: the machine id of the entry's owner.
    """

    name: str
    title: str
    version: str
    linux: str
    initrd: tuple[str, ...]
    options: str
    sort_key: str = ""
    machine: str = ""


def parse(name: str, data: bytes) -> BlsEntry | None:
    """Parse an entry; return None if it does not boot a Linux kernel.

    :param name: of its file, with or without directories and .conf.
    """
    fields: dict[str, list[str]] = {}
    for line in data.decode("latin-1").split("\n"):
        match = _FIELD.match(line)
        if match:
            fields.setdefault(match["key"], []).append(match["value"].strip(" \t\r"))
    if not fields.get("linux", [""])[-1]:
        return None
    name = name.rpartition("/")[2].removesuffix(".conf")
    return BlsEntry(
        name=name,
        title=fields.get("title", [name])[-1],
        version=fields.get("version", [""])[-1],
        linux=fields["linux"][-1],
        initrd=tuple(word for value in fields.get("initrd", []) for word in value.split()),
        options=" ".join(fields.get("options", [])),
        sort_key=fields.get("sort-key", [""])[-1],
        machine=fields.get("machine-id", [""])[-1],
    )


def in_order(entries: Iterable[BlsEntry]) -> list[BlsEntry]:
    """Sort as GRUB does: by the names of the files, taken as name-version-release of a package, newest first."""
    return sorted(entries, key=lambda entry: _package_key(entry.name), reverse=True)


def for_version(data: bytes, old: str, new: str) -> bytes:
    """Return a copy of an entry for another kernel: with ``new`` in place of the version ``old``."""
    text = data.decode("latin-1")
    return _OF_A_VERSION.sub(lambda match: match[1].replace(old, new), text).encode("latin-1")


def _package_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    parts = name.rsplit("-", 2)
    return tuple(_version_key(part) for part in (*parts, *[""] * (3 - len(parts))))


def _version_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts versions as rpm does: numbers above words, the end below both, ``~`` below the end."""
    parts = re.findall(r"\d{1,200}|[A-Za-z]+|~", text, re.ASCII)
    kinds = ((1, int(part), "") if part.isdigit() else (-2 if part == "~" else 0, 0, part) for part in parts)
    return (*kinds, (-1, 0, ""))
