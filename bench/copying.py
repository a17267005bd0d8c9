#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a disk is copied, against qemu-img convert, nbdcopy and cp: the same image, the same run, in turn.

    .venv/bin/python bench/copying.py [--size MiB] [--rounds N] [--place DIR] [--case NAME...]

Half of the image is random data, half are holes. Every way ends when the copy is durable. What is measured of ours is
the whole process that copies a disk, with its start, plan, hashes and journal. Printed are medians in seconds, and the
ratio to the best of the peers. Who is first takes turns, and the first round does not count. --place is where the
images are. Servers are started before the clock. Cases:

    raw            local raw image to local raw image, in the page cache
    raw-cold       the same, dropped from the page cache before
    raw-unhashed   the same as raw, without hashes, against ours with hashes
    reflink        the same on XFS with shared blocks (needs root)
    from-qcow2, from-compressed, from-vmdk      that image to a raw one
    to-qcow2, to-compressed                     a raw image to that one
    nbd            NBD to NBD over Unix sockets
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
from collections.abc import Callable, Iterator
from pathlib import Path

from v2v_core.copying.task import CopyTask, DestinationEnd, SourceEnd
from v2v_core.records import to_json
from v2v_core.serving.qemu_nbd import qemu_nbd_environment

MIB = 1024 * 1024
#: Data and holes of the image come in turn, in pieces of this size.
PIECE = 16 * MIB
Way = Callable[[], None]
CASES = (
    *("raw", "raw-cold", "raw-unhashed", "reflink"),
    *("from-qcow2", "from-compressed", "from-vmdk", "to-qcow2", "to-compressed", "nbd"),
)


