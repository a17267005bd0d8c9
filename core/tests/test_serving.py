# SPDX-License-Identifier: GPL-2.0-or-later
"""Serving disks with the real servers: no source is written, no secret shown, no reference in an image followed."""

from __future__ import annotations

import base64
import os
import re
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import DestinationError, SourceError
from v2v_core.events import Step
from v2v_core.model import DiskService, NbdkitFilter, NbdkitPlugin, NbdUri, QemuImage
from v2v_core.nbd_uri import nbd_uri
from v2v_core.programs import run_program
from v2v_core.reporting import StepReport
from v2v_core.serving import serve_destination, serve_source
from v2v_core.testing import read_endpoint, write_endpoint
from v2v_core.testing.images import fingerprint

SECRET = "hunter2-very-secret"
MARK = b"\xa5" * 512


@pytest.fixture
def report(v2v_directory: ConversionDir) -> Iterator[StepReport]:
    made = StepReport(v2v_directory, Step.INPUT_SETUP, [])
    yield made
    made.close()


def qcow2(path: Path, raw: Path, *options: str) -> Path:
    run_program(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, str(raw), str(path)])
    return path


def memory(size: str = "1M", **more: object) -> NbdkitPlugin:
    return NbdkitPlugin(name="memory", parameters=(("size", size),), **more)  # type: ignore[arg-type]


def test_raw_source_is_read_and_never_written(v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path) -> None:
    before, content = fingerprint(v2v_disk), v2v_disk.read_bytes()
    v2v_disk.chmod(0o400)
    before = fingerprint(v2v_disk)
    endpoint = serve_source(
        v2v_directory, 1, QemuImage(path=v2v_disk, format="raw"), "disk", in_place=False, report=report
    )
    assert (endpoint.index, endpoint.size) == (1, len(content))
    assert read_endpoint(endpoint.uri) == content
    write_endpoint(endpoint.uri, MARK)
    assert read_endpoint(endpoint.uri) == MARK + content[512:]
    assert fingerprint(v2v_disk) == before


def test_qcow2_source_is_read_and_never_written(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, tmp_path: Path
) -> None:
    image = qcow2(tmp_path / "disk.qcow2", v2v_disk, "-c")
    before = fingerprint(image)
    endpoint = serve_source(
        v2v_directory, 1, QemuImage(path=image, format="qcow2"), "disk", in_place=False, report=report
    )
    assert read_endpoint(endpoint.uri) == v2v_disk.read_bytes()
    write_endpoint(endpoint.uri, MARK)
    assert fingerprint(image) == before


@pytest.mark.parametrize("in_place", [False, True])
def test_backing_file_that_a_header_names_is_never_followed(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, tmp_path: Path, in_place: bool
) -> None:
    hostile = tmp_path / "hostile.qcow2"
    run_program(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(v2v_disk), str(hostile)])
    endpoint = serve_source(
        v2v_directory, 1, QemuImage(path=hostile, format="qcow2"), "disk", in_place=in_place, report=report
    )
    assert read_endpoint(endpoint.uri) == bytes(1024 * 1024), "the content of the file that the header names"


def test_header_in_a_raw_disk_is_data(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, tmp_path: Path
) -> None:
    """A guest may write the header of a qcow2 with a backing file into its own raw disk."""
    hostile = tmp_path / "hostile.img"
    run_program(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(v2v_disk), str(hostile)])
    endpoint = serve_source(
        v2v_directory, 1, QemuImage(path=hostile, format="raw"), "disk", in_place=False, report=report
    )
    assert read_endpoint(endpoint.uri)[: hostile.stat().st_size] == hostile.read_bytes()


