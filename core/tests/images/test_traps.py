# SPDX-License-Identifier: GPL-2.0-or-later
"""Traps: images that make qemu serve a file of the host. Each trap works on qemu alone, and must be refused.

An image of a package may name files in the package's directory. A trap hides another name from the check, or has a name
that the check and qemu resolve to different files.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_core.errors import SourceError
from v2v_core.images import describe_image
from v2v_core.model import QemuImage
from v2v_core.serving.qemu_nbd import block_node, json_name

MIB = 1024 * 1024
SECTORS = MIB // 512
SECRET = b"secret of the host "
FLAT = 'version=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'

Trap = Callable[[Path, Path], None]


def descriptor(extents: str) -> str:
    return f"# Disk DescriptorFile\n{FLAT}{extents}"


def sparse_header(*, capacity: int, descriptor_size: int) -> bytes:
    """Return a sparse extent header ("Virtual Disk Format 5.0") whose descriptor is in the next sector."""
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, capacity, 128, 1, descriptor_size)
    return header.ljust(512, b"\0")


def relative_data_file(disk: Path, secret: Path) -> None:
    """qemu resolves the name against its current directory, which has the file of the host."""
    (disk.parent / secret.name).write_bytes(b"harmless".ljust(MIB))
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={secret.name},data_file_raw=on", disk, "1M", cwd=disk.parent)
    (disk.parent / secret.name).write_bytes(b"harmless".ljust(MIB))


def signed_number(disk: Path, secret: Path) -> None:
    disk.write_text(descriptor(f'RW +{SECTORS} FLAT "{secret}" 0\n'))


def no_space_after_the_number(disk: Path, secret: Path) -> None:
    disk.write_text(descriptor(f'RW {SECTORS}FLAT "{secret}" 0\n'))


def no_quote_at_the_end(disk: Path, secret: Path) -> None:
    disk.write_text(descriptor(f'RW {SECTORS} VMFS "{secret}\n').replace("monolithicFlat", "vmfs"))


def a_line_within_quotes(disk: Path, secret: Path) -> None:
    """A parser that pairs the quotes takes the extent for a part of the preceding name."""
    disk.write_text(descriptor(f'RW {SECTORS} ZERO "\nRW {SECTORS} FLAT "{secret}" 0\n'))


def a_name_of_more_than_511_bytes(disk: Path, secret: Path) -> None:
    """qemu truncates the name. The whole name leads back into the directory."""
    cut = f".{os.path.relpath(secret, disk.parent).rjust(510, '/')}"
    name = f"{cut}/../../{disk.parent.name}/harmless"
    (disk.parent / "harmless").write_bytes(b"harmless".ljust(MIB))
    disk.write_text(descriptor(f'RW {SECTORS} VMFS "{name}"\n').replace("monolithicFlat", "vmfs"))


def an_extent_that_is_a_descriptor(disk: Path, secret: Path) -> None:
    """qemu opens the files that the descriptor of a sparse extent names if the capacity of the extent is 0."""
    disk.write_text(
        descriptor(f'RW {SECTORS} SPARSE "extent.vmdk"\n').replace("monolithicFlat", "twoGbMaxExtentSparse")
    )
    inner = descriptor(f'RW {SECTORS} FLAT "{secret}" 0\n').encode()
    (disk.parent / "extent.vmdk").write_bytes(sparse_header(capacity=0, descriptor_size=2) + inner.ljust(1024, b"\0"))


def a_descriptor_without_a_size(disk: Path, secret: Path) -> None:
    """qemu reads the embedded descriptor to its end, whatever size the header has for it."""
    inner = descriptor(f'RW {SECTORS} FLAT "{secret}" 0\n').encode()
    disk.write_bytes(sparse_header(capacity=0, descriptor_size=0) + inner.ljust(1024, b"\0"))


def a_descriptor_of_a_mebibyte(disk: Path, secret: Path) -> None:
    """qemu reads one byte less than 1 MiB, and thus a shorter name."""
    (disk.parent / "sub").mkdir()
    line = f'RW {SECTORS} VMFS "{secret}'
    head = descriptor("").replace("monolithicFlat", "vmfs")
    text = f"{head}{'#' * (MIB - 1 - len(head) - len(line) - 1)}\n{line}"
    assert len(text) == MIB - 1
    disk.write_text(f'{text}x/../../..{disk.parent}/harmless"\n')
    (disk.parent / "harmless").write_bytes(b"harmless".ljust(MIB))


def a_json_name(disk: Path, secret: Path) -> None:
    below = "json:" + json.dumps({"driver": "raw", "file": {"driver": "file", "filename": str(secret)}})
    qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", below, disk, "1M")


def a_protocol(disk: Path, secret: Path) -> None:
    qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", f"file:{secret}", disk, "1M")


def an_absolute_backing_file(disk: Path, secret: Path) -> None:
    qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", secret, disk, "1M")


def a_parent_with_an_extent_elsewhere(disk: Path, secret: Path) -> None:
    """The disk itself is harmless, but its backing file is not."""
    (disk.parent / "parent.vmdk").write_text(descriptor(f'RW {SECTORS} FLAT "{secret}" 0\n'))
    qemu_img("create", "-f", "vmdk", "-F", "vmdk", "-b", "parent.vmdk", disk, cwd=disk.parent)


def a_link(disk: Path, secret: Path) -> None:
    (disk.parent / "extent").symlink_to(secret)
    disk.write_text(descriptor(f'RW {SECTORS} FLAT "extent" 0\n'))


def a_linked_directory(disk: Path, secret: Path) -> None:
    (disk.parent / "sub").symlink_to(secret.parent)
    disk.write_text(descriptor(f'RW {SECTORS} FLAT "sub/{secret.name}" 0\n'))


def upwards(disk: Path, secret: Path) -> None:
    disk.write_text(descriptor(f'RW {SECTORS} FLAT "{os.path.relpath(secret, disk.parent)}" 0\n'))


def a_link_as_the_disk(disk: Path, secret: Path) -> None:
    disk.symlink_to(secret)


TRAPS = (
    relative_data_file, signed_number, no_space_after_the_number, no_quote_at_the_end, a_line_within_quotes,
    a_name_of_more_than_511_bytes, an_extent_that_is_a_descriptor, a_descriptor_without_a_size,
    a_descriptor_of_a_mebibyte, a_json_name, a_protocol, an_absolute_backing_file, a_parent_with_an_extent_elsewhere,
    a_link, a_linked_directory, upwards, a_link_as_the_disk,
)  # fmt: skip


def qemu_img(*words: str | Path, cwd: Path | None = None) -> str:
    argv = ["qemu-img", *map(str, words)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, cwd=cwd).stdout


def served(image: QemuImage, cwd: Path) -> bytes:
    """Return what qemu reads from an image that is opened as core opens it."""
    target = cwd / "served"
    qemu_img("convert", "-U", "-O", "raw", json_name(block_node(image)), target, cwd=cwd)
    try:
        return target.read_bytes()
    finally:
        target.unlink()


def by_qemu_alone(disk: Path, cwd: Path) -> bytes:
    target = cwd / "alone"
    qemu_img("convert", "-U", "-O", "raw", disk, target, cwd=cwd)
    return target.read_bytes()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Create a file of the host, in the directory in which the servers are started."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").write_bytes((SECRET * (MIB // len(SECRET) + 1))[:MIB])
    return host / "secret"


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: str(trap.__name__))
def test_traps(trap: Trap, tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(secret.parent)
    package = tmp_path / "package"
    package.mkdir()
    disk = package / "disk.vmdk"
    trap(disk, secret)
    assert SECRET in by_qemu_alone(disk, secret.parent), "the trap does not work on this qemu"
    try:
        image = describe_image(disk, None, within=package)
    except SourceError as err:
        assert err.hint
        return
    assert SECRET not in served(image, secret.parent)
    pytest.fail("the image is harmless, but not refused")
