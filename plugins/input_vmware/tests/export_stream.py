# SPDX-License-Identifier: GPL-2.0-or-later
"""Make streams as a server sends them: stream-optimized VMDKs with the directory last ("Virtual Disk Format 5.0")."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

_SECTOR, _GRAIN, _ENTRIES = 512, 128, 512
_AT_END = 0xFFFFFFFFFFFFFFFF
_END, _TABLE, _DIRECTORY, _FOOTER = range(4)
_DESCRIPTOR = (
    '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="streamOptimized"\n'
    'RDONLY {sectors} SPARSE "generated-stream.vmdk"\nddb.adapterType = "lsilogic"\n'
)


def as_sent(content: bytes) -> bytes:
    """Return the stream of a disk. Grains of zeros are left out."""
    sectors = len(content) // _SECTOR
    head = _header(sectors, _AT_END) + _padded(_DESCRIPTOR.format(sectors=sectors).encode(), 20)
    out = bytearray(_padded(head, _GRAIN))
    tables, entries = [], [0] * _ENTRIES
    grains = -(-sectors // _GRAIN)
    for number in range(grains):
        data = content[number * _GRAIN * _SECTOR : (number + 1) * _GRAIN * _SECTOR]
        if any(data):
            entries[number % _ENTRIES] = len(out) // _SECTOR
            packed = zlib.compress(data.ljust(_GRAIN * _SECTOR, b"\0"))
            out += _padded(struct.pack("<QI", number * _GRAIN, len(packed)) + packed)
        if number % _ENTRIES == _ENTRIES - 1 or number == grains - 1:
            tables.append(0)
            if any(entries):
                out += _marker(4, _TABLE)
                tables[-1] = len(out) // _SECTOR
                out += struct.pack(f"<{_ENTRIES}I", *entries)
            entries = [0] * _ENTRIES
    directory = _padded(struct.pack(f"<{len(tables)}I", *tables))
    out += _marker(len(directory) // _SECTOR, _DIRECTORY)
    place = len(out) // _SECTOR
    out += directory
    return bytes(out + _marker(1, _FOOTER) + _header(sectors, place) + _marker(0, _END))


def made_by_qemu(image: Path, target: Path) -> Path:
    """Make a stream-optimized VMDK of a raw image with qemu-img, which writes the directory first and no end."""
    argv = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", image, target]
    subprocess.run(argv, check=True)
    return target


def _header(sectors: int, directory: int) -> bytes:
    fields = (b"KDMV", 3, 0x30001, sectors, _GRAIN, 1, 20, _ENTRIES, 0, directory, _GRAIN, 0, b"\n \r\n", 1)
    return _padded(struct.pack("<4sIIQQQQIQQQB4sH", *fields))


def _marker(sectors: int, kind: int) -> bytes:
    return _padded(struct.pack("<QII", sectors, 0, kind))


def _padded(data: bytes, sectors: int = 1) -> bytes:
    return data.ljust(-(-len(data) // (sectors * _SECTOR)) * sectors * _SECTOR, b"\0")
