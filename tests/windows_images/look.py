# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into the disk of a Windows guest with dissect: neither an appliance nor a line of what converts it.

Dissect (AGPL-3) is a tool of the tests alone; nothing of the project imports it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: A value's type and its bytes.
Value = tuple[int, bytes]

#: Of each key its values by their names in lower case; the key's own path is in lower case, too.
Hive = dict[str, dict[str, Value]]

HIVES = ("SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT")


@dataclasses.dataclass(frozen=True)
class Looked:
    """What is in a guest.

    :param product: what dissect takes it for. :param addresses: its own static ones.
    :param hives: by their names. :param files: the digest of each, by its path below C: in lower case.
    :param read: returns the content of a file, by its path in any capitals; only while the guest is open.
    """

    product: str
    hostname: str
    architecture: str
    addresses: tuple[str, ...]
    hives: dict[str, Hive]
    files: dict[str, str]
    read: Callable[[str], bytes]


@dataclasses.dataclass(frozen=True)
class RegistryDifference:
    """What differs between two hives; ``before`` and ``after`` are None for what is not there.

    :param name: of the value; None if it is the key that came or went.
    """

    hive: str
    key: str
    name: str | None
    before: Value | None = None
    after: Value | None = None
    gone: bool = False


@contextlib.contextmanager
def opened(*disks: Path) -> Iterator[Looked]:
    """Open the disks of a guest and read its hives and its files."""
    from dissect.target import Target, container  # type: ignore[import-untyped, import-not-found, unused-ignore]

    logging.getLogger("dissect").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        target = Target()
        for disk in disks:
            target.disks.add(stack.enter_context(contextlib.closing(container.open(disk))))
        target.apply()
        root = target.fs.path("sysvol")
        yield Looked(
            product=str(target.version),
            hostname=str(target.hostname),
            architecture=str(target.architecture),
            addresses=tuple(map(str, target.ips)),
            hives={name: read_hive(root / "windows/system32/config" / name) for name in HIVES},
            files=_digests(root),
            read=lambda path: bytes((root / path.lstrip("/")).read_bytes()),
        )


def read_hive(path: Any) -> Hive:
    """Return all keys and values of a hive."""
    from dissect.regf.regf import RegistryHive  # type: ignore[import-untyped, import-not-found, unused-ignore]

    found: Hive = {}
    with path.open("rb") as stream:
        hive = RegistryHive(stream)

        def walk(key: Any, name: str) -> None:
            found[name] = {_name(value): (int(value.type), bytes(value.data)) for value in key.values()}
            for child in key.subkeys():
                walk(child, f"{name}\\{child.name}".lstrip("\\").casefold())

        walk(hive.root(), "")
    return found


def registry_differences(before: dict[str, Hive], after: dict[str, Hive]) -> list[RegistryDifference]:
    """Return what differs between the hives of two guests: values, and keys that came or went without any value.

    Of a key that went only the key is named, not what was below it.
    """
    found: list[RegistryDifference] = []
    for hive in HIVES:
        old, new = before[hive], after[hive]
        for key in sorted(old.keys() | new.keys()):
            if key not in new:
                if key.rpartition("\\")[0] in new:
                    found.append(RegistryDifference(hive, key, None, gone=True))
                continue
            values, others = old.get(key, {}), new[key]
            if key not in old and not others and not any(other.startswith(f"{key}\\") for other in new):
                found.append(RegistryDifference(hive, key, None))
            found += [
                RegistryDifference(hive, key, name, values.get(name), others.get(name), name not in others)
                for name in sorted(values.keys() | others.keys())
                if values.get(name) != others.get(name)
            ]
    return found


def file_differences(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return by its path what happened to each file: made, changed or removed."""
    words = {(True, False): "removed", (False, True): "made", (True, True): "changed"}
    return {
        path: words[path in before, path in after]
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }


def _name(value: Any) -> str:
    """Return the name of a value in lower case; the default one has none."""
    return str(value.name).casefold() if value.cell.NameLength else ""


def _digests(root: Any) -> dict[str, str]:
    """Return a digest of every file but the hives, whose content is compared by keys and values."""
    found: dict[str, str] = {}
    for directory, _, names in _walk(root):
        for name in names:
            path = directory / name
            short = str(path).partition("sysvol/")[2].casefold()
            if short.startswith(("$", "windows/system32/config/")):
                continue
            with path.open("rb") as stream:
                found[short] = hashlib.sha256(stream.read()).hexdigest()
    return found


def _walk(directory: Any) -> Iterator[tuple[Any, list[Any], list[str]]]:
    entries = sorted(directory.iterdir(), key=str)
    below = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    yield directory, below, [entry.name for entry in entries if entry.is_file()]
    for entry in below:
        yield from _walk(entry)
