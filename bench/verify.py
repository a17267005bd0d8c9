#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What --verify costs: the same disk, copied with and without it, in turn.

    .venv/bin/python bench/verify.py [--size MiB] [--rounds N] [--rate MB/s] [--place DIR] [ENDS...]

Each copy is a copy process of its own, as the copy step starts it. Half of the disk is random data, half are holes. The
ends are equally fast in each case, and reading back uses the way on which the disk was written:

    file    local raw image to local raw image
    nbd     nbdkit to nbdkit over Unix sockets, as fast as they can
    qcow2   nbdkit to a qcow2 image that qemu-nbd writes
    rate    nbdkit to nbdkit, of which each lets --rate pass in either direction
    remote  as rate, with the time that an answer takes over a network

Printed are the medians of the times, and of the ratios of neighbours. --verify may add a quarter.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from v2v_core.copying.copy_process import copy_disk
from v2v_core.copying.task import CopyTask, DestinationEnd, SourceEnd
from v2v_core.testing import FakeReporter

MIB = 1024 * 1024
PIECE = 16 * MIB
ENDS = ("file", "nbd", "qcow2", "rate", "remote")


@dataclass(frozen=True)
class Options:
    """What is measured."""

    size: int
    rounds: int
    rate: int
    place: Path


def make_image(path: Path, size: int) -> None:
    """Make the disk to copy."""
    with path.open("wb") as stream:
        for offset in range(0, size, 2 * PIECE):
            stream.seek(offset)
            stream.write(os.urandom(PIECE))
        stream.truncate(size)


@contextlib.contextmanager
def serving(socket: Path, argv: list[str]) -> Iterator[str]:
    """Run a server while the block runs, and yield its URI."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not socket.exists():
            if process.poll() is not None:
                raise SystemExit(f"{argv[0]} does not run")
            time.sleep(0.01)
        yield f"nbd+unix:///?socket={socket}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        socket.unlink(missing_ok=True)


def nbdkit(socket: Path, image: Path, ends: str, rate: int) -> list[str]:
    """Return the command line of a server for a raw image."""
    filters, values = [], []
    if ends == "remote":
        filters.append("--filter=delay")
        values += ["rdelay=2ms", "wdelay=2ms"]
    if ends in {"rate", "remote"}:
        # a short burst, so that small disks are copied at the rate, too
        filters.append("--filter=rate")
        values += [f"rate={rate * 8}", "burstiness=0.1"]
    return ["nbdkit", "-f", "-U", str(socket), *filters, "file", str(image), *values]


def seconds(ends: str, options: Options, image: Path, *, verify: bool) -> float:
    """Copy the disk once, and return how long it took."""
    scratch = Path(tempfile.mkdtemp(dir=options.place))
    target = scratch / "target"
    try:
        with contextlib.ExitStack() as stack:
            source_socket, target_socket = scratch / "in", scratch / "out"
            source_uri = stack.enter_context(serving(source_socket, nbdkit(source_socket, image, ends, options.rate)))
            if ends == "qcow2":
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", target, str(options.size)], check=True)
                argv = ["qemu-nbd", "-t", "-e", "0", "-k", str(target_socket), "-f", "qcow2", "--discard=unmap"]
                argv += ["--cache=writeback", str(target)]
            else:
                target.touch()
                os.truncate(target, options.size)
                argv = nbdkit(target_socket, target, ends, options.rate)
            target_uri = stack.enter_context(serving(target_socket, argv))
            local = ends == "file"
            task = CopyTask(
                index=1,
                size=options.size,
                source=SourceEnd(
                    uri=source_uri, base=source_uri, file=image if local else None, identity="in", version="1"
                ),
                destination=DestinationEnd(uri=target_uri, file=target if local else None, zeroed=True, identity="out"),
                place=scratch / "copy",
                hashing=True,
                verify=verify,
            )
            task.place.mkdir()
            os.sync()
            start = time.monotonic()
            result = copy_disk(task, FakeReporter())
            taken = time.monotonic() - start
            if result.verified != verify:
                raise SystemExit("the disk was not compared")
            return taken
    finally:
        shutil.rmtree(scratch)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ends", nargs="*", metavar="ENDS", help=f"of {', '.join(ENDS)}; all if none is named")
    parser.add_argument("--size", type=int, default=2048, help="MiB; half of it is data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=100, help="MB per second of each limited server")
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"))  # noqa: S108 - a directory of its own is made in it
    given = parser.parse_args()
    if unknown := set(given.ends) - set(ENDS):
        parser.error(f"unknown ends {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        options = Options(size=given.size * MIB, rounds=given.rounds, rate=given.rate * 10**6, place=Path(place))
        image = options.place / "source"
        make_image(image, options.size)
        for ends in given.ends or ENDS:
            plain, verified = [], []
            for number in range(options.rounds):
                # who is first takes turns
                for verify in ((False, True), (True, False))[number % 2]:
                    (verified if verify else plain).append(seconds(ends, options, image, verify=verify))
            ratios = [with_it / without for with_it, without in zip(verified, plain, strict=True)]
            print(
                f"{ends:7} {statistics.median(plain):7.2f} s, with --verify {statistics.median(verified):7.2f} s, "
                f"ratio {statistics.median(ratios):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
