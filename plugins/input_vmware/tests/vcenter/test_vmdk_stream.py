# SPDX-License-Identifier: GPL-2.0-or-later
"""Decoding stream-optimized VMDKs: as servers send them and as qemu-img makes them, whole, cut and damaged."""

from __future__ import annotations

import io
import random
import subprocess
from pathlib import Path

import pytest

from export_stream import as_sent, made_by_qemu
from v2v_input_vmware.vcenter.vmdk_stream import DamagedStream, WrongStream, decode

_SIZE = 3 * 1024 * 1024 + 512 * 7


def _content() -> bytes:
    """Return a disk with random data, zeros, text, and an end within a grain."""
    made = random.Random(14)  # noqa: S311 - the same bytes in each run
    pieces = [made.randbytes(200_000), bytes(700_000), b"text " * 50_000, bytes(1_000_000), made.randbytes(70_000)]
    return b"".join(pieces).ljust(_SIZE - 5, b"\0") + b"end!\n"


CONTENT = _content()


class _Arriving:
    def __init__(self, data: bytes) -> None:
        self.take = io.BytesIO(data).read


def _decoded(stream: bytes, size: int = _SIZE) -> bytes:
    disk = bytearray(size)

    def write(offset: int, data: bytes) -> None:
        assert data.strip(b"\0"), "zeros are written"
        disk[offset : offset + len(data)] = data

    decode(_Arriving(stream), size, write)
    return bytes(disk)


def test_as_servers_send_it(tmp_path: Path) -> None:
    stream = as_sent(CONTENT)
    same = _decoded(stream) == CONTENT
    assert same
    # the test's own writer is right: qemu reads the same from it
    (tmp_path / "stream.vmdk").write_bytes(stream)
    (tmp_path / "raw").write_bytes(CONTENT)
    argv = ["qemu-img", "compare", "-f", "vmdk", "-F", "raw", tmp_path / "stream.vmdk", tmp_path / "raw"]
    subprocess.run(argv, check=True, capture_output=True)


def test_as_qemu_makes_it(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(CONTENT)
    stream = made_by_qemu(tmp_path / "raw", tmp_path / "stream.vmdk").read_bytes()
    same = _decoded(stream) == CONTENT
    assert same


def test_an_empty_disk() -> None:
    assert _decoded(as_sent(bytes(_SIZE))) == bytes(_SIZE)


@pytest.mark.parametrize("maker", ["server", "qemu"])
def test_a_stream_that_is_cut_anywhere_is_noticed(tmp_path: Path, maker: str) -> None:
    """A cut stream is never taken for a whole one."""
    (tmp_path / "raw").write_bytes(CONTENT)
    stream = as_sent(CONTENT) if maker == "server" else made_by_qemu(tmp_path / "raw", tmp_path / "v").read_bytes()
    # qemu-img leaves a grain of zeros behind the last grain
    last = len(stream.rstrip(b"\0")) if maker == "qemu" else len(stream) - 512
    for end in sorted({*range(0, last, 512 * 7), 1, 511, 513, last - 1000, last - 1, last}):
        if end < last or maker == "server":
            with pytest.raises(DamagedStream):
                _decoded(stream[:end])


def test_damage_is_noticed() -> None:
    """Every byte of a grain counts: zlib has a checksum."""
    stream = as_sent(CONTENT)
    first = 128 * 512
    for at in (first, first + 3, first + 9, first + 12, first + 13, first + 5000, first + 60_000):
        damaged = bytearray(stream)
        damaged[at] ^= 0x55
        with pytest.raises(DamagedStream):
            _decoded(bytes(damaged))


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (0, b"<htm", "it is not a VMDK"),
        (4, b"\x09", "it is not a VMDK"),
        (8, b"\x03\x00\x00", "not a stream-optimized VMDK"),
        (20, b"\x81", "not a stream-optimized VMDK"),
        (12, b"\x01", "and the inventory says"),
    ],
)
def test_what_is_no_such_stream(at: int, new: bytes, why: str) -> None:
    stream = bytearray(as_sent(CONTENT))
    stream[at : at + len(new)] = new
    with pytest.raises(WrongStream, match=why):
        _decoded(bytes(stream))


def test_line_ends_that_were_changed() -> None:
    with pytest.raises(DamagedStream, match="line ends"):
        _decoded(as_sent(CONTENT)[:512].replace(b"\n \r\n", b"\n \n\n") + bytes(512))


def test_random_bytes_never_crash_it() -> None:
    """Whatever arrives, the answer is one of the two errors, or a disk that the stream really describes."""
    stream, made = as_sent(CONTENT[: 512 * 400]), random.Random(7)  # noqa: S311 - the same damage in each run
    for _ in range(400):
        damaged = bytearray(stream)
        for _ in range(made.randint(1, 6)):
            damaged[made.randrange(len(damaged)) if made.random() < 0.5 else made.randrange(600)] = made.randrange(256)
        try:
            _decoded(bytes(damaged), 512 * 400)
        except (DamagedStream, WrongStream):
            continue
