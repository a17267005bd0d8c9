#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the plan of a copy takes, and how much memory, for a large disk with many extents.

    .venv/bin/python bench/plan.py [--size TiB] [--extents N] [--place DIR] [--journal]

The disk has N extents of 4 KiB, evenly spread. It is served in three ways: a sparse raw file by qemu-nbd, with an empty
qcow2 overlay above it and without one, and the same file by nbdkit. For each, a process of its own reads the map, makes
the plan, and lists its pieces. With --journal, the journal has every second extent. The goal is 20 seconds and 256 MiB.

The file needs N blocks of its file system (4 GB for a million), and a file system that allows files of that size (XFS:
8 EiB, ext4: 16 TiB).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from v2v_core.copying.journal import open_journal
from v2v_core.copying.plan import make_plan
from v2v_core.copying.source_map import read_map
from v2v_core.copying.task import CopyTask, DestinationEnd, SourceEnd

TIB = 1 << 40
EXTENT = 4096


def make_disk(path: Path, size: int, extents: int) -> None:
    """Make a sparse file with extents of data, evenly spread."""
    data = os.urandom(EXTENT)
    step = size // extents // EXTENT * EXTENT
    with path.open("wb", buffering=0) as stream:
        stream.truncate(size)
        for number in range(extents):
            os.pwrite(stream.fileno(), data, number * step)


@contextlib.contextmanager
def served(directory: Path, *argv: str | Path) -> Iterator[str]:
    """Run a server, and yield its URI."""
    socket = directory / "socket"
    process = subprocess.Popen([socket if word == "SOCKET" else word for word in argv])
    try:
        while not socket.exists():
            if process.poll() is not None:
                raise SystemExit(f"{argv[0]} does not run")
            time.sleep(0.05)
        yield f"nbd+unix:///?socket={socket}"
    finally:
        process.terminate()
        process.wait()
        socket.unlink(missing_ok=True)


def measure(uri: str, size: int, place: Path, *, overlay: bool, journalled: bool) -> None:
    """Plan the copy of a disk, and print what it took."""
    task = CopyTask(
        index=1,
        size=size,
        source=SourceEnd(uri=uri, overlay=overlay, identity="bench"),
        destination=DestinationEnd(uri="", zeroed=True),
        conversion="bench",
        place=place,
    )
    began = time.monotonic()
    source = read_map(task)
    mapped = time.monotonic()
    if journalled:
        journal = open_journal(task)
        pieces = ((piece.offset, piece.length) for piece in source if piece.kind.is_data)
        half = [pair for number, pair in enumerate(pieces) if number % 2]
        journal.wrote(*((half, []) if overlay else ([], half)))
        journal.close()
    written = time.monotonic()
    journal = open_journal(task)
    plan = make_plan(task, source, journal)
    planned = time.monotonic()
    count = sum(1 for _ in plan.pieces(2 * 1024 * 1024))
    listed = time.monotonic()
    journal.close()
    total = listed - began - (written - mapped)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(source)} extents, {count} pieces, {plan.data} bytes to copy: map {mapped - began:.1f} s, "
        f"journal and plan {planned - written:.1f} s, pieces {listed - planned:.1f} s, in all {total:.1f} s; "
        f"at most {peak:.0f} MiB"
    )


def main() -> None:
    """Run the measurements that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=2.0, help="TiB")
    parser.add_argument("--extents", type=int, default=1_000_000)
    parser.add_argument("--place", type=Path, default=Path.cwd(), help="a directory for the disk")
    parser.add_argument("--journal", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("URI", "OVERLAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = int(arguments.size * TIB)
    with tempfile.TemporaryDirectory(prefix="v2v-bench-plan.", dir=arguments.place) as name:
        directory = Path(name)
        if arguments.one:
            uri, overlay = arguments.one
            measure(uri, size, directory / "copy", overlay=overlay == "overlay", journalled=arguments.journal)
            return
        disk, top = directory / "disk.raw", directory / "overlay.qcow2"
        make_disk(disk, size, arguments.extents)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", top], check=True)
        qemu: tuple[str | Path, ...] = ("qemu-nbd", "-r", "-t", "-A", "-k", "SOCKET")
        for what, overlay, argv in (
            ("qemu-nbd, overlay on raw", "overlay", (*qemu, "-f", "qcow2", top)),
            ("qemu-nbd, raw", "none", (*qemu, "-f", "raw", disk)),
            ("nbdkit file", "none", ("nbdkit", "--foreground", "--readonly", "--unix", "SOCKET", "file", disk)),
        ):
            with served(directory, *argv) as uri:
                print(f"{what}: ", end="", flush=True)
                again = [sys.executable, __file__, "--one", uri, overlay, "--size", str(arguments.size)]
                again += ["--place", arguments.place, *(["--journal"] if arguments.journal else [])]
                subprocess.run(again, check=True)


if __name__ == "__main__":
    main()
