#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What copying while converting saves, and what copying several disks at once saves, from sources with a limited rate.

    .venv/bin/python bench/overlap.py [--runs N] [--data MiB] [--rate MB/s] [--case NAME...] [--place DIR]

Cases:

    overlap    the guest ``debian12-vmware`` with a second disk full of data, each disk behind nbdkit's rate filter.
               Printed are the seconds of the conversion alone, of the copy alone, and of the whole run with --overlap,
               and the ratio of that to the longer of the two; and the bytes that were copied in either way.
    thick      the same, with a second disk whose free space is full of old data.
    parallel   four disks with --parallel 4, and one by one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from guests.build import disks  # noqa: E402 - found on the path that was just set
from guests.recipes import RECIPES  # noqa: E402

BIN = Path(sys.executable).parent
MIB = 1024 * 1024
CASES = ("overlap", "thick", "parallel")


@dataclass(frozen=True)
class Run:
    """The seconds of a run and of its steps, and the bytes of data that were copied."""

    seconds: float
    convert: float
    copy: float
    copied: int


@contextlib.contextmanager
def limited(images: list[Path], place: Path, rate: int) -> Iterator[list[str]]:
    """Serve images, each at most at a rate in MB/s, and yield their URIs."""
    servers, uris = [], []
    try:
        for number, image in enumerate(images):
            socket = place / f"source{number}"
            socket.unlink(missing_ok=True)
            # without bursts, or a short measurement sees much more than the rate
            argv = ["nbdkit", "-f", "-r", "-U", socket, "--filter=rate", "file", image]
            servers.append(subprocess.Popen([*argv, f"rate={rate * 8}M", "burstiness=0.1"]))
            uris.append(f"nbd+unix:///?socket={socket}")
        deadline = time.monotonic() + 10
        while not all((place / f"source{number}").exists() for number in range(len(images))):
            if time.monotonic() > deadline:
                raise SystemExit("nbdkit does not start")
            time.sleep(0.05)
        yield uris
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def data_disk(path: Path, mib: int, *, old: int = 0) -> None:
    """Make a disk with a file system that has a file of random data, and old data in its free space.

    :param mib: MiB of the file. :param old: MiB of old data.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as tree:
        with Path(tree, "data").open("wb") as stream:
            for _ in range(mib):
                stream.write(os.urandom(MIB))
        with path.open("wb") as stream:
            for _ in range(old):
                stream.write(os.urandom(MIB))
            stream.truncate((mib + old + 256) * MIB)
        # the old data stays where the new file system has nothing
        argv = ["mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-d", tree, path]
        subprocess.run(argv, check=True)


def convert(uris: list[str], place: Path, *options: str) -> Run:
    """Convert a guest, and return how long it took and what was copied."""
    out = place / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    argv = [BIN / "v2v", "convert", *uris, "--output-storage", out, "--json", *options]
    begin = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.monotonic() - begin
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    events = [json.loads(line) for line in done.stdout.splitlines()]
    totals = {event["disk"]: event["total"] for event in events if event["kind"] == "progress" and "disk" in event}
    return Run(seconds, _length(events, "convert"), _length(events, "copy"), sum(totals.values()))


def _length(events: list[dict[str, object]], step: str) -> float:
    times = {event["kind"]: event["time"] for event in events if event.get("step") == step}
    return float(times["step_finished"]) - float(times["step_started"])  # type: ignore[arg-type]  # numbers


def overlap(place: Path, runs: int, data: int, rate: int, *, thick: bool) -> None:
    """Compare runs with and without overlap."""
    (guest,) = disks(RECIPES["debian12-vmware"])
    second = place / "second.img"
    data_disk(second, data, old=data if thick else 0)
    ratios = []
    for _ in range(runs):
        with limited([guest, second], place, rate) as uris:
            apart = convert(uris, place, "--no-overlap")
        with limited([guest, second], place, rate) as uris:
            together = convert(uris, place, "--overlap")
        longer = max(apart.convert, apart.copy)
        ratios.append(together.seconds / longer)
        print(
            f"{'thick' if thick else 'overlap':8} conversion {apart.convert:.1f}  copy {apart.copy:.1f}  one after the "
            f"other {apart.seconds:.1f}  together {together.seconds:.1f}  ratio to the longer {ratios[-1]:.2f}  "
            f"copied {apart.copied / MIB:.0f} and {together.copied / MIB:.0f} MiB",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f}", flush=True)


def quietly(*argv: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def copy_four(uris: list[str], place: Path, parallel: int) -> float:
    """Copy four disks with the helper commands, and return the seconds of the copy."""
    directory, out = place / "run", place / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    quietly(BIN / "helper-v2v-input-disk", "--dir", directory, *uris)
    quietly(BIN / "helper-v2v-output-local", "setup", "--dir", directory, "-os", out)
    begin = time.monotonic()
    quietly(BIN / "helper-v2v-copy", "--dir", directory, "--parallel", str(parallel))
    seconds = time.monotonic() - begin
    quietly(BIN / "helper-v2v-cleanup", "--dir", directory)
    return seconds


def parallel(place: Path, runs: int, data: int, rate: int) -> None:
    """Compare four disks at once with one by one."""
    images = [place / f"disk{number}.img" for number in range(4)]
    for image in images:
        data_disk(image, data // 4)
    ratios = []
    for _ in range(runs):
        with limited(images, place, rate) as uris:
            one_by_one, together = copy_four(uris, place, 1), copy_four(uris, place, 4)
        ratios.append(together / one_by_one)
        print(f"parallel one by one {one_by_one:.1f}  four at once {together:.1f}  ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}", flush=True)


def main() -> None:
    """Measure the cases that the user wants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--data", type=int, default=2048, help="MiB of data of the second disk, or of four disks")
    parser.add_argument("--rate", type=int, default=50, help="MB/s of each source")
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"))  # noqa: S108 - a directory of its own in it
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.place, prefix="v2v-bench.") as name:
        place = Path(name)
        for case in options.case:
            if case == "parallel":
                parallel(place, options.runs, options.data, options.rate)
            else:
                overlap(place, options.runs, options.data, options.rate, thick=case == "thick")


if __name__ == "__main__":
    main()