def test_backing_file_that_is_described_is_used(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, tmp_path: Path
) -> None:
    top = tmp_path / "top.qcow2"
    run_program(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/nonexistent", "-u", str(top), "1M"])
    image = QemuImage(path=top, format="qcow2", backing=QemuImage(path=v2v_disk, format="raw"))
    endpoint = serve_source(v2v_directory, 1, image, "disk", in_place=False, report=report)
    assert read_endpoint(endpoint.uri) == v2v_disk.read_bytes()


def test_window_of_a_file_is_a_disk(v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path) -> None:
    image = QemuImage(path=v2v_disk, format="raw", offset=4096, size=8192)
    endpoint = serve_source(v2v_directory, 1, image, "disk", in_place=False, report=report)
    assert endpoint.size == 8192
    assert read_endpoint(endpoint.uri) == v2v_disk.read_bytes()[4096 : 4096 + 8192]


@pytest.mark.parametrize(
    "name", ["with space, comma=1.img", "file:x.img", "json:{}.img", "ünïcode.img", "a'b\"c\\d.img"]
)
def test_path_with_any_character_is_a_path(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(MARK * 8)
    endpoint = serve_source(
        v2v_directory, 1, QemuImage(path=tmp_path / name, format="raw"), name, in_place=False, report=report
    )
    assert read_endpoint(endpoint.uri) == MARK * 8


def test_in_place_writes_the_source(v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path) -> None:
    rest = v2v_disk.read_bytes()[512:]
    service = QemuImage(path=v2v_disk, format="raw")
    endpoint = serve_source(v2v_directory, 1, service, "disk", in_place=True, report=report)
    write_endpoint(endpoint.uri, MARK)
    processes.stop(v2v_directory.path, processes.serves("in"))
    assert v2v_disk.read_bytes() == MARK + rest
    assert list(v2v_directory.overlay.iterdir()) == []


def test_nbdkit_source_has_an_untouched_base_beside_the_guest(v2v_directory: ConversionDir, report: StepReport) -> None:
    endpoint = serve_source(v2v_directory, 2, memory(), "disk", in_place=False, report=report)
    write_endpoint(endpoint.uri, MARK)
    assert read_endpoint(endpoint.uri).startswith(MARK)
    base = f"nbd+unix:///?socket={v2v_directory.socket('base', 2)}"
    assert read_endpoint(base) == bytes(1024 * 1024)
    assert '"is_read_only": true' in run_program(["nbdinfo", "--json", base]).replace("  ", " ")


def test_what_the_overlay_holds_can_be_listed(v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path) -> None:
    """A copy can then run while the guest is being converted."""
    service = QemuImage(path=v2v_disk, format="raw")
    endpoint = serve_source(v2v_directory, 1, service, "disk", in_place=False, report=report)
    run_program(["qemu-io", "-f", "raw", "-c", "write 64k 64k", "-c", "flush", endpoint.uri])
    listed = run_program(["nbdinfo", "--map=qemu:allocation-depth", endpoint.uri])
    depths = [(int(line.split()[0]), int(line.split()[2])) for line in listed.splitlines()]
    assert (65536, 1) in depths
    assert all(depth != 1 for offset, depth in depths if offset != 65536)


def test_nbd_uri_of_another_server_is_put_under_an_overlay(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path, v2v_short_path: Path
) -> None:
    socket, image = v2v_short_path / "s", tmp_path / "foreign.img"
    image.write_bytes(MARK * 64)
    server = subprocess.Popen(["nbdkit", "-f", "-U", str(socket), "file", str(image)])
    try:
        run_program(["sh", "-c", f"for i in $(seq 100); do [ -S {socket} ] && exit 0; sleep 0.05; done; exit 1"])
        endpoint = serve_source(
            v2v_directory, 1, NbdUri(uri=f"nbd+unix:///?socket={socket}"), "far", in_place=False, report=report
        )
        write_endpoint(endpoint.uri, bytes(512))
        assert read_endpoint(endpoint.uri) == bytes(512) + MARK * 63
        assert image.read_bytes() == MARK * 64
        processes.stop(v2v_directory.path, processes.serves("in", "base"))
        assert server.poll() is None, "core must not stop it"
    finally:
        server.terminate()
        server.wait()


def test_filters_are_applied_the_outermost_first(v2v_directory: ConversionDir, report: StepReport) -> None:
    """``offset`` inside ``truncate`` results in another size than ``truncate`` inside ``offset``."""
    truncate = NbdkitFilter(name="truncate", parameters=(("truncate", "512K"),))
    offset = NbdkitFilter(name="offset", parameters=(("offset", "256K"),))
    sizes = []
    for index, filters in enumerate([(truncate, offset), (offset, truncate)], start=1):
        service = memory(filters=filters)
        sizes.append(serve_source(v2v_directory, index, service, "disk", in_place=False, report=report).size)
    assert sizes == [512 * 1024, 256 * 1024]


class Handler(BaseHTTPRequestHandler):
    """Serves one file, with ranges, to clients that know the password (RFC 9110, 14.2 and 11.6.2)."""

    def do_HEAD(self) -> None:
        self.reply(body=False)

    def do_GET(self) -> None:
        self.reply(body=True)

    def reply(self, *, body: bool) -> None:
        expected = "Basic " + base64.b64encode(f"root:{SECRET}".encode()).decode()
        if self.headers["Authorization"] != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = MARK * 16
        first, _, last = (self.headers["Range"] or "bytes=0-8191").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1]
        self.send_response(206 if self.headers["Range"] else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *_words: object) -> None:
        """Log nothing."""


@pytest.fixture
def website() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/disk.img"
    server.shutdown()
    thread.join()
    server.server_close()


def everything_that_is_visible(directory: ConversionDir) -> bytes:
    seen = b""
    for process in processes.find(directory.path):
        seen += Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
    for log in (directory.path / "log").iterdir():
        seen += log.read_bytes()
    return seen


def test_secret_reaches_the_server_and_is_seen_nowhere(
    v2v_directory: ConversionDir, report: StepReport, website: str
) -> None:
    service = NbdkitPlugin(
        name="curl", parameters=(("url", website), ("user", "root")), secrets=(("password", SECRET),), remote=True
    )
    assert SECRET not in repr(service)
    endpoint = serve_source(v2v_directory, 1, service, "disk", in_place=False, report=report)
    assert read_endpoint(endpoint.uri) == MARK * 16
    visible = everything_that_is_visible(v2v_directory)
    assert b"nbdkit" in visible
    assert SECRET.encode() not in visible
    holding = [path for path in v2v_directory.path.rglob("*") if path.is_file() and SECRET in path.read_text("latin-1")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in holding] == [0o600]


def test_wrong_secret_is_a_source_error_that_does_not_show_it(
    v2v_directory: ConversionDir, report: StepReport, website: str
) -> None:
    service = NbdkitPlugin(
        name="curl", parameters=(("url", website), ("user", "root")), secrets=(("password", "wrong-horse"),)
    )
    with pytest.raises(SourceError, match=r"disk 1 \(far disk\) cannot be opened: ") as refused:
        serve_source(v2v_directory, 1, service, "far disk", in_place=False, report=report)
    assert "401" in refused.value.message
    assert "wrong-horse" not in refused.value.message + str(refused.value.__cause__)


def test_error_of_a_server_that_ends_at_its_start_has_the_end_of_its_log(
    v2v_directory: ConversionDir, report: StepReport
) -> None:
    service = NbdkitPlugin(name="file", parameters=(("file", "/nonexistent/disk"),))
    with pytest.raises(SourceError, match=r"disk 3 \(the third\) cannot be opened: .*No such file") as refused:
        serve_source(v2v_directory, 3, service, "the third", in_place=False, report=report)
    assert "\n" not in refused.value.message
    assert processes.find(v2v_directory.path) == ()


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (NbdkitPlugin(name="no-such-plugin"), "nbdkit has no plugin 'no-such-plugin'"),
        (memory(filters=(NbdkitFilter(name="no-such-filter"),)), "nbdkit has no filter 'no-such-filter'"),
        (QemuImage(path=Path("/nonexistent/disk.img"), format="raw"), "No such file"),
        (QemuImage(path=Path("/dev/null"), format="qcow2"), "requires '/dev/null' to be a regular file"),
        (NbdUri(uri="nbd+unix:///?socket=/nonexistent/socket"), "No such file"),
    ],
    ids=["plugin", "filter", "no file", "no qcow2", "no server"],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_disk_that_cannot_be_opened_is_named_in_one_line(
    v2v_directory: ConversionDir, report: StepReport, service: DiskService, expected: str, in_place: bool
) -> None:
    with pytest.raises(SourceError) as refused:
        serve_source(v2v_directory, 1, service, "disk of mine", in_place=in_place, report=report)
    assert refused.value.message.startswith("disk 1 (disk of mine) cannot be opened: ")
    assert expected in refused.value.message
    assert "\n" not in refused.value.message
    assert processes.find(v2v_directory.path) == ()


