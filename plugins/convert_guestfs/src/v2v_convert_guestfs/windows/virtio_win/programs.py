# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the head of a Windows program or driver (PE): its machine, and the hash that catalogues have of it.

Only the fields that are needed are read, each within the bounds of the file.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

#: The machine types of drivers, by libguestfs's names of architectures.
MACHINES = {"i386": 0x014C, "x86_64": 0x8664, "aarch64": 0xAA64}
#: The same in words.
MACHINE_NAMES = {
    0x014C: "32-bit x86",
    0x8664: "64-bit x86",
    0xAA64: "64-bit ARM",
    0x01C4: "32-bit ARM",
    0x0200: "Itanium",
}
NATIVE = 1
_HEAD, _OPTIONAL = 24, {0x10B: 96, 0x20B: 112}


@dataclass(frozen=True)
class Program:
    """A PE file.

    :param version: of Windows that it needs at least. :param subsystem: 1 (``NATIVE``) for drivers.
    :param complete: the file has all bytes of its sections. :param signed: it carries a signature of its own.
    """

    machine: int
    version: tuple[int, int]
    subsystem: int
    complete: bool
    signed: bool
    _checksum: int
    _security: int
    _signature: int

    def machine_name(self) -> str:
        """Return the machine in words."""
        return MACHINE_NAMES.get(self.machine, f"an unknown machine ({self.machine:#06x})")

    def digest(self, data: bytes, algorithm: str) -> bytes:
        """Return the hash that a catalogue has of it: without its checksum and its own signature.

        :param data: the same file. :param algorithm: ``sha1`` or ``sha256``.
        """
        end = self._signature if self.signed else len(data)
        digest = hashlib.new(algorithm, usedforsecurity=False)
        digest.update(data[: self._checksum])
        digest.update(data[self._checksum + 4 : self._security])
        digest.update(data[self._security + 8 : end])
        digest.update(bytes(-end % 8))
        return digest.digest()


def read_program(data: bytes) -> Program | None:
    """Read the head of a PE file; return None if it is none."""
    try:
        return _read(data)
    except struct.error:
        return None


def _read(data: bytes) -> Program | None:
    if data[:2] != b"MZ":
        return None
    (head,) = struct.unpack_from("<I", data, 0x3C)
    if data[head : head + 4] != b"PE\0\0":
        return None
    machine, sections = struct.unpack_from("<HH", data, head + 4)
    (size,) = struct.unpack_from("<H", data, head + 20)
    optional = head + _HEAD
    (magic,) = struct.unpack_from("<H", data, optional)
    if magic not in _OPTIONAL:
        return None
    version = struct.unpack_from("<HH", data, optional + 48)
    (subsystem,) = struct.unpack_from("<H", data, optional + 68)
    directories = optional + _OPTIONAL[magic]
    (count,) = struct.unpack_from("<I", data, directories - 4)
    security = directories + 4 * 8
    signature, length = struct.unpack_from("<II", data, security) if count > 4 else (0, 0)
    complete = signature + length <= len(data)
    for number in range(min(sections, 96)):
        raw, place = struct.unpack_from("<II", data, optional + size + number * 40 + 16)
        complete = complete and place + raw <= len(data)
    return Program(
        machine=machine,
        version=(version[0], version[1]),
        subsystem=subsystem,
        complete=complete,
        signed=bool(length) and security < signature <= len(data),
        _checksum=optional + 64,
        _security=security,
        _signature=signature,
    )


def file_digest(data: bytes, algorithm: str) -> bytes:
    """Return the hash that a catalogue has of any file."""
    program = read_program(data)
    if program is not None:
        return program.digest(data, algorithm)
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()
