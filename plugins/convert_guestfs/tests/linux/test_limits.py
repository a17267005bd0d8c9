# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest may cost: memory and disk of the host are bounded, however small the guest makes its bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_convert_guestfs.linux.initramfs import compression, cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.image import read_image
from v2v_convert_guestfs.linux.kernels import parse_modules
from v2v_convert_guestfs.linux.packages.dpkg import installed_packages

_MIB = 1024 * 1024
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_a_bomb_takes_no_memory_and_little_disk(tmp_path: Path, kind: str) -> None:
    bomb, target = tmp_path / "bomb", tmp_path / "expanded"
    bomb.write_bytes(COMPRESSORS[kind](bytes(64 * _MIB)))
    tracemalloc.start()
    try:
        with bomb.open("rb") as source, pytest.raises(ArchiveError, match="too large"):
            compression.expand(kind, source, 0, target, 32 * _MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * _MIB
    assert target.stat().st_size <= 32 * _MIB


@pytest.mark.parametrize("kind", COMPRESSORS)
@pytest.mark.parametrize("size", [0, 1, _MIB - 1, _MIB, 2 * _MIB + 3])
def test_what_follows_is_found_whatever_the_size(tmp_path: Path, kind: str, size: int) -> None:
    data = random.Random(size).randbytes(size)  # noqa: S311 - not for secrets
    packed = COMPRESSORS[kind](data)
    source, target = tmp_path / "source", tmp_path / "expanded"
    source.write_bytes(b"before" + packed + b"after")
    with source.open("rb") as file:
        assert compression.expand(kind, file, 6, target) == 6 + len(packed)
    assert target.read_bytes() == data


def test_many_small_bombs_share_one_allowance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "EXPANDED_LIMIT", 3 * _MIB)
    image = tmp_path / "image"
    part = cpio.file_entry("a", bytes(_MIB), number=1)
    image.write_bytes(gzip.compress(part + cpio.trailer(len(part))) * 4)
    with pytest.raises(ArchiveError, match="too large"):
        read_image(image, tmp_path)


def test_tables_of_an_image_are_bounded() -> None:
    archive = b"".join(cpio.file_entry(f"{number}" + "x" * 4000, b"", number=number) for number in range(10))
    with pytest.raises(ArchiveError, match="too many"):
        list(cpio.read_entries(io.BytesIO(archive), 0, cpio.Allowance(entries=5)))
    with pytest.raises(ArchiveError, match="too many"):
        list(cpio.read_entries(io.BytesIO(archive), 0, cpio.Allowance(names=20_000)))


def test_a_file_that_says_it_is_long_is_not_read() -> None:
    entry = cpio.Entry("conf/conf.d/long", 0o100644, 1, 0xFFFFFF00, 0, 0, 0xFFFFFF00)
    with pytest.raises(ArchiveError, match="too large"):
        cpio.content(io.BytesIO(b""), entry)


def test_tables_of_modules_are_cut_off() -> None:
    many = b"".join(b"kernel/%d.ko:\n" % number for number in range(200_000))
    assert len(parse_modules(many, b"a\n" * 200_000).paths) < 50_000
    long = b"kernel/a.ko:" + b" b" * 2_000_000 + b"\nkernel/c.ko:\n"
    assert "c" not in parse_modules(long, b"").paths


def test_packages_are_read_without_copies_of_it_all() -> None:
    status = b"a\n\n" * 200_000 + b"Package: dpkg\nStatus: install ok installed\n"
    tracemalloc.start()
    try:
        assert installed_packages(status) == {"dpkg"}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _MIB / 2
