# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i disk``: arguments and images that are accepted or refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from v2v_core.api import (
    InputResult,
    InputSetupRequest,
    NbdUri,
    OptionValues,
    QemuImage,
    SourceError,
    UsageError,
)
from v2v_core.images import detect_format
from v2v_core.testing import FakeReporter
from v2v_input_disk.plugin import DiskInput, guest_name


def set_up(
    tmp_path: Path, *arguments: str | Path, external: bool = False, image_format: str | None = None
) -> InputResult:
    values = {"allow-external-files": ("true",)} if external else {}
    request = InputSetupRequest(
        directory=tmp_path,
        arguments=tuple(map(str, arguments)),
        format=image_format,
        options=OptionValues(values=values),
        report=FakeReporter(),
    )
    return DiskInput().v2v_input_setup(request)


def make(path: Path, image_format: str, *more: str | Path) -> Path:
    subprocess.run(
        ["qemu-img", "create", "-f", image_format, *map(str, more), str(path), "10M"], check=True, capture_output=True
    )
    return path


@pytest.mark.parametrize("image_format", ["raw", "qcow2", "vmdk", "vhdx", "vdi"])
def test_format_is_detected_by_its_magic_number(tmp_path: Path, image_format: str) -> None:
    disk = make(tmp_path / "disk", image_format)
    assert detect_format(disk) == image_format
    assert set_up(tmp_path, disk).disks == (QemuImage(path=disk, format=image_format),)


def test_forced_format_wins(tmp_path: Path) -> None:
    disk = make(tmp_path / "disk", "qcow2")
    assert set_up(tmp_path, disk, image_format="raw").disks == (QemuImage(path=disk, format="raw"),)


def test_several_disks_are_numbered_in_order(tmp_path: Path) -> None:
    disks = [make(tmp_path / "a.img", "raw"), make(tmp_path / "b.qcow2", "qcow2")]
    result = set_up(tmp_path, *disks, "nbd://localhost:10810/x")
    assert [disk.index for disk in result.guest.disks] == [1, 2, 3]
    assert result.disks[2] == NbdUri(uri="nbd://localhost:10810/x")
    assert result.guest.name == "a"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("/d/guest.img",), "guest"),
        (("guest-sda",), "guest"),
        (("a b'ü\".qcow2",), "a b'ü\""),
        (("nbd+unix:///?socket=/s", "/d/two.vmdk"), "two"),
        (("nbd://h/e",), "unknown"),
        ((".img",), ".img"),
        (("/dev/vg/lv",), "lv"),
    ],
)
def test_name_comes_from_the_first_file(arguments: tuple[str, ...], name: str) -> None:
    assert guest_name(arguments) == name


def test_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a:b.img", "raw")
    assert set_up(tmp_path, "a:b.img").disks == (QemuImage(path=tmp_path / "a:b.img", format="raw"),)


def test_no_argument(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expecting a disk image"):
        set_up(tmp_path)


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'qcow3'"):
        set_up(tmp_path, make(tmp_path / "disk", "raw"), image_format="qcow3")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.img: No such file"):
        set_up(tmp_path, tmp_path / "gone.img")


def test_directory_fifo_and_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    for name, why in ((".", "a directory"), ("fifo", "neither a file nor a block device"), ("empty", "is empty")):
        with pytest.raises(SourceError, match=why):
            set_up(tmp_path, tmp_path / name)


@pytest.mark.parametrize("image_format", ["qcow2", "vmdk", "vhdx", "vdi"])
def test_image_that_was_cut_short(tmp_path: Path, image_format: str) -> None:
    (tmp_path / "raw").write_bytes(os.urandom(4 * 1024 * 1024))
    disk = tmp_path / "disk"
    subprocess.run(["qemu-img", "convert", "-O", image_format, tmp_path / "raw", disk], check=True)
    os.truncate(disk, disk.stat().st_size // 2 // 512 * 512)
    with pytest.raises(SourceError, match=f"not a complete {image_format} image") as caught:
        set_up(tmp_path, disk)
    assert caught.value.hint is not None


def test_damaged_header(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"QFI\xfb" + b"\xff" * 508)
    with pytest.raises(SourceError, match="cannot be read as a qcow2 image: unknown version"):
        set_up(tmp_path, tmp_path / "disk")


def test_backing_file_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 512)
    disk = make(tmp_path / "disk", "qcow2", "-F", "raw", "-b", tmp_path / "secret")
    with pytest.raises(SourceError, match=r"backing file '.*secret'") as caught:
        set_up(tmp_path, disk)
    assert "allow-external-files" in (caught.value.hint or "")


def test_data_file_is_opened_by_its_absolute_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """qemu resolves a relative name against its current directory, not against that of the image."""
    monkeypatch.chdir(tmp_path)
    named = make(tmp_path / "named", "qcow2", "-o", f"data_file={tmp_path}/data,data_file_raw=on")
    with pytest.raises(SourceError, match="refers to another file: data file"):
        set_up(tmp_path, named)
    assert set_up(tmp_path, named, external=True).disks == (QemuImage(path=named, format="qcow2"),)
    subprocess.run(["qemu-img", "amend", "-f", "qcow2", "-o", "data_file=data", named], check=True)
    with pytest.raises(SourceError, match="not an absolute path") as caught:
        set_up(tmp_path, named, external=True)
    # following the hint helps
    hint = (caught.value.hint or "").replace("/PATH/TO/FILE", str(tmp_path / "data"))
    subprocess.run(hint[hint.index("qemu-img") :].split(), check=True)
    assert set_up(tmp_path, named, external=True).disks


@pytest.mark.parametrize(("name", "backing_format", "why"), [
    ("nbd://localhost/x", "raw", "an address for qemu"),
    ('json:{"driver":"file","filename":"/etc/hostname"}', "raw", "an address for qemu"),
    ("base", "qed", "format 'qed'"),
])  # fmt: skip
def test_backing_files_that_are_not_opened(tmp_path: Path, name: str, backing_format: str, why: str) -> None:
    make(tmp_path / "base", "qed")
    disk = make(tmp_path / "disk", "qcow2", "-u", "-F", backing_format, "-b", name)
    with pytest.raises(SourceError, match=why) as caught:
        set_up(tmp_path, disk, external=True)
    assert caught.value.hint


def test_allowed_backing_chain_is_described_to_its_end(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "raw")
    middle = make(tmp_path / "middle", "qcow2", "-F", "raw", "-b", "base")
    top = make(tmp_path / "top", "qcow2", "-F", "qcow2", "-b", middle)
    (image,) = set_up(tmp_path, top, external=True).disks
    assert isinstance(image, QemuImage)
    assert image.backing is not None
    assert image.backing.path == middle
    assert image.backing.backing == QemuImage(path=base, format="raw")


def test_backing_file_without_a_format_is_never_guessed(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "qcow2")
    top = make(tmp_path / "top", "qcow2", "-F", "qcow2", "-b", base)
    # turn the header extension with the format into an unknown one
    data = top.read_bytes()
    top.write_bytes(data.replace(b"\xe2\x79\x2a\xca", b"\x11\x11\x11\x11", 1))
    with pytest.raises(SourceError, match="without its format"):
        set_up(tmp_path, top, external=True)


def test_image_that_is_its_own_backing_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    subprocess.run(
        ["qemu-img", "create", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "disk", disk, "1M"],
        check=True,
        capture_output=True,
    )
    with pytest.raises(SourceError, match="deeper than"):
        set_up(tmp_path, disk, external=True)
