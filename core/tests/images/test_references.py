# SPDX-License-Identifier: GPL-2.0-or-later
"""References to other files in image headers: real images made by qemu-img, and headers made to deceive."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.errors import SourceError
from v2v_core.images.references import References, read_references

MIB = 1024 * 1024


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


def references(path: Path, image_format: str) -> References:
    return read_references(path, image_format, path.stat().st_size)


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("qcow2", ""),
        ("qcow2", "compat=0.10"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=streamOptimized"),
        ("vhdx", ""),
        ("vdi", ""),
    ],
)
def test_a_whole_image_refers_to_nothing(tmp_path: Path, image_format: str, options: str) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-f", image_format, *(["-o", options] if options else []), path, "10M")
    assert not references(path, image_format).any


def test_a_renamed_vmdk_refers_to_nothing(tmp_path: Path) -> None:
    qemu_img("create", "-f", "vmdk", tmp_path / "old name.vmdk", "10M")
    path = (tmp_path / "old name.vmdk").rename(tmp_path / "new.vmdk")
    assert not references(path, "vmdk").any


def test_backing_file_and_its_format_are_read(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-u", "-b", "/etc/hostname", tmp_path / "evil", "1M")
    found = references(tmp_path / "evil", "qcow2")
    assert (found.backing, found.backing_format) == ("/etc/hostname", "raw")


def test_data_file_is_read(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/data", tmp_path / "disk", "1M")
    assert references(tmp_path / "disk", "qcow2").data_file == f"{tmp_path}/data"


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_external_extents_are_read(tmp_path: Path, subformat: str) -> None:
    qemu_img("create", "-f", "vmdk", "-o", f"subformat={subformat}", tmp_path / "disk.vmdk", "1M")
    (extent,) = references(tmp_path / "disk.vmdk", "vmdk").extents
    assert extent.name.startswith("disk-")
    assert extent.sparse is subformat.endswith("Sparse")


def test_parent_of_a_vmdk_is_read(tmp_path: Path) -> None:
    qemu_img("create", "-f", "vmdk", tmp_path / "parent.vmdk", "1M")
    qemu_img("create", "-f", "vmdk", "-F", "vmdk", "-b", "parent.vmdk", tmp_path / "child.vmdk")
    assert references(tmp_path / "child.vmdk", "vmdk").backing == "parent.vmdk"


def test_text_descriptor_that_names_a_host_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "evil.vmdk"
    path.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
        'createType="monolithicFlat"\nRW 1 FLAT "/etc/hostname" 0\n'
    )
    assert [extent.name for extent in references(path, "vmdk").extents] == ["/etc/hostname"]


def test_sparse_header_without_capacity_is_a_descriptor(tmp_path: Path) -> None:
    """qemu then opens the named extents, although the type is SPARSE and the descriptor is embedded."""
    descriptor = b'# Disk DescriptorFile\nparentCID=ffffffff\nRW 1 SPARSE "/etc/hostname"\n'
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 1).ljust(512, b"\0")
    path = tmp_path / "evil.vmdk"
    path.write_bytes(header + descriptor.ljust(512, b"\0"))
    assert [extent.name for extent in references(path, "vmdk").extents] == ["/etc/hostname"]


def test_descriptor_outside_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.vmdk"
    path.write_bytes(struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 2048, 128, 1 << 40, 20).ljust(1024, b"\0"))
    with pytest.raises(SourceError, match="outside the file"):
        references(path, "vmdk")


@given(st.binary(max_size=600), st.sampled_from([b"QFI\xfb\0\0\0\3", b"QFI\xfb\0\0\0\2", b"KDMV", b"# Disk D", b""]))
def test_no_header_gives_anything_but_references_or_an_error(tail: bytes, head: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as stream:
        stream.write(head + tail)
        stream.flush()
        for image_format in ("qcow2", "vmdk"):
            try:
                found = read_references(Path(stream.name), image_format, len(head + tail))
            except SourceError as err:
                assert image_format in str(err)
            else:
                assert isinstance(found, References)
