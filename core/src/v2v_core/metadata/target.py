# SPDX-License-Identifier: GPL-2.0-or-later
"""``metadata.out``: ``metadata.in`` plus the description of the converted guest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core.errors import MetadataError
from v2v_core.metadata.names import escape, unescape
from v2v_core.metadata.records import attributes_of, record_from
from v2v_core.metadata.source import guest_element, put_source, source_from
from v2v_core.metadata.tree import GUEST, TARGET, add, drop, ours, read_tree, to_bytes, write_file
from v2v_core.metadata.validation import check_tree
from v2v_core.model import (
    Capabilities,
    Change,
    Firmware,
    Guest,
    Inspection,
    Nic,
    TargetDisk,
    TargetGuest,
    TargetRemovable,
    WindowsInspection,
)

if TYPE_CHECKING:
    from lxml import etree


def write_target(path: Path, source_path: Path, target: TargetGuest) -> None:
    """Write ``metadata.out``, readable for this user only.

    :param source_path: ``metadata.in``; elements that this project does not understand are kept.
    :raises MetadataError: ``metadata.in`` is missing, damaged or not valid, or the file cannot be written.
    """
    root = read_tree(source_path)
    check_tree(root, source_path)
    if source_from(root, source_path) != target.source:
        # the conversion has learned more about the source, such as the size of a disk
        put_source(root, target.source, path)
    put_target(root, target)
    check_tree(root, path, target=True)
    write_file(path, to_bytes(root))


def read_target(path: Path) -> TargetGuest:
    """Read ``metadata.out``.

    :raises MetadataError: the file is missing, damaged or not valid, or is a ``metadata.in``.
    """
    root = read_tree(path)
    check_tree(root, path, target=True)
    return target_from(root, path)


def target_from(root: etree._Element, path: Path) -> TargetGuest:
    """Read the target from a tree that is valid.

    :raises MetadataError: libvirt's elements and this project's contradict each other.
    """
    source = source_from(root, path)
    element = root.find(f"metadata/{GUEST}/{TARGET}")
    try:
        return _target(root if element is None else element, source)
    except MetadataError as err:
        raise MetadataError(f"{path}: {err.message}", path=path) from err


def put_target(root: etree._Element, target: TargetGuest) -> None:
    """Write the description of the converted guest into a tree."""
    parent = guest_element(root)
    drop(parent, TARGET)
    element = add(parent, TARGET, {"firmware": target.firmware})
    inspection = add(element, ours("inspection"), attributes_of(target.inspection))
    for path, device in target.inspection.mountpoints:
        add(inspection, ours("mountpoint"), {"path": escape(path), "device": escape(device)})
    if target.inspection.windows is not None:
        windows = add(inspection, ours("windows"), attributes_of(target.inspection.windows))
        for letter, device in target.inspection.windows.drive_letters:
            add(windows, ours("drive"), {"letter": escape(letter), "device": escape(device)})
    add(element, ours("capabilities"), attributes_of(target.capabilities))
    for tag, records in (
        ("disk", target.disks),
        ("removable", target.removables),
        ("nic", target.nics),
        ("change", target.changes),
    ):
        for record in records:
            add(element, ours(tag), attributes_of(record))


def _target(element: etree._Element, source: Guest) -> TargetGuest:
    inspection, capabilities = element.find(ours("inspection")), element.find(ours("capabilities"))
    if inspection is None or capabilities is None:
        raise MetadataError(f"line {element.sourceline}: <v2v:target> is not complete")
    return TargetGuest(
        source=source,
        inspection=_inspection(inspection),
        capabilities=record_from(Capabilities, capabilities),
        firmware=Firmware(element.get("firmware", "")),
        disks=tuple(record_from(TargetDisk, found) for found in element.iterfind(ours("disk"))),
        removables=tuple(record_from(TargetRemovable, found) for found in element.iterfind(ours("removable"))),
        nics=tuple(record_from(Nic, found) for found in element.iterfind(ours("nic"))),
        changes=tuple(record_from(Change, found) for found in element.iterfind(ours("change"))),
    )


def _inspection(element: etree._Element) -> Inspection:
    mountpoints = _pairs(element, "mountpoint", "path", "device")
    found = element.find(ours("windows"))
    windows = None
    if found is not None:
        letters = _pairs(found, "drive", "letter", "device")
        windows = record_from(WindowsInspection, found, drive_letters=letters)
    return record_from(Inspection, element, mountpoints=mountpoints, windows=windows)


def _pairs(element: etree._Element, tag: str, first: str, second: str) -> tuple[tuple[str, str], ...]:
    """Return two attributes of each child of one tag."""
    return tuple(
        (unescape(found.get(first, "")), unescape(found.get(second, ""))) for found in element.iterfind(ours(tag))
    )
