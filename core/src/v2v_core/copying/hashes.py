# SPDX-License-Identifier: GPL-2.0-or-later
"""The hash tree of a disk: BLAKE3 of each block of 64 KiB, of each group of 64 blocks, and of all groups.

Blocks of zeros have no hash in the file and cost nothing. 64 KiB is the cluster of a qcow2 overlay, so what the
conversion changed can be hashed again without reading anything else. The last block of a disk is hashed as if zeros
followed it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a block.
BLOCK = 64 * 1024
#: Blocks of a group.
GROUP = 64
#: The name of the algorithm in a report.
ALGORITHM = "blake3-64k"

_DIGEST = 32
#: Stands for a block of zeros.
_ZERO_DIGEST = bytes(_DIGEST)
_ZERO_BLOCK = bytes(BLOCK)
#: Bytes of the file that hold the hashes of one group.
_GROUP_BYTES = GROUP * _DIGEST


class HashFile:
    """The hashes of one disk in a sparse file, 32 bytes for each block. Several threads may use it at once."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, -(-size // BLOCK) * _DIGEST)

    def take(self, offset: int, data: memoryview) -> None:
        """Take the hashes of data.

        Where the data begins or ends inside a block, the rest of that block reads as zeros. A block of zeros is like
        one that was never taken.
        """
        os.pwrite(self._descriptor, digests(offset, data), offset // BLOCK * _DIGEST)

    def zero(self, offset: int, length: int) -> None:
        """Take note that a range reads as zeros. Blocks that are only partly in the range keep their hashes.

        Data in the same block has hashed the rest of it as zeros, see ``take``.
        """
        first, last = -(-offset // BLOCK), (offset + length) // BLOCK
        if offset + length == self.size:
            last = -(-self.size // BLOCK)
        step = 1024 * 1024
        at, end = first * _DIGEST, last * _DIGEST
        while at < end:
            found = _next_data(self._descriptor, at, end)
            if found is None:
                break
            at = found
            count = min(step, end - at)
            os.pwrite(self._descriptor, bytes(count), at)
            at += count

    def matches(self, offset: int, data: memoryview) -> list[int]:
        """Compare data with the hashes; return the offsets of the blocks that differ."""
        found = digests(offset, data)
        first = offset // BLOCK
        known = os.pread(self._descriptor, len(found), first * _DIGEST)
        if known == found:
            return []
        return [
            (first + at // _DIGEST) * BLOCK
            for at in range(0, len(found), _DIGEST)
            if known[at : at + _DIGEST] != found[at : at + _DIGEST]
        ]

    def known(self, offset: int) -> bool:
        """Return whether there is a hash of the block at an offset: it was taken, and the block is not all zeros."""
        return any(os.pread(self._descriptor, _DIGEST, offset // BLOCK * _DIGEST))

    def groups(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and digest of each group of blocks that are not all zeros, in order."""
        end = -(-self.size // BLOCK) * _DIGEST
        at: int | None = 0
        while at is not None and (at := _next_data(self._descriptor, at, end)) is not None:
            number = at // _GROUP_BYTES
            leaves = os.pread(self._descriptor, _GROUP_BYTES, number * _GROUP_BYTES)
            if any(leaves):
                yield number, group_digest(leaves)
            at = (number + 1) * _GROUP_BYTES

    def root(self) -> str:
        """Return the root of the tree in hexadecimal."""
        return root_of(self.size, self.groups())

    def flush(self) -> None:
        """Make the hashes durable. Call it before the journal says that the blocks were written."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def digests(offset: int, data: memoryview) -> bytes:
    """Return the digests of the blocks that data touches; 32 zero bytes for one that is all zeros."""
    from blake3 import blake3

    found = []
    end = offset + len(data)
    at = offset - offset % BLOCK
    while at < end:
        part = data[max(0, at - offset) : at + BLOCK - offset]
        whole: memoryview | bytes = part
        if len(part) < BLOCK:
            # zeros before and behind it
            whole = bytes(max(0, offset - at)) + part.tobytes()
            whole += bytes(BLOCK - len(whole))
        if not whole[0] and not whole[-1] and bytes(whole) == _ZERO_BLOCK:
            found.append(_ZERO_DIGEST)
        else:
            found.append(blake3(whole).digest())
        at += BLOCK
    return b"".join(found)


def group_digest(leaves: bytes) -> bytes:
    """Return the digest of a group, of the digests of its blocks."""
    from blake3 import blake3

    return blake3(leaves).digest()


def root_of(size: int, groups: Iterator[tuple[int, bytes]]) -> str:
    """Return the root of a tree in hexadecimal.

    :param groups: number and digest of each group that is not all zeros, in order.
    """
    from blake3 import blake3

    root = blake3(size.to_bytes(8, "little"))
    for number, digest in groups:
        root.update(number.to_bytes(8, "little") + digest)
    return root.hexdigest()


def _next_data(descriptor: int, at: int, end: int) -> int | None:
    """Return where a file may hold something other than zeros, from an offset on; None if nowhere before the end."""
    if at >= end:
        return None
    try:
        found = os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError:
        return None
    return found if found < end else None
