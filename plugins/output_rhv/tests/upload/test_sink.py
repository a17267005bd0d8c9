# SPDX-License-Identifier: GPL-2.0-or-later
"""The sink that core writes a disk through, against the real daemon, through a relay that can be cut."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageio_daemon import ImageioDaemon, exported, exported_full
from v2v_core.api import DestinationError, Fill, SourceError
from v2v_core.testing import Relay, relay_to
from v2v_output_rhv.upload.address import Address, address_file, read_address, write_address
from v2v_output_rhv.upload.sink import ImageioSink, open_sink

MIB = 1024 * 1024
SIZE = 32 * MIB
OLD = b"\xee"


@dataclass
class Upload:
    """A disk with other data, its ticket, and the directory in which setup has left its address."""

    daemon: ImageioDaemon
    wire: Relay
    directory: Path
    image: Path
    ticket: str

    def address(self, ticket: str | None = None) -> None:
        """Write the address of a ticket, that of the disk if none is given."""
        url = self.daemon.url(ticket or self.ticket).replace(f":{self.daemon.port}/", f":{self.wire.port}/")
        address = Address(url=url, ca_file=str(self.daemon.certificates.authority))
        write_address(address_file(self.directory, 1), address)


@pytest.fixture
def upload(daemon: ImageioDaemon, tmp_path: Path) -> Iterator[Upload]:
    daemon.start()
    image = tmp_path / "disk"
    image.write_bytes(OLD * SIZE)
    with relay_to(daemon.port) as wire:
        made = Upload(daemon, wire, tmp_path, image, daemon.add_ticket(f"file://{image}", SIZE))
        made.address()
        yield made


@pytest.fixture
def sink(upload: Upload) -> Iterator[ImageioSink]:
    made = open_sink(upload.directory, 1, 0)
    yield made
    made.close()


def reading(content: bytes, offset: int = 0, then: Callable[[int], None] = lambda _given: None) -> Fill:
    """Return a fill that reads from a content; ``then`` is called with the number of bytes that were read before."""
    given = 0

    def fill(buffer: memoryview) -> None:
        nonlocal given
        then(given)
        buffer[:] = content[offset + given : offset + given + len(buffer)]
        given += len(buffer)

    return fill


@pytest.mark.parametrize(("wanted", "backing", "offered"), [(0, "nbd", 4), (2, "nbd", 2), (0, "file", 1)])
def test_it_offers_what_the_daemon_allows(
    upload: Upload, tmp_path: Path, wanted: int, backing: str, offered: int
) -> None:
    """The daemon lets a file be written over one connection only."""
    with exported(upload.image, "raw", tmp_path / "disk.sock") as url:
        if backing == "nbd":
            upload.address(upload.daemon.add_ticket(url, SIZE))
        sink = open_sink(upload.directory, 1, wanted)
        assert (sink.connections, sink.longest, sink.readable) == (offered, 64 * MIB, True)
        sink.close()


def test_what_is_written_can_be_read_back(sink: ImageioSink, upload: Upload) -> None:
    content = bytearray(OLD * SIZE)
    content[:MIB], content[5 * MIB : 29 * MIB] = os.urandom(MIB), os.urandom(24 * MIB)
    content[2 * MIB : 4 * MIB] = bytes(2 * MIB)
    sink.write(0, memoryview(content)[:MIB])
    sink.zero(2 * MIB, 2 * MIB)
    sink.write_from(5 * MIB, 24 * MIB, reading(bytes(content), 5 * MIB))
    sink.flush()
    assert upload.image.read_bytes() == content
    buffer = bytearray(SIZE)
    sink.read(0, memoryview(buffer))
    assert buffer == content


PIECES = st.lists(
    st.tuples(st.sampled_from(["write", "stream", "zero"]), st.integers(0, SIZE // 512 - 1), st.integers(1, 20_000)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES)
def test_any_calls_give_what_a_file_would(
    sink: ImageioSink, upload: Upload, pieces: list[tuple[str, int, int]]
) -> None:
    expected = bytearray(upload.image.read_bytes())
    for kind, sector, sectors in pieces:
        offset = sector * 512
        length = min(sectors * 512, SIZE - offset)
        data = bytes(length) if kind == "zero" else os.urandom(length)
        expected[offset : offset + length] = data
        if kind == "zero":
            sink.zero(offset, length)
        elif kind == "write":
            sink.write(offset, memoryview(data))
        else:
            sink.write_from(offset, length, reading(data))
    sink.flush()
    assert upload.image.read_bytes() == expected


def test_threads_write_at_the_same_time(upload: Upload, tmp_path: Path) -> None:
    content = os.urandom(SIZE)
    parts = range(0, SIZE, SIZE // 8)
    failures: list[BaseException] = []

    def write(offset: int) -> None:
        try:
            sink.write_from(offset, SIZE // 8, reading(content, offset))
            sink.flush()
        except BaseException as err:
            failures.append(err)

    with exported(upload.image, "raw", tmp_path / "disk.sock") as url:
        upload.address(upload.daemon.add_ticket(url, SIZE))
        sink = open_sink(upload.directory, 1, 0)
        threads = [threading.Thread(target=write, args=(offset,)) for offset in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        sink.close()
    assert not failures
    assert upload.image.read_bytes() == content


def test_long_request_that_was_cut_is_repeated_in_small_ones(upload: Upload) -> None:
    """The first try fails, as core must read the data again; the second one goes on as soon as the wire is back."""
    # one connection: the buffers of long requests are larger than a small request
    sink = open_sink(upload.directory, 1, 1)
    content = os.urandom(SIZE)

    def cut(given: int) -> None:
        if given >= 8 * MIB:
            upload.wire.cut(seconds=1)

    with pytest.raises(OSError, match="the connection to ovirt-imageio is broken"):
        sink.write_from(0, SIZE, reading(content, 0, cut))
    lengths: list[int] = []

    def note(buffer: memoryview) -> None:
        given = sum(lengths)
        buffer[:] = content[given : given + len(buffer)]
        lengths.append(len(buffer))

    sink.write_from(0, SIZE, note)
    sink.flush()
    assert upload.image.read_bytes() == content
    assert max(lengths) <= 2 * MIB
    # it is forgotten: the next long request is long
    lengths.clear()
    sink.write_from(0, SIZE, note)
    assert max(lengths) > 2 * MIB
    sink.close()


def test_source_that_fails_in_a_request_is_reported_as_it_is(sink: ImageioSink, upload: Upload) -> None:
    """The sink must neither hide the error nor take it for one of its own, and it can still be used."""
    broken = SourceError("the source cannot be read at 8388608")

    def fail(given: int) -> None:
        if given >= 8 * MIB:
            raise broken

    with pytest.raises(SourceError) as failed:
        sink.write_from(0, SIZE, reading(bytes(SIZE), 0, fail))
    assert failed.value is broken
    sink.write(0, memoryview(b"x" * 512))
    sink.flush()
    assert upload.image.read_bytes()[:512] == b"x" * 512


def test_refused_ticket_is_final(sink: ImageioSink, upload: Upload) -> None:
    """Nothing is repeated, and the ticket is in no text."""
    upload.daemon.extend_ticket(upload.ticket, 0)
    content = memoryview(bytes(MIB))
    calls: list[Callable[[], None]] = [
        lambda: sink.write(0, content),
        lambda: sink.zero(0, MIB),
        lambda: sink.write_from(0, MIB, reading(bytes(MIB))),
        lambda: sink.read(0, memoryview(bytearray(512))),
        sink.flush,
    ]
    for call in calls:
        with pytest.raises(DestinationError, match="its ticket has expired") as refused:
            call()
        assert refused.value.hint
        assert upload.ticket not in refused.value.message


def test_full_storage_is_told_by_the_second_try(upload: Upload, tmp_path: Path) -> None:
    """The daemon fails in the middle of a long request, and its message can be lost."""
    full = tmp_path / "full"
    full.write_bytes(bytes(SIZE))
    with exported_full(full, tmp_path / "full.sock") as url:
        upload.address(upload.daemon.add_ticket(url, SIZE))
        sink = open_sink(upload.directory, 1, 0)
        content = os.urandom(SIZE)
        with pytest.raises(OSError, match="ovirt-imageio"):
            sink.write_from(0, SIZE, reading(content))
        with pytest.raises(DestinationError, match=r"ovirt-imageio failed .*perhaps the storage is full"):
            sink.write_from(0, SIZE, reading(content))
        sink.close()


def test_unknown_ticket(upload: Upload) -> None:
    ticket = "6a3b2b0e-93a5-4b7a-9a5b-000000000000"
    upload.address(ticket)
    with pytest.raises(DestinationError, match="ovirt-imageio refuses") as refused:
        open_sink(upload.directory, 1, 0)
    assert ticket not in refused.value.message


def test_address_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="the address that the data of disk 3 is sent to cannot be read"):
        open_sink(tmp_path, 3, 0)


def test_address_is_private_to_this_user(tmp_path: Path) -> None:
    address = Address(url="https://host/images/ticket", proxy_url="https://engine/images/ticket", verify=False)
    path = address_file(tmp_path, 3)
    write_address(path, address)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_address(path) == address
    assert "ticket" not in repr(address)