def test_image_that_is_in_use_is_named_with_a_hint(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, tmp_path: Path
) -> None:
    image = qcow2(tmp_path / "busy.qcow2", v2v_disk)
    serve_destination(v2v_directory, 1, QemuImage(path=image, format="qcow2"), report)
    with pytest.raises(SourceError) as refused:
        serve_source(v2v_directory, 2, QemuImage(path=image, format="qcow2"), "busy", in_place=False, report=report)
    assert "lock" in refused.value.message
    assert "shut the guest down" in (refused.value.hint or "")


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_destination_holds_what_is_written(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path, image_format: str
) -> None:
    image = tmp_path / "out"
    run_program(["qemu-img", "create", "-q", "-f", image_format, str(image), "64K"])
    endpoint = serve_destination(v2v_directory, 1, QemuImage(path=image, format=image_format), report)
    assert endpoint.size == 65536
    write_endpoint(endpoint.uri, MARK * 128)
    processes.stop(v2v_directory.path, processes.serves("out"))
    run_program(["qemu-img", "convert", "-f", image_format, "-O", "raw", str(image), str(tmp_path / "back")])
    assert (tmp_path / "back").read_bytes() == MARK * 128


def test_destination_that_cannot_be_opened_is_a_destination_error(
    v2v_directory: ConversionDir, report: StepReport
) -> None:
    with pytest.raises(DestinationError, match=r"the destination of disk 2 cannot be opened: .*No such file"):
        serve_destination(v2v_directory, 2, QemuImage(path=Path("/nonexistent/x"), format="raw"), report)


