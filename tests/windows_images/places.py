# SPDX-License-Identifier: GPL-2.0-or-later
"""How Windows names a partition: by the disk's signature and an offset, or by the identifiers of GPT."""

from __future__ import annotations

import dataclasses
import struct
import uuid


@dataclasses.dataclass(frozen=True)
class MbrPlace:
    """A partition of a disk with an MBR.

    :param start: its first sector. :param signature: of the disk.
    """

    start: int
    signature: int

    @property
    def mounted_device(self) -> bytes:
        """Return what MountedDevices says of it."""
        return struct.pack("<IQ", self.signature, self.start * 512)


@dataclasses.dataclass(frozen=True)
class GptPlace:
    """A partition of a disk with a GPT, and the disk, by their identifiers.

    :param start: its first sector.
    """

    start: int
    partition: str
    disk: str

    @property
    def mounted_device(self) -> bytes:
        """Return what MountedDevices says of it."""
        return b"DMIO:ID:" + uuid.UUID(self.partition).bytes_le


Place = MbrPlace | GptPlace
