# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that core's copy process uploads, between a real qemu-nbd or nbdkit and the real daemon."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageio_daemon import ImageioDaemon, exported, exported_full
from v2v_core import processes
from v2v_core.api import NbdkitFilter, NbdkitPlugin, QemuImage, Step
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.messages import Cause, CopyMessage
from v2v_core.copying.task import CopyLimits, CopyPass, CopyTask, DestinationEnd, SourceEnd
from v2v_core.records import from_json, to_json
from v2v_core.reporting import StepReport
from v2v_core.serving import serve_source
from v2v_core.testing import Relay, relay_to
from v2v_output_rhv.upload.address import Address, address_file, write_address

MIB = 1024 * 1024
OLD = b"\xee"


@pytest.fixture
def wire(daemon: ImageioDaemon) -> Iterator[Relay]:
    with relay_to(daemon.port) as made:
        yield made


@dataclasses.dataclass
class Upload:
    """A disk with other data, its ticket, and the task to copy to it."""

    daemon: ImageioDaemon
    wire: Relay
    directory: ConversionDir
    report: StepReport
    image: Path

    def task(self, served: QemuImage | NbdkitPlugin, size: int, *, backing: str | None = None) -> CopyTask:
        """Make the task for a source, which gets an overlay as in a conversion."""
        disk = serve_source(self.directory, 1, served, "disk", in_place=False, report=self.report)
        self.image.write_bytes(OLD * size)
        self.open_transfer(backing or f"file://{self.image}", size)
        place = self.directory.path / "copy"
        place.mkdir(mode=0o700, exist_ok=True)
        return CopyTask(
            index=1,
            size=size,
            source=SourceEnd(uri=disk.uri, base=disk.base, overlay=True, identity="source", version="1"),
            destination=DestinationEnd(
                uri="",
                sink="rhv-upload",
                sink_directory=self.directory.private("output"),
                identity="disk",
            ),
            place=place,
            conversion="first",
            limits=CopyLimits(retries=1),
        )

    def open_transfer(self, backing: str, size: int) -> str:
        """Start a transfer, as setup does, and return its ticket."""
        ticket = self.daemon.add_ticket(backing, size)
        self.use(ticket)
        return ticket

    def use(self, ticket: str) -> None:
        """Leave the address of a ticket for the copy."""
        url = self.daemon.url(ticket).replace(f":{self.daemon.port}/", f":{self.wire.port}/")
        address = Address(url=url, ca_file=str(self.daemon.certificates.authority))
        write_address(address_file(self.directory.private("output"), 1), address)


@dataclasses.dataclass
class Copied:
    """How a copy process has ended."""

    status: int
    messages: list[CopyMessage]

    @property
    def failure(self) -> CopyMessage:
        """The message that says why it failed."""
        (failure,) = [message for message in self.messages if message.failed is not None]
        assert self.status == 1
        return failure

    def succeeded(self) -> CopyMessage:
        """The message that says that all is done."""
        assert self.status == 0, self.messages
        return next(message for message in self.messages if message.finished)


