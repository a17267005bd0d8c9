# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and edit the file of a boot configuration, through the appliance's hivex.

It is opened, read as a whole, and closed again at once: the appliance has one hive open at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.windows.boot import bcd
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE, Type, Value
from v2v_core.api import ConversionError

#: Bytes: real ones have 24 to 100 KiB.
_LARGEST = 4 * 1024 * 1024
_HEADER = 512
#: Bytes before the first block, and where the header has the length of all blocks.
_BLOCK, _LENGTH = 4096, 0x28


class State(StrEnum):
    """What a file of a boot configuration is."""

    WHOLE = "whole"
    #: Its last edits are in its log only.
    DIRTY = "dirty"
    DAMAGED = "damaged"
    #: Windows can read it, the appliance's hivex cannot.
    UNREADABLE = "unreadable"
    MISSING = "missing"


@dataclass(frozen=True)
class Store:
    """A boot configuration as it was read. :param why: it cannot be read."""

    path: str
    state: State
    configuration: bcd.BootConfiguration | None = None
    why: str = ""


@dataclass(frozen=True)
class BcdEdit:
    """An edit of one element of the boot configuration. A ``data`` of None removes the element."""

    guid: str
    element: str
    data: bytes | None
    what: str
    why: str


def read(guest: WindowsGuest, path: str) -> Store:
    """Read the boot configuration in a file."""
    real = guest.files.find(path)
    if real is None or not guest.files.is_file(real):
        return Store(path, State.MISSING)
    header = guest.files.read_start(real, _HEADER) or b""
    if (refused := _refused(header, guest.files.size(real) or 0)) is not None:
        return Store(real, refused[0], why=refused[1])
    handle = guest.session.handle
    guest.registry.close()
    try:
        handle.hivex_open(real)
        try:
            found = bcd.parse(_Key(handle, int(handle.hivex_root())))
        finally:
            handle.hivex_close()
    except (RuntimeError, UnicodeDecodeError) as err:
        return Store(real, State.DAMAGED, why=brief(err))
    if found is None:
        return Store(real, State.DAMAGED, why="it has no boot manager")
    first, second = struct.unpack_from("<II", header, 4)
    return Store(real, State.WHOLE if first == second else State.DIRTY, found)


def _refused(header: bytes, size: int) -> tuple[State, str] | None:
    """Return why a file is not opened; None if it is."""
    if len(header) < _HEADER or not header.startswith(b"regf"):
        return State.DAMAGED, "it is no registry hive"
    if size > _LARGEST:
        return State.DAMAGED, f"{size} bytes are too many for one"
    behind = size - _BLOCK - int(struct.unpack_from("<I", header, _LENGTH)[0])
    if behind > 0:
        return State.UNREADABLE, f"{behind} bytes follow its end, with which the appliance's hivex cannot open it"
    return None


def edit(guest: WindowsGuest, path: str, edits: Sequence[BcdEdit], *, shown: str) -> None:
    """Edit the boot configuration in a file; all edits or none.

    :param shown: the file's name for the report.
    :raises ConversionError: it cannot be written; then it is as it was.
    """
    handle = guest.session.handle
    before = guest.files.read(path, limit=_LARGEST)
    if before is None:
        raise ConversionError(f"the boot configuration {shown} cannot be read any more")
    guest.registry.close()
    try:
        handle.hivex_open(path, write=True)
        try:
            for each in edits:
                _apply(handle, each)
            handle.hivex_commit(None)
        finally:
            handle.hivex_close()
    except RuntimeError as err:
        with suppress(RuntimeError):
            handle.write(path, before)
        raise ConversionError(
            f"the boot configuration {shown} cannot be written: {brief(err)}",
            hint="look for a full, damaged or read-only file system on that partition",
        ) from err
    for each in edits:
        guest.session.changed(shown, each.what, each.why)


def _apply(handle: Handle, edit: BcdEdit) -> None:
    elements = int(handle.hivex_root())
    for name in ("Objects", edit.guid, "Elements"):
        elements = _child(handle, elements, name)
        if not elements:
            raise RuntimeError(f"{edit.guid} has no elements")
    node = _child(handle, elements, edit.element)
    if edit.data is None:
        if node:
            handle.hivex_node_delete_child(node)
        return
    node = node or int(handle.hivex_node_add_child(elements, edit.element))
    handle.hivex_node_set_value(node, "Element", int(Type.BINARY), edit.data)


def _child(handle: Handle, node: int, name: str) -> int:
    """Return a key below another, or 0."""
    return int(handle.hivex_node_get_child(node, name) or 0)


class _Key:
    """A key of the open hive."""

    def __init__(self, handle: Handle, node: int) -> None:
        self._handle, self._node = handle, node

    def key(self, path: str) -> _Key | None:
        node = self._node
        for name in path.split("\\"):
            node = _child(self._handle, node, name)
            if not node:
                return None
        return _Key(self._handle, node)

    def value(self, name: str) -> Value | None:
        handle = self._handle
        try:
            found = int(handle.hivex_node_get_value(self._node, name) or 0)
        except RuntimeError:
            # What hivex says of a value that is not there.
            return None
        if not found:
            return None
        data = bytes(handle.hivex_value_value(found))
        return Value(int(handle.hivex_value_type(found)), data) if len(data) <= LONGEST_VALUE else None
