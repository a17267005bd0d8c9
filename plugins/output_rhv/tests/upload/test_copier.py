# SPDX-License-Identifier: GPL-2.0-or-later
"""The copier ``imageio``, between a real qemu-nbd or nbdkit and the real daemon, through a relay that can be cut."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageio_daemon import ImageioDaemon, exported_full
from v2v_core import processes
from v2v_core.api import CopyError, CopyRequest, NbdkitFilter, NbdkitPlugin, QemuImage, Step
from v2v_core.conversion_dir import ConversionDir
from v2v_core.reporting import StepReport
from v2v_core.serving import serve_source
from v2v_core.testing import FakeReporter, Relay, relay_to
from v2v_output_rhv.upload import copier
from v2v_output_rhv.upload.address import Address, address_file, read_address, write_address
from v2v_output_rhv.upload.copier import ImageioCopier

MIB = 1024 * 1024
OLD = b"\xee"


@pytest.fixture
def wire(daemon: ImageioDaemon) -> Iterator[Relay]:
    with relay_to(daemon.port) as made:
        yield made


@dataclasses.dataclass
class Upload:
    """A disk with other data, its ticket, and the request to copy to it."""

    daemon: ImageioDaemon
    wire: Relay
    directory: ConversionDir
    report: StepReport
    image: Path
    reported: FakeReporter = dataclasses.field(default_factory=FakeReporter)

    def request(self, served: QemuImage | NbdkitPlugin, size: int, *, ticket: str | None = None) -> CopyRequest:
        """Make the request for a source, which gets an overlay as in a conversion."""
        source = serve_source(self.directory, 1, served, "disk", in_place=False, report=self.report)
        self.image.write_bytes(OLD * size)
        url = self.daemon.url(ticket or self.daemon.add_ticket(f"file://{self.image}", size))
        private = self.directory.private("output")
        write_address(
            address_file(private, 1),
            Address(
                url=url.replace(f":{self.daemon.port}/", f":{self.wire.port}/"),
                ca_file=str(self.daemon.certificates.authority),
            ),
        )
        return CopyRequest(index=1, source=source, destination=source, report=self.reported, output_directory=private)


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


def test_what_arrives_is_what_was_read(upload: Upload, tmp_path: Path) -> None:
    """Zeros also overwrite old data. The size is not a multiple of anything larger than a sector."""
    content = os.urandom(MIB) + bytes(5 * MIB) + os.urandom(3 * MIB + 512) + bytes(512)
    request = upload.request(image_of(tmp_path, content), len(content))
    result = ImageioCopier().v2v_copy(request)
    assert (result.index, result.size) == (1, len(content))
    assert upload.image.read_bytes() == content
    progresses = upload.reported.progresses
    assert progresses[-1] == (len(content), len(content), 1)
    assert len(progresses) > 2


PIECES = st.lists(st.tuples(st.sampled_from(["random", "zero", "hole"]), st.integers(1, 600)), min_size=1, max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    request = upload.request(QemuImage(path=path, format="raw"), path.stat().st_size)
    ImageioCopier().v2v_copy(request)
    processes.stop(upload.directory.path, processes.serves("in"))
    (upload.directory.path / "overlay1.qcow2").unlink(missing_ok=True)
    assert upload.image.read_bytes() == path.read_bytes()


def test_zeros_are_not_sent(upload: Upload, tmp_path: Path) -> None:
    """This holds even for a disk whose server reports no holes."""
    content = bytes(48 * MIB) + os.urandom(MIB)
    request = upload.request(image_of(tmp_path, content), len(content))
    ImageioCopier().v2v_copy(request)
    assert upload.image.read_bytes() == content
    assert upload.wire.sent < 2 * MIB


@pytest.mark.parametrize(("allocation", "written"), [("sparse", False), ("preallocated", True)])
def test_zeros_are_not_written_where_there_are_zeros(
    upload: Upload, tmp_path: Path, allocation: str, written: bool
) -> None:
    content = bytes(MIB) + os.urandom(MIB)
    request = upload.request(image_of(tmp_path, content), len(content))
    ImageioCopier().v2v_copy(dataclasses.replace(request, zeroed=True, allocation=allocation))
    # with zeroed=True, the copier relies on it and does not check
    assert upload.image.read_bytes() == (content if written else OLD * MIB + content[MIB:])


def test_cut_connection_is_renewed(upload: Upload) -> None:
    """The connection is cut in the middle of the copy, for two seconds."""
    size = 32 * MIB
    request = upload.request(pattern(size=size), size)
    upload.wire.at.append((size // 2, lambda: upload.wire.cut(seconds=2)))
    ImageioCopier().v2v_copy(request)
    assert upload.wire.sent > size + size // 4
    assert upload.image.read_bytes() == b"".join(at.to_bytes(8, "big") for at in range(0, size, 8))
    done = [count for count, _, _ in upload.reported.progresses]
    assert max(done) == done[-1] == size


def test_source_that_cannot_be_read_fails(upload: Upload) -> None:
    """Unreadable data must never become zeros. Renewing the connection would not help."""
    always = NbdkitFilter(name="error", parameters=(("error-pread", "EIO"), ("error-pread-rate", "100%")))
    broken = pattern(always, size=MIB)
    request = upload.request(broken, MIB)
    with pytest.raises(CopyError, match=r"disk 1 could not be copied: the source cannot be read at 0: ") as failed:
        ImageioCopier().v2v_copy(request)
    assert failed.value.disk == 1
    assert "log" in (failed.value.hint or "")


def test_source_that_breaks_in_the_middle_of_a_request_fails(upload: Upload, tmp_path: Path) -> None:
    """This happens when a source on a network disappears for good."""
    trigger = tmp_path / "now"
    broken = pattern(
        NbdkitFilter(
            name="error",
            parameters=(("error-pread", "EIO"), ("error-pread-rate", "100%"), ("error-pread-file", str(trigger))),
        ),
        size=32 * MIB,
    )
    request = upload.request(broken, 32 * MIB)
    upload.wire.at.append((8 * MIB, trigger.touch))
    with pytest.raises(CopyError, match=r"disk 1 could not be copied: the source cannot be read at [1-9]\d*: "):
        ImageioCopier().v2v_copy(request)


def test_source_that_is_not_served_fails(upload: Upload, tmp_path: Path) -> None:
    request = upload.request(image_of(tmp_path, bytes(512)), 512)
    gone = dataclasses.replace(request.source, uri="nbd+unix:///?socket=/nonexistent/socket")
    with pytest.raises(CopyError, match=r"the source cannot be connected to: .*No such file"):
        ImageioCopier().v2v_copy(dataclasses.replace(request, source=gone))


def test_full_storage_is_reported(upload: Upload, tmp_path: Path) -> None:
    """The daemon fails in the middle of a request, and its error message can be lost."""
    content = os.urandom(24 * MIB)
    full = tmp_path / "full"
    full.write_bytes(bytes(len(content)))
    with exported_full(full, tmp_path / "full.sock") as url:
        ticket = upload.daemon.add_ticket(url, len(content))
        request = upload.request(image_of(tmp_path, content), len(content), ticket=ticket)
        with pytest.raises(CopyError, match=r"disk 1 could not be copied: ovirt-imageio failed") as failed:
            ImageioCopier().v2v_copy(request)
    assert "perhaps the storage is full" in failed.value.message
    assert ticket not in failed.value.message


def test_unknown_ticket_is_reported_without_the_ticket(upload: Upload, tmp_path: Path) -> None:
    ticket = "6a3b2b0e-93a5-4b7a-9a5b-000000000000"
    request = upload.request(image_of(tmp_path, os.urandom(MIB)), MIB, ticket=ticket)
    with pytest.raises(CopyError, match="ovirt-imageio refuses") as failed:
        ImageioCopier().v2v_copy(request)
    texts = [upload.reported.said, failed.value.message, failed.value.hint or ""]
    assert not any(ticket in text for text in texts)


def test_address_is_private_to_this_user(tmp_path: Path) -> None:
    address = Address(url="https://host/images/ticket", proxy_url="https://engine/images/ticket", verify=False)
    path = address_file(tmp_path, 3)
    write_address(path, address)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_address(path) == address
    assert "ticket" not in repr(address)


@pytest.mark.parametrize("directory", [None, Path("/nonexistent")])
def test_disk_that_is_not_uploaded_is_not_copied(upload: Upload, tmp_path: Path, directory: Path | None) -> None:
    """``--copier imageio`` with another output."""
    request = upload.request(image_of(tmp_path, bytes(512)), 512)
    with pytest.raises(CopyError, match="does not go to ovirt-imageio") as failed:
        ImageioCopier().v2v_copy(dataclasses.replace(request, output_directory=directory))
    assert "--copier" in (failed.value.hint or "")


def test_it_is_recommended_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    assert copier.recommended() == "imageio"
    monkeypatch.setattr(copier, "find_spec", lambda _name: None)
    assert copier.recommended() is None
