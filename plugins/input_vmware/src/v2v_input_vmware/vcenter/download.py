# SPDX-License-Identifier: GPL-2.0-or-later
"""Download a disk of an export: one https stream, decoded into a raw image, from the start again after a fault.

The server makes the stream while it sends it, so that an interrupted one cannot be resumed.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import TEMPORARY_HINT, SourceError, amount, is_no_room, shortage
from v2v_input_vmware.vcenter.hosts import Sender
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.vmdk_stream import DamagedStream, WrongStream, decode

#: How often a stream is requested, and the seconds before the second request; they double.
ATTEMPTS = 5
DELAY = 2.0
#: Seconds without a byte. A host sends nothing while it reads what is zero, and a disk may have a terabyte of that.
READ_TIMEOUT = 900
_BLOCK = 256 * 1024
#: Bytes by which a stream may be longer than its disk, beside one part in 64.
_LONGER = 64 * 1024 * 1024
#: Answers that another request may not get.
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class Stopped(Exception):
    """The download was stopped from outside."""


@dataclass(frozen=True)
class Received:
    """What a complete stream was.

    :param size: bytes. :param digests: in hexadecimal, by the name of the algorithm.
    """

    size: int
    digests: dict[str, str]


class Download:
    """The download of one disk. ``run`` belongs to a thread of its own; the rest may be called from others.

    :param target: the raw image. :param say: called with lines for the log.
    """

    def __init__(
        self, index: int, disk: VmDisk, sender: Sender, target: Path, cookie: str | None, say: Callable[[str], None]
    ) -> None:
        self.index, self.disk, self.sender, self.target = index, disk, sender, target
        #: How far in the disk the stream has come, in bytes; it goes back to 0 when the stream begins again.
        self.position = 0
        self._cookie, self._say = cookie, say
        self._stopped = threading.Event()
        self._connection: http.client.HTTPSConnection | None = None

    @property
    def what(self) -> str:
        """The disk, as messages name it."""
        return f"{self.disk.label} ({self.disk.file})"

    def stop(self) -> None:
        """Make ``run`` end soon."""
        self._stopped.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> Received:
        """Download the disk.

        :raises SourceError: it could not be downloaded. :raises Stopped: ``stop`` was called.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once()
            except WrongStream as err:
                raise SourceError(
                    f"{self.what} cannot be read from {self.sender.host}: {err}", hint="use another transport (-it)"
                ) from err
            except (DamagedStream, OSError, http.client.HTTPException) as err:
                if self._stopped.is_set():
                    raise Stopped from err
                self._give_up_if_useless(err)
                if attempt == ATTEMPTS:
                    raise SourceError(
                        f"{self.what} could not be downloaded from {self.sender.host}, port {self.sender.port}, in "
                        f"{ATTEMPTS} attempts: {_reason(err)}",
                        hint=_hint(err, self.sender.host),
                    ) from err
                delay = DELAY * 2 ** (attempt - 1)
                self._say(
                    f"the download of {self.what} was interrupted at {amount(self.position)} of "
                    f"{amount(self.disk.size)}: {_reason(err)}; it begins again in {delay:.0f} s"
                )
                if self._stopped.wait(delay):
                    raise Stopped from err
        raise AssertionError("the last attempt returns or raises")

    def _give_up_if_useless(self, err: Exception) -> None:
        """:raises SourceError: another attempt does not help."""
        if is_no_room(err):
            place = self.target.parent
            raise SourceError(
                f"{self.what} cannot be stored: {shortage(place)}; {amount(self.disk.size - self.position)} of the "
                f"disk's {amount(self.disk.size)} were still to be read",
                hint=TEMPORARY_HINT,
            ) from err
        if isinstance(err, ssl.SSLCertVerificationError):
            raise SourceError(
                f"the certificate of {self.sender.host}, which sends {self.what}, is not trusted: {err.verify_message}",
                hint="name the certificate of its authority with -io ca-file=FILE (vCenter has that of its ESXi hosts "
                "at /certs/download.zip)",
            ) from err

    def _once(self) -> Received:
        self.position = 0
        connection = self.sender.connect(READ_TIMEOUT)
        self._connection = connection
        try:
            if self._stopped.is_set():
                raise Stopped
            headers = {"Cookie": self._cookie} if self._cookie is not None else {}
            connection.request("GET", self.sender.path, headers=headers)
            with connection.getresponse() as answer:
                self._check_status(answer.status)
                stream = _Stream(answer, self.disk.size, self._stopped)
                self._decode(stream)
                stream.drain()
                return Received(stream.size, stream.digests())
        finally:
            self._connection = None
            connection.close()

    def _check_status(self, status: int) -> None:
        if status == http.client.OK:
            return
        if status in _AGAIN:
            raise _Busy(f"HTTP status {status}")
        raise SourceError(
            f"{self.what} cannot be read from {self.sender.host}: HTTP status {status}",
            hint="the server may have ended the export: look at the recent tasks in the vSphere Client",
        )

    def _decode(self, stream: _Stream) -> None:
        descriptor = os.open(self.target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self.disk.size)

            def write(offset: int, data: bytes) -> None:
                view = memoryview(data)
                while view:
                    written = os.pwrite(descriptor, view, offset)
                    view, offset = view[written:], offset + written
                self.position = offset

            decode(stream, self.disk.size, write)
            os.fdatasync(descriptor)
            self.position = self.disk.size
        finally:
            os.close(descriptor)


