# SPDX-License-Identifier: GPL-2.0-or-later
"""The work of one copy process: which disk, from where, to where, and how.

The copy step makes a ``CopyTask`` for each disk and passes it to a process of its own (``worker``) as JSON. A process
can be killed when another disk fails or the user interrupts the run; a thread cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class CopyPass(StrEnum):
    """What a copy process does.

    ``BASE`` copies the disk as the source has it, while the conversion works on its overlay. ``WHOLE`` makes the
    destination equal to the converted disk: it copies what no earlier pass has copied, and what the overlay holds.
    """

    BASE = "base"
    WHOLE = "whole"


@dataclass(frozen=True, kw_only=True)
class SourceEnd:
    """Where a disk is read.

    :param uri: the disk as the guest has it now (``in``).
    :param base: the disk as the source has it (``base``), read-only; None if only ``uri`` can be read.
    :param overlay: ``uri`` is an overlay above ``base`` and says which extents it holds (``qemu:allocation-depth``).
    :param file: a local raw image or block device that holds the bytes of ``base``; None if there is none.
    :param connections: the most connections that help; 0 if that is not known.
    :param identity: names the source; what the journal is bound to.
    :param version: changes whenever the content of the source changes; None if the source does not say.
    """

    uri: str
    base: str | None = None
    overlay: bool = False
    file: Path | None = None
    connections: int = 0
    identity: str = ""
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class DestinationEnd:
    """Where a disk is written.

    :param uri: the NBD server of the destination (``out``).
    :param file: the local raw image or block device that this server writes, which can be written directly; None if
        there is none.
    :param written: the local file of any format that the server writes; None if there is none. The kernel stores
        it while the copy goes on.
    :param sink: the mode of the output whose hook ``v2v_output_sink`` writes the disk; None for the NBD server.
    :param sink_directory: the private directory of that output. :param sink_state: what its setup has left.
    :param zeroed: it read as zeros when it was set up.
    :param allocation: ``sparse``, or ``preallocated``: zeros are written, too.
    :param request_size: bytes of a request that suit it best; None if that is not known.
    :param identity: names the destination, and this incarnation of it; what the journal is bound to.
    """

    uri: str
    file: Path | None = None
    written: Path | None = None
    sink: str | None = None
    sink_directory: Path | None = None
    sink_state: str = "{}"
    zeroed: bool = False
    allocation: str = "sparse"
    request_size: int | None = None
    identity: str = ""


@dataclass(frozen=True, kw_only=True)
class CopyLimits:
    """Limits of a copy.

    :param connections: connections to each NBD server; 0 for the choice of the engine.
    :param request_seconds: a request that is not answered for so long has failed.
    :param retries: how often a failed request is repeated, with growing pauses and on a new connection.
    :param bandwidth: the file that all copies of the run share to stay below a rate (``bandwidth``); None for no limit.
    """

    connections: int = 0
    request_seconds: float = 300.0
    retries: int = 5
    bandwidth: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CopyTask:
    """One disk to copy.

    :param size: virtual size in bytes.
    :param conversion: names the conversion whose result the overlay holds; "" before it has ended. What a journal says
        about the overlay of another conversion does not count.
    :param place: the directory of the journals and hashes (``copy/`` of the conversion directory).
    :param epoch: counts the processes that took the directory over (``locks``): a copy process of an earlier epoch
        must write nothing more.
    :param hashing: take a hash of each block; None to take them unless the file system shares the blocks of both ends
        (reflink), so that they need not be read. :param verify: read the destination back and compare.
    """

    index: int
    size: int
    source: SourceEnd
    destination: DestinationEnd
    place: Path
    copy_pass: CopyPass = CopyPass.WHOLE
    conversion: str = ""
    epoch: int = 0
    hashing: bool | None = None
    verify: bool = False
    limits: CopyLimits = CopyLimits()

    @property
    def journal(self) -> Path:
        """The journal of the disk (``journal``)."""
        return self.place / f"journal{self.index}"

    @property
    def hashes(self) -> Path:
        """The hashes of the blocks of the disk (``hashes``)."""
        return self.place / f"hashes{self.index}"

    @property
    def unhashed(self) -> Path:
        """A file that exists if an earlier process has copied blocks without taking their hashes."""
        return self.place / f"unhashed{self.index}"
