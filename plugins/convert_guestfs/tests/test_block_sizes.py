# SPDX-License-Identifier: GPL-2.0-or-later
"""The size of a disk's logical blocks, by the place of its GPT."""

from __future__ import annotations

import struct
import subprocess
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.block_sizes import block_size_of, find_sizes, open_appliance
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, Guest, SourceDisk
from v2v_core.testing import FakeReporter

LINUX = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")


def gpt(block: int, *, own: int = 1) -> bytes:
    header = struct.pack("<8sIIIIQQ", b"EFI PART", 0x10000, 92, 0, 0, own, 0)
    return bytes(block) + header.ljust(block, b"\0")


class Disks:
    """What libguestfs says of disks with these contents."""

    def __init__(self, *starts: bytes) -> None:
        self.starts = starts

    def list_devices(self) -> list[str]:
        return [f"/dev/sd{letter}" for letter, _ in zip("abc", self.starts, strict=False)]

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        start = self.starts["abc".index(device[-1])]
        if start == b"error":
            raise RuntimeError("pread_device: input/output error")
        return start[offset : offset + count]


def request(report: FakeReporter, *stated: int | None) -> ConvertRequest:
    return ConvertRequest(
        directory=Path(),
        temporary=Path(),
        guest=Guest(name="g", disks=tuple(SourceDisk(index=i, block_size=size) for i, size in enumerate(stated, 1))),
        disks=tuple(DiskEndpoint(index=i, uri=f"nbd://x/{i}") for i, _ in enumerate(stated, 1)),
        settings=ConvertSettings(emulation=True),
        report=report,
    )


def test_the_header_tells_the_size() -> None:
    """See aerynOS/disks-rs#39: a GPT counts in logical blocks, and everything assumed 512 bytes."""
    assert block_size_of(gpt(512)) == 512
    assert block_size_of(gpt(4096)) == 4096
    assert block_size_of(bytes(12288)) is None
    # What is left of an older table: its header says that it was elsewhere.
    assert block_size_of(gpt(512, own=8) + bytes(4096 - 1024) + gpt(4096)[4096:]) == 4096


@given(st.binary(max_size=200), st.sampled_from([512, 4096]))
def test_any_content_has_a_size_or_none(rest: bytes, block: int) -> None:
    assert block_size_of(bytes(block) + b"EFI PART" + rest) in {512, 4096, None}


def test_the_partition_table_goes_before_the_source() -> None:
    """See cloud-hypervisor/cloud-hypervisor#8595: made with 512 bytes, attached with 4096, no partition was found."""
    report = FakeReporter()
    stated: tuple[int | None, ...] = (4096, None, 4096)
    found = find_sizes(request(report, *stated), Disks(gpt(512), gpt(4096), b"error"), stated)
    assert found == (512, 4096, 4096)
    (warning,) = report.warnings
    assert "disk 1 has logical blocks of 4096 bytes, its partition table counts in blocks of 512" in warning
    assert report.infos == ["Disk 2 has logical blocks of 4096 bytes (4Kn), as its partition table shows"]


def test_a_size_that_the_appliance_cannot_have_is_refused() -> None:
    with pytest.raises(ConversionError, match="disk 1 has logical blocks of 16384 bytes"):
        find_sizes(request(FakeReporter(), 16384), Disks(bytes(9000)), (16384,))


@pytest.mark.slow
def test_the_appliance_finds_the_partitions_of_such_a_disk(
    tmp_path: Path, serve: Callable[[Path], DiskEndpoint]
) -> None:
    """See QubesOS/qubes-issues#4974: a disk made with blocks of 4 KiB has no partitions where blocks have 512 bytes."""
    images = [tmp_path / "4kn.img", tmp_path / "usual.img"]
    for image, size in zip(images, (4096, 512), strict=True):
        start, count = 2**20 // size, 24 * 2**20 // size
        header = gpt_with_a_partition(size, 32 * 2**20 // size, start, count)
        with image.open("wb") as file:
            file.truncate(32 * 2**20)
            file.write(header)
        offset = ["-E", f"offset={2**20}"]
        subprocess.run(["mkfs.ext4", "-q", "-F", *offset, str(image), f"{24 * 1024}k"], check=True)
    report = FakeReporter()
    asked = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="g", disks=(SourceDisk(index=1), SourceDisk(index=2))),
        disks=tuple(serve(image) for image in images),
        settings=ConvertSettings(emulation=True),
        report=report,
    )
    with ExitStack() as stack:
        handle, sizes = open_appliance(asked, stack)
        assert sizes == (4096, 512)
        assert [handle.vfs_type(device) for device in ("/dev/sda1", "/dev/sdb1")] == ["ext4", "ext4"]
        assert [handle.blockdev_getss(device) for device in ("/dev/sda", "/dev/sdb")] == [4096, 512]


def gpt_with_a_partition(block: int, blocks: int, start: int, count: int) -> bytes:
    """Return the beginning of a disk with a protective MBR and a GPT (UEFI specification, 5.3)."""
    from binascii import crc32

    mbr = (
        bytes(446)
        + struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, blocks - 1)
        + bytes(48)
        + b"\x55\xaa"
    )
    entry = struct.pack("<16s16sQQQ72s", LINUX.bytes_le, uuid.uuid4().bytes_le, start, start + count - 1, 0, b"")
    entries = entry.ljust(128 * 128, b"\0")
    first = 2 + len(entries) // block

    def header(crc: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            *(
                b"EFI PART",
                0x10000,
                92,
                crc,
                0,
                1,
                blocks - 1,
                first,
                blocks - first - 1,
                uuid.uuid5(LINUX, "d").bytes_le,
            ),
            *(2, 128, 128, crc32(entries)),
        )

    return mbr.ljust(block, b"\0") + header(crc32(header(0))).ljust(block, b"\0") + entries
