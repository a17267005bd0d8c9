# SPDX-License-Identifier: GPL-2.0-or-later
"""Make hives and edit them, with hivex.

A tree is a dictionary: a name with a dictionary is a key, a name with a pair of type and bytes a value; "" names the
default value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Value = tuple[int, bytes]
Tree = Mapping[str, Any]

_SZ, _EXPAND_SZ, _BINARY, _DWORD, _MULTI_SZ, _QWORD = 1, 2, 3, 4, 7, 11

#: 2021-01-01, as Windows counts: in tenths of a microsecond since 1601.
TIME = 0x01D6DFD1_4B8A8000

#: Bytes of the header of a hive, and of its first and only block of cells.
_HEADER, _BLOCK = 4096, 4096


def sz(text: str) -> Value:
    """Return a REG_SZ."""
    return _SZ, _encoded(text)


def expand_sz(text: str) -> Value:
    """Return a REG_EXPAND_SZ."""
    return _EXPAND_SZ, _encoded(text)


def multi_sz(*texts: str) -> Value:
    """Return a REG_MULTI_SZ."""
    return _MULTI_SZ, b"".join(map(_encoded, texts)) + b"\0\0"


def dword(number: int) -> Value:
    """Return a REG_DWORD."""
    return _DWORD, struct.pack("<I", number)


def qword(number: int) -> Value:
    """Return a REG_QWORD."""
    return _QWORD, struct.pack("<Q", number)


def binary(data: bytes) -> Value:
    """Return a REG_BINARY."""
    return _BINARY, data


def merged(*trees: Tree) -> dict[str, Any]:
    """Return one tree with all that is in the given ones; of values in several, the last one. Names have no case."""
    result: dict[str, Any] = {}
    spelt: dict[str, str] = {}
    for tree in trees:
        for name, content in tree.items():
            own = spelt.setdefault(name.casefold(), name)
            both = isinstance(content, Mapping) and isinstance(result.get(own), Mapping)
            result[own] = merged(result[own], content) if both else content
    return result


def at(path: str, content: Tree) -> dict[str, Any]:
    """Return a tree with the content at a path, which backslashes divide."""
    tree: dict[str, Any] = dict(content)
    for name in reversed(path.split("\\")):
        tree = {name: tree}
    return tree


def write_hive(path: Path, tree: Tree) -> None:
    """Make a hive with the keys and values."""
    path.write_bytes(_empty_hive())
    edit_hive(path, tree)


def edit_hive(path: Path, tree: Tree) -> None:
    """Add the keys and values to a hive; a value that is there already gets the new content."""
    import hivex

    hive = hivex.Hivex(str(path), write=True)
    _plant(hive, hive.root(), tree)
    hive.commit(None)


def soil(path: Path) -> None:
    """Make a hive look as if Windows had not finished writing it: the second sequence number lags behind."""
    content = bytearray(path.read_bytes())
    first, _second = struct.unpack_from("<II", content, 4)
    struct.pack_into("<I", content, 4, first + 1)
    struct.pack_into("<I", content, 508, _checksum(content))
    path.write_bytes(content)


def _plant(hive: Any, node: int, tree: Tree) -> None:
    values = {name: content for name, content in tree.items() if not isinstance(content, Mapping)}
    for name, (kind, data) in values.items():
        hive.node_set_value(node, {"key": name, "t": kind, "value": data})
    for name, content in tree.items():
        if isinstance(content, Mapping):
            child = hive.node_get_child(node, name) or hive.node_add_child(node, name)
            _plant(hive, child, content)


def _empty_hive() -> bytes:
    """Return a hive with a root key and nothing in it: hivex changes hives and makes none."""
    nothing = 0xFFFFFFFF
    # the root comes first, as in the hives of Windows: there are readers that look for it there
    root_at, security_at = 0x20, 0x20 + 0x60
    root_name = b"ROOT"
    # revision, flags (self-relative, has a DACL), owner, group, SACL, DACL; then the DACL and the system's SID
    sid = bytes.fromhex("010100000000000512000000")
    entry = struct.pack("<BBHI", 0, 2, 8 + len(sid), 0xF003F) + sid
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(entry), 1, 0) + entry
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 20, 0, 20 + len(sid)) + sid + acl
    security = b"sk" + struct.pack("<HIIII", 0, security_at, security_at, 1, len(descriptor)) + descriptor
    root = b"nk" + struct.pack("<HQ", 0x2C, TIME)
    root += struct.pack("<IIIIII", 0, nothing, 0, 0, nothing, nothing)
    root += struct.pack("<IIII", 0, nothing, security_at, nothing)
    root += struct.pack("<IIIII", 0, 0, 0, 0, 0) + struct.pack("<HH", len(root_name), 0) + root_name
    cells = _cell(root, security_at - root_at) + _cell(security, 0x60)
    free = _BLOCK - 0x20 - len(cells)
    block = b"hbin" + struct.pack("<IIQQI", 0, _BLOCK, 0, TIME, 0) + cells + struct.pack("<i", free)
    header = bytearray(_HEADER)
    struct.pack_into("<4sIIQIIIIIII", header, 0, b"regf", 1, 1, TIME, 1, 5, 0, 1, root_at, _BLOCK, 1)
    struct.pack_into("<I", header, 508, _checksum(header))
    return bytes(header) + block.ljust(_BLOCK, b"\0")


def _cell(content: bytes, size: int) -> bytes:
    """Return a cell in use: its size is negative."""
    assert len(content) + 4 <= size
    return struct.pack("<i", -size) + content.ljust(size - 4, b"\0")


def _checksum(header: bytes | bytearray) -> int:
    """Return the exclusive or of the first 127 words, which is never 0 nor -1."""
    result = 0
    for (word,) in struct.iter_unpack("<I", header[:508]):
        result ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(result, result)


def _encoded(text: str) -> bytes:
    return f"{text}\0".encode("utf-16-le")
