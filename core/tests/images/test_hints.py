# SPDX-License-Identifier: GPL-2.0-or-later
"""The hints about images help: each is followed here as a user would, in a shell, and the image is then accepted."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from v2v_core.errors import SourceError
from v2v_core.images import describe_image


def qemu_img(*words: str | Path, cwd: Path) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True, cwd=cwd)


def hint_about(path: Path, image_format: str = "qcow2") -> str:
    with pytest.raises(SourceError) as caught:
        describe_image(path, image_format, external=True)
    return str(caught.value.hint)


def follow(command: str, cwd: Path) -> None:
    """Paste a command of a hint into a shell that is somewhere else."""
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, cwd=cwd)


@pytest.mark.parametrize("name", ["disk.qcow2", "a disk's, copy.qcow2"])
def test_a_data_file_with_a_relative_name(tmp_path: Path, name: str) -> None:
    """qemu-img itself looks for the data file in the current directory, so the hint has to go there first."""
    place = tmp_path / "my guests, 1"
    place.mkdir()
    qemu_img("create", "-f", "qcow2", "-o", "data_file=disk.raw,data_file_raw=on", name, "1M", cwd=place)
    _, colon, command = hint_about(place / name).partition(": ")
    assert colon
    follow(command, tmp_path)
    assert describe_image(place / name, "qcow2", external=True).format == "qcow2"


def test_a_backing_file_without_a_format(tmp_path: Path) -> None:
    """shakenfist/shakenfist#326, fabianlee/local-kvm-cloudimage#2: images of older programs do not say the format."""
    qemu_img("create", "-f", "qcow2", "base", "1M", cwd=tmp_path)
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", "base", "above it.qcow2", cwd=tmp_path)
    image = tmp_path / "above it.qcow2"
    # the header extension that holds the format is given another type, as if it were not there
    data = image.read_bytes()
    assert data.count(b"\xe2\x79\x2a\xca") == 1
    image.write_bytes(data.replace(b"\xe2\x79\x2a\xca", b"\x12\x34\x56\x78"))
    hint = hint_about(image)
    assert not re.search(r"[|<>]", hint), "a shell would take it for a pipe"
    words = shlex.split(hint.partition(": ")[2].replace("FORMAT", "qcow2"))
    subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
    backing = describe_image(image, "qcow2", external=True).backing
    assert backing is not None
    assert backing.format == "qcow2"


def test_an_image_with_a_damaged_header_can_be_converted_as_another_format(tmp_path: Path) -> None:
    """The hint names -if for -i disk, because -i ova and -i vmx do not take it."""
    image = tmp_path / "disk.img"
    image.write_bytes(b"QFI\xfb" + b"\xff" * 1020)
    assert "-i disk -if FORMAT" in hint_about(image)
    assert describe_image(image, "raw").format == "raw"