def run(*argv: str | Path) -> None:
    """Run a program that must succeed."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def make_image(path: Path, size: int) -> None:
    """Make the image to copy."""
    with path.open("wb") as stream:
        for offset in range(0, size, 2 * PIECE):
            stream.seek(offset)
            # half of each piece can be compressed
            stream.write(os.urandom(PIECE // 2) + b"compressible data " * (PIECE // 36))
        stream.truncate(size)


@contextlib.contextmanager
def serving(socket: Path, *argv: str | Path) -> Iterator[str]:
    """Run a server, and yield its URI."""
    socket.unlink(missing_ok=True)
    # as core serves images
    environment = {**os.environ, **qemu_nbd_environment()}
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            while not socket.exists():
                if process.poll() is not None:
                    raise SystemExit(f"{argv[0]} does not start")
                time.sleep(0.01)
            yield f"nbd+unix:///?socket={socket}"
        finally:
            process.terminate()


def qemu(socket: Path, image: Path, form: str, *more: str) -> contextlib.AbstractContextManager[str]:
    """Serve an image with qemu-nbd."""
    return serving(
        socket,
        *("qemu-nbd", "-t", "-e0", "--discard=unmap", "--detect-zeroes=off", "-f", form, "-k", socket, *more, image),
    )


def copy(task: CopyTask) -> None:
    """Copy a disk as the copy step does."""
    shutil.rmtree(task.place, ignore_errors=True)
    task.place.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "v2v_core.copying.worker", "2"],
        input=json.dumps(to_json(task)).encode(),
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())


class Bench:
    """The images in a directory, and the ways to copy them."""

    def __init__(self, place: Path, size: int) -> None:
        self.place, self.size = place, size
        self.raw, self.out = place / "source.img", place / "out.img"

    def task(self, source: SourceEnd, destination: DestinationEnd, *, hashing: bool | None) -> CopyTask:
        """Return the task of a copy."""
        return CopyTask(
            index=1,
            size=self.size,
            source=source,
            destination=destination,
            place=self.place / "copy",
            conversion="bench",
            hashing=hashing,
        )

    def fresh(self, form: str = "raw") -> None:
        """Make an empty destination."""
        self.out.unlink(missing_ok=True)
        run("qemu-img", "create", "-q", "-f", form, self.out, str(self.size))

    @contextlib.contextmanager
    def source(self, image: Path, form: str) -> Iterator[SourceEnd]:
        """Serve an image as when a disk is converted: there is a base, and an overlay that holds nothing."""
        overlay = self.place / "overlay"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", image, overlay)
        with (
            qemu(self.place / "in", image, form, "-r") as base,
            qemu(self.place / "now", overlay, "qcow2", "--allocation-depth") as now,
        ):
            yield SourceEnd(uri=now, base=base, overlay=True, file=image if form == "raw" else None, version="1")

    def to_raw(self, image: Path, form: str, hashing: bool | None = True) -> Way:
        """Return our way from an image to a raw one."""

        def way() -> None:
            self.fresh()
            with self.source(image, form) as source:
                end = DestinationEnd(uri="", file=self.out, zeroed=True)
                self.clock(copy, self.task(source, end, hashing=hashing))

        return way

    def to_server(self, *server: str) -> Way:
        """Return our way from the raw image to a server of the destination."""

        def way() -> None:
            self.fresh(server[0])
            with self.source(self.raw, "raw") as source, self.destination(*server) as out:
                self.clock(
                    copy, self.task(source, DestinationEnd(uri=out, written=self.out, zeroed=True), hashing=True)
                )

        return way

    def between_servers(self) -> None:
        """Copy from server to server with core's process."""
        self.fresh()
        with qemu(self.place / "in", self.raw, "raw", "-r") as uri, self.destination("raw") as out:
            source = SourceEnd(uri=uri, base=uri, version="1")
            self.clock(copy, self.task(source, DestinationEnd(uri=out, written=self.out, zeroed=True), hashing=True))

    def destination(self, form: str, *more: str) -> contextlib.AbstractContextManager[str]:
        """Serve the destination."""
        if more == ("compress",):
            image = f"driver=compress,file.driver=qcow2,file.file.driver=file,file.file.filename={self.out}"
            return serving(self.place / "out", "qemu-nbd", "-t", "-e0", "-k", self.place / "out", "--image-opts", image)
        return qemu(self.place / "out", self.out, form)

    def nbdcopy(self) -> None:
        """Copy from server to server with nbdcopy."""
        self.fresh()
        with qemu(self.place / "in", self.raw, "raw", "-r") as uri, self.destination("raw") as out:
            self.clock(run, "nbdcopy", "--destination-is-zero", "--flush", uri, out)

    def nbdcopy_files(self) -> None:
        """Copy from file to file with nbdcopy."""
        self.fresh()
        self.clock(run, "nbdcopy", "--destination-is-zero", "--flush", self.raw, self.out)

    def cp(self) -> None:
        """Copy with cp."""
        self.out.unlink(missing_ok=True)
        self.clock(run, "sh", "-c", 'cp --sparse=always "$0" "$1" && sync "$1"', self.raw, self.out)

    def qemu_img(self, source: Path, form: str, *more: str) -> Way:
        """Return the way of qemu-img convert."""

        def way() -> None:
            self.out.unlink(missing_ok=True)
            script = 'out="$1"; shift; qemu-img convert "$@" "$out" && sync "$out"'
            words = ("-W", "-m", "16", "-f", form, *(more or ("-O", "raw")), source)
            self.clock(run, "sh", "-c", script, "sh", self.out, *words)

        return way

    def clock(self, work: Callable[..., None], *arguments: object) -> None:
        """Measure some work."""
        begin = time.monotonic()
        work(*arguments)
        self.seconds = time.monotonic() - begin

    def converted(self, form: str, *options: str) -> Path:
        """Return the image in another format."""
        path = self.place / f"source-{'-'.join((form, *options)).replace('=', '-')}"
        if not path.exists():
            run("qemu-img", "convert", "-O", form, *options, self.raw, path)
        return path

    def cold(self, way: Way) -> Way:
        """Return a way that begins with nothing of the image in the page cache."""

        def wrapped() -> None:
            with self.raw.open("rb") as stream:
                os.fsync(stream.fileno())
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            way()

        return wrapped

    def ways(self, case: str) -> dict[str, Way]:  # noqa: PLR0911 - one for each case
        """Return the ways of a case, ours first."""
        if case == "raw-unhashed":
            return {"ours": self.to_raw(self.raw, "raw"), "unhashed": self.to_raw(self.raw, "raw", hashing=False)}
        if case in {"raw", "raw-cold"}:
            ways: dict[str, Way] = {
                "ours": self.to_raw(self.raw, "raw"),
                "qemu-img": self.qemu_img(self.raw, "raw"),
                "nbdcopy": self.nbdcopy_files,
                "cp": self.cp,
            }
            return {name: self.cold(way) for name, way in ways.items()} if case == "raw-cold" else ways
        if case == "reflink":
            return {"ours": self.to_raw(self.raw, "raw", hashing=None), "cp": self.cp}
        if case == "nbd":
            return {"ours": self.between_servers, "nbdcopy": self.nbdcopy}
        if case == "to-qcow2":
            return {"ours": self.to_server("qcow2"), "qemu-img": self.qemu_img(self.raw, "raw", "-O", "qcow2")}
        if case == "to-compressed":
            return {
                "ours": self.to_server("qcow2", "compress"),
                "qemu-img": self.qemu_img(self.raw, "raw", "-c", "-O", "qcow2"),
            }
        form, *options = {
            "from-qcow2": ("qcow2",),
            "from-compressed": ("qcow2", "-c"),
            "from-vmdk": ("vmdk", "-o", "subformat=streamOptimized"),
        }[case]
        source = self.converted(form, *options)
        return {"ours": self.to_raw(source, form), "qemu-img": self.qemu_img(source, form)}

    def measure(self, case: str, rounds: int) -> None:
        """Run the ways of a case in turn, and print the medians."""
        ways = self.ways(case)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name in list(ways)[:: 1 if number % 2 else -1]:
                os.sync()
                ways[name]()
                if number:
                    times[name].append(self.seconds)
        medians = {name: statistics.median(found) for name, found in times.items()}
        ours, best = medians.pop("ours"), min(medians.values())
        text = "  ".join(f"{name} {seconds:.2f}" for name, seconds in medians.items())
        print(f"{case:16} ours {ours:.2f}  {text}  ratio {ours / best:.2f}", flush=True)


@contextlib.contextmanager
def xfs(place: Path, size: int) -> Iterator[Path]:
    """Mount a new XFS."""
    image, mounted = place / "xfs", place / "mounted"
    with image.open("wb") as stream:
        stream.truncate(3 * size + 512 * MIB)
    mounted.mkdir()
    run("mkfs.xfs", "-q", "-m", "reflink=1", image)
    run("mount", "-o", "loop", image, mounted)
    try:
        yield mounted
    finally:
        run("umount", mounted)
        image.unlink()
        mounted.rmdir()


def main() -> None:
    """Measure the cases that the user wants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=6144, help="MiB; half of it is data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"))  # noqa: S108 - a directory of its own in it
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES)
    options = parser.parse_args()
    size = options.size * MIB
    with tempfile.TemporaryDirectory(dir=options.place) as name:
        place = Path(name)
        if set(options.case) - {"reflink"}:
            make_image(place / "source.img", size)
        for case in options.case:
            if case == "reflink":
                with xfs(place, size) as mounted:
                    make_image(mounted / "source.img", size)
                    Bench(mounted, size).measure(case, options.rounds)
            else:
                Bench(place, size).measure(case, options.rounds)


if __name__ == "__main__":
    main()