def test_destination_that_is_served_already_is_used_as_it_is(v2v_directory: ConversionDir, report: StepReport) -> None:
    other = serve_destination(v2v_directory, 2, memory(), report)
    running = processes.find(v2v_directory.path)
    found = serve_destination(v2v_directory, 1, NbdUri(uri=other.uri), report)
    assert (found.uri, found.size) == (other.uri, other.size)
    assert processes.find(v2v_directory.path) == running


def test_destination_that_does_not_answer_is_a_destination_error(
    v2v_directory: ConversionDir, report: StepReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of another program that accepts connections and never answers must not hold up the run for ever."""
    monkeypatch.setattr("v2v_core.nbd_uri.size_of.__kwdefaults__", {"timeout": 1.0})
    silent = v2v_directory.path / "silent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(silent))
        server.listen()
        with pytest.raises(DestinationError, match="the destination of disk 1 cannot be opened: no answer within 1"):
            serve_destination(v2v_directory, 1, NbdUri(uri=nbd_uri(silent)), report)


def test_servers_are_not_killed_by_a_signal_to_the_process_group(
    v2v_directory: ConversionDir, report: StepReport
) -> None:
    """Ctrl-C goes to the whole foreground process group; the supervisor itself stops the servers when it cleans up."""
    serve_source(v2v_directory, 1, memory(), "disk", in_place=False, report=report)
    assert processes.find(v2v_directory.path)
    assert all(os.getsid(process.pid) != os.getsid(0) for process in processes.find(v2v_directory.path))


def test_endpoints_are_for_this_user_only(v2v_directory: ConversionDir, report: StepReport) -> None:
    serve_source(v2v_directory, 1, memory(), "disk", in_place=False, report=report)
    assert stat.S_IMODE(v2v_directory.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((v2v_directory.overlay / "disk1.qcow2").stat().st_mode) == 0o600


def minor_faults(pid: int) -> int:
    """Return the number of minor page faults of a process so far (``minflt`` in proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])


def test_server_of_images_keeps_its_memory_from_one_request_to_the_next(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    size = 64 * 1024 * 1024
    image.write_bytes(os.urandom(size))
    endpoint = serve_source(
        v2v_directory, 1, QemuImage(path=image, format="raw"), "disk", in_place=False, report=report
    )
    (server,) = (process for process in processes.find(v2v_directory.path) if process.server == "in1")
    read = ["nbdcopy", "--request-size=2097152", "--connections=1", "--requests=1", endpoint.uri, "null:"]
    for _ in range(3):
        run_program(read)
    before = minor_faults(server.pid)
    run_program(read)
    assert minor_faults(server.pid) - before < size // 4096 // 4


def test_tunables_of_the_user_override_those_of_core(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=4096")
    serve_source(v2v_directory, 1, QemuImage(path=v2v_disk, format="raw"), "disk", in_place=False, report=report)
    (server,) = (process for process in processes.find(v2v_directory.path) if process.server == "in1")
    # glibc splits the variable in place, with null bytes
    environment = Path(f"/proc/{server.pid}/environ").read_bytes().replace(b"\0", b":")
    assert b"GLIBC_TUNABLES=glibc.malloc.mmap_threshold=" in environment
    assert re.search(rb":glibc\.malloc\.trim_threshold=\d{6,}:glibc\.malloc\.trim_threshold=4096:", environment)
