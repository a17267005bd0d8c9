# SPDX-License-Identifier: GPL-2.0-or-later
"""A BitLocker volume of our own making (AES-XTS 128) that a recovery password opens, around any volume."""

from __future__ import annotations

import struct
import uuid
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

RECOVERY_PASSWORD = "-".join(f"{11 * number:06}" for number in (1111, 2222, 3333, 4444, 5555, 6666, 7777, 8888))
_SECTOR, _AREA, _HEADER = 512, 65536, 8192
_SALT, _MASTER_KEY, _VOLUME_KEY = bytes(range(16)), bytes(range(32, 64)), bytes(range(64, 96))
_XTS_128, _NORMAL, _RECOVERY, _TPM = 0x8004, 4, 0x0800, 0x0100


def encrypted(volume: bytes, place: int) -> bytes:
    """Return the volume encrypted. From ``place`` on, it must have 200 KiB of zeros for the metadata."""
    assert not any(volume[place : place + 3 * _AREA + _HEADER])
    header_at = place + 3 * _AREA
    disk = bytearray(len(volume))
    for start in range(0, len(volume), _SECTOR):
        disk[start : start + _SECTOR] = _sector(volume[start : start + _SECTOR], start // _SECTOR)
    for start in range(0, _HEADER, _SECTOR):
        # The beginning of the volume is elsewhere, and encrypted as what is there.
        moved = header_at + start
        disk[moved : moved + _SECTOR] = _sector(volume[start : start + _SECTOR], moved // _SECTOR)
    metadata = _metadata(len(volume), place, header_at)
    for copy in range(3):
        disk[place + copy * _AREA : place + (copy + 1) * _AREA] = metadata
    header = bytearray(_HEADER)
    header[:11] = b"\xeb\x58\x90-FVE-FS-"
    struct.pack_into("<HB", header, 11, _SECTOR, 8)
    header[160:176] = uuid.UUID("4967D63B-2E29-4AD8-8399-F6A339E3D001").bytes_le
    struct.pack_into("<3Q", header, 176, place, place + _AREA, place + 2 * _AREA)
    header[510:512] = b"\x55\xaa"
    disk[:_HEADER] = header
    return bytes(disk)


def _sector(content: bytes, number: int) -> bytes:
    encryptor = Cipher(algorithms.AES(_VOLUME_KEY), modes.XTS(number.to_bytes(16, "little"))).encryptor()
    return encryptor.update(content) + encryptor.finalize()


def _metadata(size: int, place: int, header_at: int) -> bytes:
    stretched = _entry(0, 3, struct.pack("<I", 0x1000) + _SALT)
    recovery = stretched + _sealed(0, _MASTER_KEY, _stretch())
    entries = (
        _entry(7, 2, "PHONY C: 2026\0".encode("utf-16-le"))
        + _entry(2, 8, _master(_TPM) + _entry(0, 6, bytes(16)))
        + _entry(2, 8, _master(_RECOVERY) + recovery)
        + _sealed(3, _VOLUME_KEY, _MASTER_KEY)
        + _entry(15, 15, struct.pack("<QQ", header_at, _HEADER))
    )
    length = 48 + len(entries)
    block = struct.pack("<8sHHHHQII", b"-FVE-FS-", 64, 2, _NORMAL, _NORMAL, size, 0, _HEADER // _SECTOR)
    block += struct.pack("<4Q", place, place + _AREA, place + 2 * _AREA, header_at)
    block += struct.pack("<IIII16sIHHQ", length, 1, 48, length, uuid.uuid4().bytes_le, 10, _XTS_128, 0, 1 << 57)
    return (block + entries).ljust(_AREA, b"\0")


def _entry(kind: int, value: int, content: bytes) -> bytes:
    return struct.pack("<HHHH", 8 + len(content), kind, value, 1) + content


def _master(protection: int) -> bytes:
    return struct.pack("<16sQHH", uuid.uuid4().bytes_le, 1 << 57, 0, protection)


def _sealed(kind: int, key: bytes, by: bytes) -> bytes:
    """Return an entry with a key that another one encrypts. The nonce is never used with that one again."""
    nonce = bytes(11) + bytes([kind])
    content = struct.pack("<HHII", 12 + len(key), 1, 0x2000, 0) + key
    sealed = AESCCM(by, tag_length=16).encrypt(nonce, content, None)
    return _entry(kind, 5, nonce + sealed[-16:] + sealed[:-16])


def _stretch() -> bytes:
    """Return the key that BitLocker makes from a recovery password, with a million rounds of SHA-256."""
    numbers = [int(part) // 11 for part in RECOVERY_PASSWORD.split("-")]
    initial, last = sha256(struct.pack("<8H", *numbers)).digest(), bytes(32)
    tail = initial + _SALT
    for count in range(0x100000):
        last = sha256(last + tail + count.to_bytes(8, "little")).digest()
    return last
