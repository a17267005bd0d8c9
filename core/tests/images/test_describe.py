# SPDX-License-Identifier: GPL-2.0-or-later
"""Images in a part of a file, and images that may only name files in one directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from v2v_core.errors import SourceError
from v2v_core.images import describe_image

MIB = 1024 * 1024


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Create a VMDK of a descriptor and an extent in a directory of its own."""
    directory = tmp_path / "guest"
    directory.mkdir()
    qemu_img("create", "-f", "vmdk", "-o", "subformat=monolithicFlat", directory / "disk.vmdk", "10M")
    return directory / "disk.vmdk"


def test_an_image_in_a_part_of_a_file(tmp_path: Path) -> None:
    qemu_img("create", "-f", "vmdk", "-o", "subformat=streamOptimized", tmp_path / "disk", "10M")
    data = (tmp_path / "disk").read_bytes()
    archive = tmp_path / "archive"
    archive.write_bytes(b"x" * 1536 + data + b"y" * 512)
    image = describe_image(archive, None, window=(1536, len(data)))
    assert (image.format, image.offset, image.size) == ("vmdk", 1536, len(data))


def test_a_backing_file_in_a_part_of_a_file_is_seen(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-u", "-b", "/etc/hostname", tmp_path / "evil", "1M")
    data = (tmp_path / "evil").read_bytes()
    archive = tmp_path / "archive"
    archive.write_bytes(b"x" * 512 + data)
    with pytest.raises(SourceError, match="refers to another file"):
        describe_image(archive, None, window=(512, len(data)))


def test_extents_in_the_directory_may_be_opened(flat: Path) -> None:
    assert describe_image(flat, "vmdk", within=flat.parent).format == "vmdk"
    with pytest.raises(SourceError, match="refers to another file"):
        describe_image(flat, "vmdk")


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret", "link", "../guest-too/secret"])
def test_extents_elsewhere_may_not(flat: Path, name: str) -> None:
    (flat.parent.parent / "secret").write_bytes(b"s" * 512)
    (flat.parent.parent / "guest-too").mkdir()
    (flat.parent.parent / "guest-too/secret").write_bytes(b"s" * 512)
    (flat.parent / "link").symlink_to("../secret")
    flat.write_text(flat.read_text().replace("disk-flat.vmdk", name))
    with pytest.raises(SourceError, match="refers to a file outside"):
        describe_image(flat, "vmdk", within=flat.parent)


def test_a_parent_in_the_directory_is_opened_with_its_own_format(flat: Path) -> None:
    delta = flat.parent / "disk-000001.vmdk"
    qemu_img("create", "-f", "vmdk", "-F", "vmdk", "-b", "disk.vmdk", delta)
    image = describe_image(delta, "vmdk", within=flat.parent)
    assert image.backing is not None
    assert image.backing.path == flat
    assert image.backing.format == "vmdk"
