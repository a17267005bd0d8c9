# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections to the real daemon of ovirt-imageio: which failures are retried, which are final, keep-alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageio_daemon import ImageioDaemon, exported
from v2v_core.testing import Certificates, Relay, relay_to
from v2v_output_rhv.upload.connections import Connections, Policy, Refused

MIB = 1024 * 1024
SIZE = 4 * MIB
QUICK = Policy(patience=8, first_pause=0.05, longest_pause=0.2)


@dataclass
class Upload:
    """A disk, its ticket, and connections to it through a relay that can be cut."""

    daemon: ImageioDaemon
    wire: Relay
    image: Path
    ticket: str

    def open(self, policy: Policy = QUICK, **more: Any) -> Connections:
        """Connect."""
        from ovirt_imageio import client

        url = self.daemon.url(self.ticket).replace(f":{self.daemon.port}/", f":{self.wire.port}/")
        arguments = {"cafile": str(self.daemon.certificates.authority), **more}
        connections = Connections(
            lambda: client.ImageioClient(url, **arguments), secrets=(url, self.ticket), policy=policy
        )
        connections.start()
        return connections


@pytest.fixture
def upload(daemon: ImageioDaemon, tmp_path: Path) -> Iterator[Upload]:
    daemon.start()
    image = tmp_path / "disk"
    image.write_bytes(b"\xff" * SIZE)
    with relay_to(daemon.port) as wire:
        yield Upload(daemon, wire, image, daemon.add_ticket(f"file://{image}", SIZE))


@pytest.fixture
def connections(upload: Upload) -> Iterator[Connections]:
    made = upload.open()
    yield made
    made.stop()


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_write_zero_flush_read(connections: Connections, upload: Upload) -> None:
    connections.write(4096, b"data" * 1024)
    connections.zero(1024 * 1024, 4096)
    connections.flush()
    content = upload.image.read_bytes()
    assert content[4096:8192] == b"data" * 1024
    assert content[2**20 : 2**20 + 4096] == bytes(4096)
    assert content.count(b"\xff") == SIZE - 8192
    buffer = bytearray(8192)
    connections.read(0, buffer)
    assert buffer == b"\xff" * 4096 + b"data" * 1024


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "zero"]), st.integers(0, 1023), st.integers(1, 64), st.integers(1, 255)),
        min_size=1,
        max_size=8,
    )
)
def test_any_requests_give_what_a_file_would(
    connections: Connections, upload: Upload, requests: list[tuple[str, int, int, int]]
) -> None:
    expected = bytearray(upload.image.read_bytes())
    for kind, sector, length, byte in requests:
        offset, count = sector * 512, length * 512
        data = bytes([byte]) * count if kind == "write" else bytes(count)
        expected[offset : offset + count] = data
        if kind == "write":
            connections.write(offset, memoryview(data))
        else:
            connections.zero(offset, count)
    connections.flush()
    assert upload.image.read_bytes() == expected


def test_cut_connection_is_renewed(connections: Connections, upload: Upload) -> None:
    """A lost request is repeated with its data."""
    connections.write(0, b"a" * 4096)
    upload.wire.cut(seconds=1)
    connections.write(4096, b"b" * 4096)
    connections.flush()
    assert upload.image.read_bytes()[:8192] == b"a" * 4096 + b"b" * 4096


def test_daemon_that_was_restarted_does_not_know_the_ticket(connections: Connections, upload: Upload) -> None:
    upload.daemon.stop()
    upload.daemon.start()
    with pytest.raises(Refused, match="the transfer is over") as refused:
        connections.write(0, b"a" * 4096)
    assert upload.ticket not in str(refused.value)


def test_patience_ends(connections: Connections, upload: Upload) -> None:
    upload.wire.cut(seconds=60)
    started = time.monotonic()
    with pytest.raises(Refused, match="the connection to ovirt-imageio is broken"):
        connections.write(0, b"a" * 4096)
    assert QUICK.patience <= time.monotonic() - started < QUICK.patience + 4


def test_expired_ticket_is_final(connections: Connections, upload: Upload) -> None:
    """The error does not contain the ticket, although the daemon's answer does."""
    upload.daemon.extend_ticket(upload.ticket, 0)
    started = time.monotonic()
    with pytest.raises(Refused, match="its ticket has expired") as refused:
        connections.write(0, b"a" * 4096)
    assert time.monotonic() - started < 2
    assert upload.ticket not in str(refused.value)