class _Busy(OSError):
    """The server does not send the disk now."""


class _Stream:
    """The body of an answer: counted, limited and hashed."""

    def __init__(self, answer: http.client.HTTPResponse, disk: int, stopped: threading.Event) -> None:
        self._answer, self._stopped = answer, stopped
        self._announced = answer.length
        self._most = disk + disk // 64 + _LONGER
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha1", "sha256")}
        self._block, self._at = b"", 0
        self.size = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        block, at = self._block, self._at
        if at + size <= len(block):
            self._at = at + size
            return block[at : at + size]
        parts, left = [block[at:]], size - (len(block) - at)
        self._block, self._at = b"", 0
        while left and (fresh := self._fresh()):
            parts.append(fresh[:left])
            if len(fresh) > left:
                self._block, self._at = fresh, left
            left -= len(parts[-1])
        return b"".join(parts)

    def drain(self) -> None:
        """Read what follows the end of the disk.

        :raises DamagedStream: there is less than the server announced.
        """
        while self._fresh():
            pass
        if self._announced is not None and self.size != self._announced:
            raise DamagedStream(f"it ends after {self.size} of {self._announced} bytes")

    def digests(self) -> dict[str, str]:
        """Return the digests of all that was received."""
        return {name: found.hexdigest() for name, found in self._hashes.items()}

    def _fresh(self) -> bytes:
        data = self._answer.read(_BLOCK)
        if self._stopped.is_set():
            raise Stopped
        self.size += len(data)
        if self.size > self._most:
            raise WrongStream(f"it is longer than {self._most} bytes")
        for each in self._hashes.values():
            each.update(data)
        return data


def _reason(err: Exception) -> str:
    if isinstance(err, TimeoutError):
        return f"no data for {READ_TIMEOUT} s"
    if isinstance(err, http.client.IncompleteRead | ConnectionError):
        return "the connection was cut"
    return getattr(err, "strerror", None) or str(err) or type(err).__name__


def _hint(err: Exception, host: str) -> str:
    if isinstance(err, _Busy):
        return (
            "a vCenter serves 52 connections of this kind (NFC) at once, for backups and migrations together: wait for "
            "some to end, or lower -io export-parallel"
        )
    if isinstance(err, socket.gaierror):
        return f"this machine must be able to resolve and reach {host}: the ESXi host sends its disks itself"
    if isinstance(err, DamagedStream):
        return "look at the network between the hosts, and at the datastore of the disk in the vSphere Client"
    return f"this machine must reach {host} on this port: the ESXi host sends its disks itself; look at its logs"
