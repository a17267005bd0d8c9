# SPDX-License-Identifier: GPL-2.0-or-later
"""The hash tree of a disk: BLAKE3 of each block of 64 KiB, of each group of 64 blocks, and of all groups.

Blocks that are zeros have no hash in the file and cost nothing. 64 KiB is the cluster of a qcow2 overlay, so what the
conversion changed can be hashed again without reading anything else.
"""

from __future__ import annotations

from pathlib import Path

#: Bytes of a block. The last block of a disk may be shorter.
BLOCK = 64 * 1024
#: Blocks of a group.
GROUP = 64
#: The name of the algorithm in a report.
ALGORITHM = "blake3-64k"


class HashFile:
    """The hashes of one disk in a sparse file, 32 bytes for each block. Several threads may use it at once."""

    def __init__(self, path: Path, size: int) -> None:
        raise NotImplementedError

    def take(self, offset: int, data: memoryview) -> None:
        """Take the hashes of data.

        Where the data begins or ends inside a block, the rest of that block reads as zeros. A block of zeros is like
        one that was never taken.
        """
        raise NotImplementedError

    def zero(self, offset: int, length: int) -> None:
        """Take note that a range reads as zeros."""
        raise NotImplementedError

    def matches(self, offset: int, data: memoryview) -> list[int]:
        """Compare data with the hashes; return the offsets of the blocks that differ."""
        raise NotImplementedError

    def flush(self) -> None:
        """Make the hashes durable. Call it before the journal says that the blocks were written."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError
