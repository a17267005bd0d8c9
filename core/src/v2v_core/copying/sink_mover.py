# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves pieces to a sink: one thread for each call that the sink can take at once, with its own connections."""

from __future__ import annotations

import time
from functools import partial

from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.file_end import FileEnd
from v2v_core.copying.hashes import BLOCK, HashFile
from v2v_core.copying.job import CopyFailed, Job
from v2v_core.copying.messages import Cause
from v2v_core.copying.nbd_end import Lost, NbdEnd, answer_of
from v2v_core.copying.sink import Sink
from v2v_core.errors import V2VError
from v2v_core.space import is_no_room

#: Bytes that are read to find out whether data begins with zeros, as on a disk whose server reports no holes.
_PROBE = 256 * 1024


class SinkMover:
    """Moves pieces in one thread.

    :param base: where pieces of the base are read. :param now: where all others are read.
    """

    def __init__(self, job: Job, base: NbdEnd | FileEnd, now: NbdEnd, sink: Sink) -> None:
        self._job = job
        self._base, self._now, self._sink = base, now, sink
        self._probe = memoryview(bytearray(_PROBE))

    def run(self) -> None:
        """Move pieces until there are no more, or the copy is to end. Failures end up in the job."""
        try:
            while True:
                taken = self._job.next_piece()
                if taken is not None:
                    self._move(*taken)
                elif self._job.over():
                    return
                else:
                    time.sleep(0.05)
        except CopyFailed as err:
            self._job.fail(err)
        except Exception as err:
            self._job.fail(CopyFailed(f"{type(err).__name__}: {err}", Cause.OTHER))
            raise
        finally:
            for end in (self._base, self._now):
                if isinstance(end, NbdEnd):
                    end.close()

    def _move(self, piece: Piece, failures: int) -> None:
        at, job = piece.offset, self._job
        try:
            job.check_fence()
            if piece.kind.is_data:
                self._data(piece)
            else:
                if job.hashes is not None:
                    job.hashes.zero(at, piece.length)
                self._sink.zero(at, piece.length)
        except CopyFailed as err:
            if err.cause is not Cause.SOURCE:
                job.put_back(piece)
                raise
            job.repeat(piece, failures, err)
        except V2VError as err:
            job.put_back(piece)
            raise CopyFailed(err.message, Cause.DESTINATION, offset=at, hint=err.hint) from err
        except OSError as err:
            reason = f"the destination cannot be written at byte {at}: {err.strerror or err}"
            if is_no_room(err):
                job.put_back(piece)
                raise CopyFailed(reason, Cause.FULL, offset=at) from err
            job.repeat(piece, failures, CopyFailed(reason, Cause.DESTINATION, offset=at))
        else:
            job.moved(piece)

    def _data(self, piece: Piece) -> None:
        """Write a piece of data. Zeros at its beginning are written as zeros."""
        stream = _HashStream(self._job.hashes, piece.offset)
        at, head = piece.offset, memoryview(b"")
        while self._job.sparse and at < piece.end:
            head = self._probe[: min(_PROBE, piece.end - at)]
            self._read(piece.kind, at, head)
            stream.feed(head)
            if any(head[:16]) or head.tobytes() != bytes(len(head)):
                break
            at, head = at + len(head), memoryview(b"")
        if at > piece.offset and not self._job.skip_zeros:
            self._sink.zero(piece.offset, at - piece.offset)
        if at < piece.end:
            self._write(piece, at, head, stream)
        stream.finish()

    def _write(self, piece: Piece, at: int, head: memoryview, stream: _HashStream) -> None:
        done = 0

        def fill(buffer: memoryview) -> None:
            nonlocal done
            known = head[done : done + len(buffer)]
            buffer[: len(known)] = known
            rest = buffer[len(known) :]
            if rest:
                self._read(piece.kind, at + done + len(known), rest)
                stream.feed(rest)
            done += len(buffer)

        self._sink.write_from(at, piece.end - at, fill)

    def _read(self, kind: Kind, offset: int, buffer: memoryview) -> None:
        """Fill a buffer.

        :raises CopyFailed: the source cannot be read.
        """
        self._job.bandwidth.wait_for(len(buffer))
        source = self._base if kind is Kind.BASE else self._now
        try:
            if isinstance(source, FileEnd):
                source.read(offset, buffer)
            else:
                answer_of(source, partial(source.read, offset, buffer))
        except Lost as err:
            raise CopyFailed(
                f"the connection to the source is lost: {err.reason}", Cause.SOURCE, offset=offset
            ) from err
        except OSError as err:
            reason = f"the source cannot be read at byte {offset}: {err.strerror or err}"
            raise CopyFailed(reason, Cause.SOURCE, offset=offset) from err


class _HashStream:
    """Takes the hashes of one piece that comes in parts of any length."""

    def __init__(self, hashes: HashFile | None, offset: int) -> None:
        self._hashes = hashes
        self._offset = offset
        self._rest = b""

    def feed(self, data: memoryview) -> None:
        """Take the hashes of the blocks that are complete now."""
        if self._hashes is None:
            return
        if self._rest:
            missing = BLOCK - (self._offset + len(self._rest)) % BLOCK
            self._rest += data[:missing].tobytes()
            data = data[missing:]
            if (self._offset + len(self._rest)) % BLOCK:
                return
            self._take(memoryview(self._rest))
            self._rest = b""
        whole = max(0, (self._offset + len(data)) // BLOCK * BLOCK - self._offset)
        if whole:
            self._take(data[:whole])
        self._rest = data[whole:].tobytes()

    def finish(self) -> None:
        """Take the hash of the last block, which zeros follow."""
        if self._rest:
            self._take(memoryview(self._rest))
            self._rest = b""

    def _take(self, data: memoryview) -> None:
        if self._hashes is not None:
            self._hashes.take(self._offset, data)
        self._offset += len(data)
