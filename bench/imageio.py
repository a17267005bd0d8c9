#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast -o rhv-upload uploads, against ovirt-imageio's own client: the same daemon, the same run, in turn.

    .venv/bin/python bench/imageio.py [--size MiB] [--rounds N] [--connections N...] [--over https|unix|both]
        [--place DIR] [--copier core|nbdcopy]

Both read what a conversion leaves, an overlay on a raw image, through qemu-nbd, which they start themselves, and write
to a disk that qemu-nbd exports, through the real daemon: over TLS, or over the daemon's Unix socket, as on a host of
oVirt. Ours is the process that copies a disk, with its journal and hashes. The peer is a program with
``ovirt_imageio.client.upload``, which is what ovirt-img calls, with as many workers as we have connections. Half of
the image is random data, half are holes. Printed are MB of data per second, without what an upload of an empty image
takes, that, and the ratios, all of medians. Who is first takes turns, and the first round does not count. --place is
where the images are: on a disk, or in memory (/dev/shm), where nothing but processors is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "plugins/output_rhv/tests"))

from imageio_daemon import ImageioDaemon, exported, running_imageio  # noqa: E402
from v2v_core import processes  # noqa: E402
from v2v_core.api import CopyRequest, QemuImage, Step  # noqa: E402
from v2v_core.conversion_dir import ConversionDir  # noqa: E402
from v2v_core.copying.nbdcopy import NbdCopy  # noqa: E402
from v2v_core.copying.task import CopyLimits, CopyTask, DestinationEnd, SourceEnd  # noqa: E402
from v2v_core.records import to_json  # noqa: E402
from v2v_core.reporting import StepReport  # noqa: E402
from v2v_core.served import ServedDisk  # noqa: E402
from v2v_core.serving import serve_destination, serve_source  # noqa: E402
from v2v_core.serving.qemu_nbd import block_node, create_overlay  # noqa: E402
from v2v_core.testing import Certificates  # noqa: E402 - found on the path that was just set
from v2v_output_rhv.upload.address import Address, address_file, write_address  # noqa: E402
from v2v_output_rhv.upload.service import REQUEST_SIZE, upload_service  # noqa: E402

MIB = 1024 * 1024
#: Data and holes of the image come in turn, in pieces of this size.
PIECE = 16 * MIB


def make_image(path: Path, size: int) -> int:
    """Make the image to upload, and return how many bytes of data are in it."""
    data = 0
    with path.open("wb") as stream:
        for offset in range(0, size, 2 * PIECE):
            stream.seek(offset)
            data += stream.write(os.urandom(PIECE))
        stream.truncate(size)
    return data


@contextlib.contextmanager
def ticket(daemon: ImageioDaemon, place: Path, size: int) -> Iterator[str]:
    """Yield the URL of a new, empty disk."""
    image = place / "destination"
    image.touch()
    os.truncate(image, size)
    with exported(image, "raw", place / "destination.sock") as url:
        identity = daemon.add_ticket(url, size)
        yield daemon.url(identity)
        daemon.remove_ticket(identity)
    (place / "destination.sock").unlink()
    image.unlink()


PEER = """
import sys
from ovirt_imageio import client
source, url, authority, connections = sys.argv[1:]
client.upload(source, url, authority, max_workers=int(connections), disk_is_zero=True)
"""


def theirs(source: Path, url: str, authority: Path, connections: int) -> float:
    """Upload with the client's own function; it starts a qemu-nbd of its own for the source."""
    overlay = source.with_suffix(".qcow2")
    create_overlay(overlay, block_node(QemuImage(path=source, format="raw")))
    argv = [sys.executable, "-c", PEER, overlay, url, authority, str(connections)]
    started = time.monotonic()
    subprocess.run(argv, check=True)
    return time.monotonic() - started