def copy(task: CopyTask, started: Callable[[subprocess.Popen[bytes]], object] = lambda _process: None) -> Copied:
    """Run the copy process."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "v2v_core.copying.worker", str(writing)],
        stdin=subprocess.PIPE,
        pass_fds=(writing,),
    )
    os.close(writing)
    assert process.stdin is not None
    started(process)
    process.stdin.write(json.dumps(to_json(task)).encode())
    process.stdin.close()
    with os.fdopen(reading, encoding="utf-8") as stream:
        messages = [from_json(json.loads(line), CopyMessage) for line in stream]
    return Copied(process.wait(60), messages)


@pytest.fixture
def upload(daemon: ImageioDaemon, wire: Relay, v2v_directory: ConversionDir, tmp_path: Path) -> Iterator[Upload]:
    report = StepReport(v2v_directory, Step.COPY, [])
    yield Upload(daemon, wire, v2v_directory, report, tmp_path / "destination")
    report.close()


def image_of(tmp_path: Path, content: bytes) -> QemuImage:
    path = tmp_path / "source"
    path.write_bytes(content)
    return QemuImage(path=path, format="raw")


def pattern(*filters: NbdkitFilter, size: int) -> NbdkitPlugin:
    return NbdkitPlugin(name="pattern", parameters=(("size", str(size)),), filters=filters)


def pattern_of(size: int) -> bytes:
    return b"".join(at.to_bytes(8, "big") for at in range(0, size, 8))


def convert(task: CopyTask, *pieces: tuple[int, bytes]) -> None:
    """Write to the overlay, as a conversion does."""
    import nbd

    handle = nbd.NBD()
    handle.connect_uri(task.source.uri)
    for offset, data in pieces:
        if any(data):
            handle.pwrite(data, offset)
        else:
            handle.zero(len(data), offset)
    handle.flush()
    handle.shutdown()


def test_what_arrives_is_what_was_read(upload: Upload, tmp_path: Path) -> None:
    """Zeros also overwrite old data. The size is not a multiple of anything larger than a sector."""
    content = os.urandom(MIB) + bytes(5 * MIB) + os.urandom(3 * MIB + 512) + bytes(512)
    done = copy(upload.task(image_of(tmp_path, content), len(content)))
    assert done.succeeded().copied >= 4 * MIB
    assert upload.image.read_bytes() == content
    last = [message for message in done.messages if message.done is not None][-1]
    assert last.done == last.total


def test_base_is_uploaded_first_and_then_what_the_conversion_changed(upload: Upload, tmp_path: Path) -> None:
    content = bytearray(os.urandom(8 * MIB))
    task = upload.task(image_of(tmp_path, bytes(content)), len(content))
    copy(dataclasses.replace(task, copy_pass=CopyPass.BASE, conversion="")).succeeded()
    assert upload.image.read_bytes() == content
    before = upload.wire.sent
    changes = ((MIB + 512, os.urandom(1024)), (3 * MIB, bytes(MIB)))
    convert(task, *changes)
    copy(task).succeeded()
    for offset, data in changes:
        content[offset : offset + len(data)] = data
    assert upload.image.read_bytes() == content
    assert upload.wire.sent - before < MIB, "the base was sent again"


PIECES = st.lists(st.tuples(st.sampled_from(["random", "zero", "hole"]), st.integers(1, 600)), min_size=1, max_size=8)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES)
def test_any_disk_arrives(upload: Upload, tmp_path: Path, pieces: list[tuple[str, int]]) -> None:
    """The source has data, written zeros and holes, in any order."""
    path = tmp_path / "source"
    with path.open("wb") as stream:
        for kind, sectors in pieces:
            if kind == "hole":
                stream.seek(sectors * 1024, os.SEEK_CUR)
            else:
                stream.write(os.urandom(sectors * 1024) if kind == "random" else bytes(sectors * 1024))
        stream.truncate(sum(sectors * 1024 for _, sectors in pieces))
    task = upload.task(QemuImage(path=path, format="raw"), path.stat().st_size)
    try:
        copy(task).succeeded()
    finally:
        processes.stop(upload.directory.path, processes.serves("in"))
        processes.stop(upload.directory.path, processes.serves("base"))
        for left in [*task.place.iterdir(), upload.directory.path / "overlay1.qcow2"]:
            left.unlink(missing_ok=True)
    assert upload.image.read_bytes() == path.read_bytes()


def test_zeros_are_not_sent(upload: Upload, tmp_path: Path) -> None:
    """This holds even for a disk whose server reports no holes."""
    content = bytes(48 * MIB) + os.urandom(MIB)
    copy(upload.task(image_of(tmp_path, content), len(content))).succeeded()
    assert upload.image.read_bytes() == content
    assert upload.wire.sent < 2 * MIB


@pytest.mark.parametrize(("allocation", "written"), [("sparse", False), ("preallocated", True)])
def test_zeros_are_not_written_where_there_are_zeros(
    upload: Upload, tmp_path: Path, allocation: str, written: bool
) -> None:
    path = tmp_path / "source"
    data = os.urandom(MIB)
    with path.open("wb") as stream:
        stream.seek(MIB)
        stream.write(data)
    task = upload.task(QemuImage(path=path, format="raw"), 2 * MIB)
    destination = dataclasses.replace(task.destination, zeroed=True, allocation=allocation)
    copy(dataclasses.replace(task, destination=destination)).succeeded()
    # with zeroed=True, the copy relies on it and does not check
    assert upload.image.read_bytes() == (bytes(MIB) if written else OLD * MIB) + data


def test_cut_connection_is_renewed(upload: Upload) -> None:
    """The connection is cut in the middle of the copy, for two seconds."""
    size = 32 * MIB
    task = upload.task(pattern(size=size), size)
    upload.wire.at.append((size // 2, lambda: upload.wire.cut(seconds=2)))
    done = copy(task)
    done.succeeded()
    assert upload.image.read_bytes() == pattern_of(size)
    counts = [message.done for message in done.messages if message.done is not None]
    assert max(counts) == counts[-1] == size


def test_copy_that_was_killed_goes_on_through_a_new_transfer(upload: Upload) -> None:
    """``kill -9`` after more than two seconds, so the journal has been written. What it has is not sent again."""
    size = 160 * MIB
    slow = NbdkitFilter(name="rate", parameters=(("rate", "400M"), ("burstiness", "0.1")))
    task = upload.task(pattern(slow, size=size), size)

    def kill_later(process: subprocess.Popen[bytes]) -> None:
        upload.wire.at.append((size * 9 // 10, lambda: os.kill(process.pid, signal.SIGKILL)))

    assert copy(task, kill_later).status == -signal.SIGKILL
    before = upload.wire.sent
    upload.open_transfer(f"file://{upload.image}", size)
    copy(task).succeeded()
    assert upload.image.read_bytes() == pattern_of(size)
    assert upload.wire.sent - before < size - 60 * MIB


def test_upload_is_read_back_and_verified(upload: Upload, tmp_path: Path) -> None:
    content = os.urandom(4 * MIB) + bytes(4 * MIB) + os.urandom(512)
    task = upload.task(image_of(tmp_path, content), len(content))
    done = copy(dataclasses.replace(task, verify=True)).succeeded()
    assert done.verified
    assert done.digest
    assert upload.image.read_bytes() == content


def test_several_connections(upload: Upload, tmp_path: Path) -> None:
    """As vdsm exports a disk, with qemu-nbd, the daemon allows as many as we want."""
    content = (os.urandom(4 * MIB) + bytes(4 * MIB)) * 6
    path = tmp_path / "source"
    with path.open("wb") as stream:
        for at in range(0, len(content), 8 * MIB):
            stream.seek(at)
            stream.write(content[at : at + 4 * MIB])
        stream.truncate(len(content))
    task = upload.task(QemuImage(path=path, format="raw"), len(content))
    with exported(upload.image, "raw", tmp_path / "disk.sock") as url:
        upload.open_transfer(url, len(content))
        copy(task).succeeded()
    assert upload.wire.connections > 1
    assert upload.image.read_bytes() == content


def test_source_that_cannot_be_read_fails(upload: Upload) -> None:
    """Unreadable data must never become zeros."""
    always = NbdkitFilter(name="error", parameters=(("error-pread", "EIO"), ("error-pread-rate", "100%")))
    failure = copy(upload.task(pattern(always, size=MIB), MIB)).failure
    assert failure.cause is Cause.SOURCE
    assert upload.image.read_bytes() == OLD * MIB


def test_source_that_breaks_in_the_middle_of_a_request_fails(upload: Upload, tmp_path: Path) -> None:
    """This happens when a source on a network disappears for good."""
    trigger = tmp_path / "now"
    broken = pattern(
        NbdkitFilter(
            name="error",
            parameters=(("error-pread", "EIO"), ("error-pread-rate", "100%"), ("error-pread-file", str(trigger))),
        ),
        size=96 * MIB,
    )
    task = upload.task(broken, 96 * MIB)
    upload.wire.at.append((8 * MIB, trigger.touch))
    failure = copy(task).failure
    assert failure.cause is Cause.SOURCE
    assert failure.offset is not None


def test_full_storage_is_reported(upload: Upload, tmp_path: Path) -> None:
    """The daemon fails in the middle of a request, and its error message can be lost."""
    content = os.urandom(24 * MIB)
    full = tmp_path / "full"
    full.write_bytes(bytes(len(content)))
    with exported_full(full, tmp_path / "full.sock") as url:
        task = upload.task(image_of(tmp_path, content), len(content), backing=url)
        failure = copy(task).failure
    assert failure.cause in {Cause.DESTINATION, Cause.FULL}
    assert "ovirt-imageio failed" in (failure.failed or "")
    assert "perhaps the storage is full" in (failure.failed or "")


def test_unknown_ticket_is_reported_without_the_ticket(upload: Upload, tmp_path: Path) -> None:
    ticket = "6a3b2b0e-93a5-4b7a-9a5b-000000000000"
    task = upload.task(image_of(tmp_path, os.urandom(MIB)), MIB)
    upload.use(ticket)
    done = copy(task)
    assert done.failure.cause is Cause.DESTINATION
    assert "ovirt-imageio refuses" in (done.failure.failed or "")
    assert done.failure.hint
    assert not any(ticket in repr(message) for message in done.messages)