def test_write_after_the_end_is_refused(connections: Connections) -> None:
    with pytest.raises(Refused, match="ovirt-imageio refuses"):
        connections.zero(SIZE, 4096)


def test_untrusted_certificate_is_final(upload: Upload, tmp_path: Path) -> None:
    other = Certificates.make(tmp_path / "tls")
    with pytest.raises(Refused, match="the certificate of ovirt-imageio is not trusted"):
        upload.open(cafile=str(other.authority))
    upload.open(cafile=str(other.authority), secure=False).stop()


def test_idle_connection_is_kept_alive(upload: Upload) -> None:
    """A ticket with a timeout of two seconds is still valid after five."""
    upload.ticket = upload.daemon.add_ticket(f"file://{upload.image}", SIZE, timeout=2)
    connections = upload.open(Policy(idle=0.5))
    try:
        time.sleep(5)
        connections.write(0, b"a" * 4096)
    finally:
        connections.stop()


def test_idle_connection_without_keep_alive_loses_its_ticket(upload: Upload) -> None:
    """Otherwise the test above would prove nothing."""
    upload.ticket = upload.daemon.add_ticket(f"file://{upload.image}", SIZE, timeout=2)
    connections = upload.open(Policy(idle=60))
    try:
        time.sleep(4)
        with pytest.raises(Refused, match="its ticket has expired"):
            connections.write(0, b"a" * 4096)
    finally:
        connections.stop()


def test_keep_alive_outlives_a_broken_connection(upload: Upload) -> None:
    """The wire is cut for a second while nothing is sent; without another request, the ticket expires after four."""
    connections = upload.open(Policy(idle=0.5))
    try:
        upload.wire.cut(seconds=1)
        upload.daemon.extend_ticket(upload.ticket, 4)
        time.sleep(6)
        connections.write(0, b"a" * 4096)
    finally:
        connections.stop()


def test_threads_share_the_connections(connections: Connections, upload: Upload) -> None:
    """The policy limits their number, however many threads there are."""

    def write(number: int) -> None:
        for part in range(4):
            connections.write((number * 4 + part) * 4096, bytes([number + 1]) * 4096)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connections.flush()
    content = upload.image.read_bytes()
    assert content[: 16 * 16384] == b"".join(bytes([number + 1]) * 16384 for number in range(16))
    assert upload.wire.connections <= QUICK.connections


def test_stop_closes_the_connections(upload: Upload) -> None:
    connections = upload.open()
    connections.write(0, b"a" * 4096)
    connections.stop()
    assert eventually(lambda: upload.daemon.ticket(upload.ticket)["connections"] == 0)


def test_flushes_at_the_same_time_do_not_wait_for_each_other(connections: Connections) -> None:
    threads = [threading.Thread(target=connections.flush, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
        connections.write(0, b"a" * 4096)
    for thread in threads:
        thread.join(20)
    assert not [thread for thread in threads if thread.is_alive()]


def test_flush_does_not_hold_up_the_other_connections(upload: Upload) -> None:
    """One connection is busy with a long request; while a flush waits for it, another one goes on writing."""
    with exported(upload.image, "raw", upload.image.with_suffix(".sock")) as url:
        upload.ticket = upload.daemon.add_ticket(url, SIZE)
        connections = upload.open()
        reader = _Slow(threading.Event(), threading.Event())
        sending = threading.Thread(target=connections.send, args=(0, MIB, reader))
        sending.start()
        reader.asked.wait(10)
        flushing = threading.Thread(target=connections.flush)
        flushing.start()
        time.sleep(0.2)
        for part in range(4):
            connections.write(2 * MIB + part * 4096, b"b" * 4096)
        assert flushing.is_alive()
        reader.go_on.set()
        for thread in (sending, flushing):
            thread.join(20)
            assert not thread.is_alive()
        connections.stop()
        content = upload.image.read_bytes()
    assert content[:MIB] == b"a" * MIB
    assert content[2 * MIB : 2 * MIB + 16384] == b"b" * 16384


@dataclass
class _Slow:
    """A reader that waits before it gives its data."""

    asked: threading.Event
    go_on: threading.Event

    def readinto(self, buffer: memoryview) -> int:
        self.asked.set()
        self.go_on.wait(20)
        buffer[:] = b"a" * len(buffer)
        return len(buffer)