def ours(source: Path, url: str, authority: Path, connections: int, *, copier: str) -> float:
    """Upload as the steps do; like the peer's, the time includes serving the source."""
    address = Address(url=url, ca_file=str(authority))
    size = source.stat().st_size
    with tempfile.TemporaryDirectory(prefix="v2v-b.", dir="/tmp") as name:
        directory = ConversionDir.open_or_create(Path(name) / "d")
        report = StepReport(directory, Step.COPY, [])
        try:
            started = time.monotonic()
            image = QemuImage(path=source, format="raw")
            served = serve_source(directory, 1, image, str(source), in_place=False, report=report)
            private = directory.private("output")
            write_address(address_file(private, 1), address)
            destination = serve_destination(directory, 1, upload_service(address, size), report)
            if copier == "core":
                copy_in_process(directory, served, private, connections)
            else:
                NbdCopy().v2v_copy(
                    CopyRequest(
                        index=1,
                        source=served.endpoint,
                        destination=destination,
                        report=Mock(),
                        request_size=REQUEST_SIZE,
                        zeroed=True,
                    )
                )
            return time.monotonic() - started
        finally:
            processes.stop(directory.path, processes.is_gone_with_the_run, grace=30.0)
            report.close()


def copy_in_process(directory: ConversionDir, served: ServedDisk, private: Path, connections: int) -> None:
    """Run the process that copies a disk through the sink of the output."""
    place = directory.path / "copy"
    place.mkdir(exist_ok=True)
    task = CopyTask(
        index=1,
        size=served.size,
        source=SourceEnd(uri=served.uri, base=served.base, overlay=True, identity="bench", version="1"),
        destination=DestinationEnd(uri="", sink="rhv-upload", sink_directory=private, zeroed=True, identity="bench"),
        place=place,
        conversion="bench",
        limits=CopyLimits(connections=connections),
    )
    with tempfile.TemporaryFile() as messages:
        argv = [sys.executable, "-P", "-m", "v2v_core.copying.worker", str(messages.fileno())]
        given = json.dumps(to_json(task)).encode()
        if subprocess.run(argv, input=given, pass_fds=(messages.fileno(),), check=False).returncode:
            messages.seek(0)
            raise SystemExit(messages.read().decode().splitlines()[-1])


def same(place: Path, source: Path) -> bool:
    """Compare what arrived."""
    return subprocess.run(["cmp", "-s", source, place / "destination"], check=False).returncode == 0


def measure(way: str, place: Path, size: int, rounds: int, connections: list[int], copier: str) -> None:
    """Measure one way to the daemon."""
    certificates = Certificates.make(place / "tls")
    full, empty = place / "full", place / "empty"
    data = make_image(full, size)
    empty.touch()
    os.truncate(empty, size)
    uploads = {"ours": functools.partial(ours, copier=copier), "peer": theirs}
    pairs = list(itertools.product(uploads, (full, empty)))
    with running_imageio(place / "host", certificates, local=way == "unix") as daemon:
        for number in connections:
            seconds: dict[tuple[str, Path], list[float]] = {pair: [] for pair in pairs}
            for round_number in range(rounds + 1):
                for who, source in pairs if round_number % 2 else reversed(pairs):
                    with ticket(daemon, place, size) as url:
                        took = uploads[who](source, url, certificates.authority, number)
                        if not same(place, source):
                            raise SystemExit(f"{who}: what arrived is something else")
                    # memory and caches are cold in the first round
                    if round_number:
                        seconds[who, source].append(took)
            whole = {who: statistics.median(seconds[who, full]) for who in uploads}
            start = {who: statistics.median(seconds[who, empty]) for who in uploads}
            speed = {who: data / 1e6 / (whole[who] - start[who]) for who in whole}
            print(
                f"{way}, {number} connections: ours {speed['ours']:.0f} MB/s and {start['ours']:.1f} s to start, "
                f"peer {speed['peer']:.0f} MB/s and {start['peer']:.1f} s; ratio {speed['ours'] / speed['peer']:.2f}, "
                f"with the start {whole['peer'] / whole['ours']:.2f}",
                flush=True,
            )


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"))  # noqa: S108 - a directory in it is made
    parser.add_argument("--copier", choices=("core", "nbdcopy"), default="core")
    parser.add_argument("--over", choices=("https", "unix", "both"), default="both")
    chosen = parser.parse_args()
    for way in ("https", "unix") if chosen.over == "both" else (chosen.over,):
        with tempfile.TemporaryDirectory(prefix="v2v-b.", dir=chosen.place) as name:
            measure(way, Path(name), chosen.size * MIB, chosen.rounds, chosen.connections, chosen.copier)
    return 0


if __name__ == "__main__":
    sys.exit(main())
