# SPDX-License-Identifier: GPL-2.0-or-later
"""Images with a parent that qemu cannot open, made by setting the bytes that say so in images of qemu-img."""

from __future__ import annotations

import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from v2v_core.errors import SourceError
from v2v_core.images import describe_image


@pytest.fixture(params=["vpc", "vdi", "vhdx"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / f"disk.{request.param}"
    subprocess.run(["qemu-img", "create", "-q", "-f", request.param, path, "8M"], check=True)
    return path, request.param


def differing(path: Path, image_format: str) -> None:
    data = bytearray(path.read_bytes())
    if image_format == "vpc":
        for footer in (0, len(data) - 512):
            struct.pack_into(">I", data, footer + 60, 4)
            struct.pack_into(">I", data, footer + 64, 0)
            struct.pack_into(">I", data, footer + 64, ~sum(data[footer : footer + 512]) & 0xFFFFFFFF)
    elif image_format == "vdi":
        data[0x1B8:0x1C8] = uuid.uuid4().bytes
    else:
        table = data.index(b"metadata")
        item = data.index(uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le, table)
        (offset,) = struct.unpack_from("<I", data, item + 16)
        struct.pack_into("<I", data, table + offset + 4, 2)
    path.write_bytes(data)


def test_a_whole_image_has_no_parent(whole: tuple[Path, str]) -> None:
    path, image_format = whole
    assert describe_image(path, None).format == image_format


@pytest.mark.parametrize("in_archive", [False, True])
def test_an_image_with_a_parent_is_refused(whole: tuple[Path, str], in_archive: bool) -> None:
    """qemu-img converts such a VHD without a warning, with zeros in place of the data of the parent."""
    path, image_format = whole
    differing(path, image_format)
    window = None
    if in_archive:
        window = (512, path.stat().st_size)
        path.write_bytes(b"x" * 512 + path.read_bytes())
    for external in (False, True):
        with pytest.raises(SourceError, match=r"differences from another .* image, its parent") as caught:
            describe_image(path, None, external=external, window=window)
        assert "merge the two" in (caught.value.hint or "")
