# SPDX-License-Identifier: GPL-2.0-or-later
"""The hooks of copiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from v2v_core.events import Reporter
from v2v_core.hookspecs.common import hookspec
from v2v_core.model import DiskEndpoint


@dataclass(frozen=True, kw_only=True)
class CopyRequest:
    """One disk to copy, NBD to NBD.

    :param allocation: ``sparse``, or ``preallocated``: zeros are written, too.
    :param request_size: size of a request that suits the destination best, in bytes; None for the copier's choice.
    :param connections: number of NBD connections; 0 for the copier's choice.
    :param zeroed: the destination is known to read as zeros.
    :param output_directory: the ``OutputSetupRequest.directory`` of the output. A copier that belongs to the output
        finds there the files that setup has left for it.
    """

    index: int
    source: DiskEndpoint
    destination: DiskEndpoint
    report: Reporter = field(repr=False)
    allocation: str = "sparse"
    request_size: int | None = None
    connections: int = 0
    zeroed: bool = False
    output_directory: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CopyResult:
    """One disk was copied and flushed.

    :param size: virtual size in bytes.
    :param copied: bytes that were read and written; None if the copier does not say.
    :param zeroed: bytes that were zeroed.
    :param digest: root of the hash tree of the disk, in hexadecimal (``v2v_core.copying.hashes``); None if no hashes
        were taken.
    :param verified: the destination was read back and holds what the source has.
    """

    index: int
    size: int
    copied: int | None = None
    zeroed: int | None = None
    digest: str | None = None
    verified: bool = False


class CopyHooks(Protocol):
    """The role ``copy``: copies the data of one disk from ``in`` to ``out``."""

    @hookspec(firstresult=True)
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk and flush it. May be called for several disks at once, from several threads.

        Example::

            @hookimpl
            def v2v_copy(self, request: CopyRequest) -> CopyResult:
                run_program(["nbdcopy", "--flush", request.source.uri, request.destination.uri])
                return CopyResult(index=request.index, size=request.source.size)

        :raises CopyError: naming the disk.
        """
        ...
