# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading and writing an initramfs on the host, without a guest."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.examine import examine_file, lacking_modules
from v2v_convert_guestfs.linux.initramfs.image import read_image, write_image
from v2v_convert_guestfs.linux.initramfs.stale import Stale
from v2v_convert_guestfs.linux.kernels import Kernel, Modules, best_first, parse_config, parse_modules, version_key
from v2v_core.api import SourceDisk

VERSION = "6.1.0-9-amd64"
BASE = f"usr/lib/modules/{VERSION}"
KERNEL_MODULES = parse_modules(
    b"kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\n"
    b"kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\n"
    b"kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio.ko:\n"
    b"kernel/drivers/scsi/sd_mod.ko:\n",
    b"kernel/fs/ext4.ko\n",
)
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")


def kernel(**changes: object) -> Kernel:
    fields: dict[str, object] = {
        "version": VERSION,
        "image": f"/boot/vmlinuz-{VERSION}",
        "modules_directory": f"/lib/modules/{VERSION}",
        "initramfs": f"/boot/initrd.img-{VERSION}",
        "modules": KERNEL_MODULES,
        "config": {},
    }
    return Kernel(**{**fields, **changes})  # type: ignore[arg-type]


def archive(files: dict[str, bytes]) -> bytes:
    data = b"".join(cpio.file_entry(name, content, number=i) for i, (name, content) in enumerate(files.items(), 1))
    return data + cpio.trailer(len(data))


def program(*argv: str) -> object:
    def compress(data: bytes) -> bytes:
        if shutil.which(argv[0]) is None:
            pytest.skip(f"no {argv[0]} on this host")
        return subprocess.run(argv, input=data, capture_output=True, check=True).stdout

    return compress


COMPRESSORS = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": program("zstd", "-q", "-c"),
    "lz4": program("lz4", "-q", "-l", "-c"),
}
CONTENT = {
    "init": b"#!/bin/sh\n",
    "conf/modules": b"ext4\n",
    "conf/conf.d/resume": b"RESUME=/dev/sda5\n",
    f"{BASE}/modules.dep": b"",
    f"{BASE}/kernel/drivers/scsi/sd_mod.ko": b"x" * 4097,
}


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_an_image_with_microcode_before_it_is_read_changed_and_read_again(tmp_path: Path, kind: str) -> None:
    microcode = archive({"kernel/x86/microcode/AuthenticAMD.bin": b"code" * 300})
    path = tmp_path / "initramfs"
    path.write_bytes(microcode + COMPRESSORS[kind](archive(CONTENT)))  # type: ignore[operator]

    image = read_image(path, tmp_path)
    assert image.read("init") == CONTENT["init"]
    assert set(image.entries()) >= {"kernel/x86/microcode/AuthenticAMD.bin", *CONTENT}

    (tmp_path / "two").mkdir()
    target = tmp_path / "two" / "initramfs.new"
    files = {"conf/modules": b"ext4\nvirtio_blk\n", f"{BASE}/kernel/new/virtio_blk.ko": b"module"}
    write_image(image, target, files)
    assert target.read_bytes().startswith(microcode)
    again = read_image(target, tmp_path / "two")
    assert {name: again.read(name) for name in (*CONTENT, *files)} == {**CONTENT, **files}
    assert [name for name in again.entries() if name == f"{BASE}/kernel/new"]
    assert [segment.kind for segment in again.segments] == [segment.kind for segment in image.segments]
    if kind != "none":
        numbers = [entry.name for segment in again.segments for entry in segment.entries]
        assert numbers.count("conf/modules") == 1


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio on this host")
def test_cpio_understands_what_is_written(tmp_path: Path) -> None:
    source = tmp_path / "initramfs"
    source.write_bytes(archive(CONTENT))
    target = tmp_path / "new"
    write_image(read_image(source, tmp_path), target, {"a/b/c": b"deep"})
    out = tmp_path / "out"
    out.mkdir()
    with target.open("rb") as file:
        subprocess.run(["cpio", "-i", "-d", "--quiet"], stdin=file, cwd=out, check=True)
    assert (out / "a/b/c").read_bytes() == b"deep"
    assert (out / "conf/modules").read_bytes() == CONTENT["conf/modules"]
    assert (out / "a/b/c").stat().st_nlink == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 64,
        b"no archive",
        archive(CONTENT)[:500],
        gzip.compress(archive(CONTENT))[:60],
        b"070701" + b"Z" * 200,
    ],
)
def test_damage_is_an_error_and_no_traceback(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "initramfs"
    path.write_bytes(data)
    with pytest.raises(ArchiveError):
        read_image(path, tmp_path)
    found = examine_file(kernel(), path, NAMES, tmp_path)
    assert not found.boots
    assert found.unreadable


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True),
        st.binary(max_size=600),
        max_size=6,
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    directory = tmp_path_factory.mktemp("image")
    path = directory / "initramfs"
    path.write_bytes(gzip.compress(archive({"init": b"x", "etc/fstab": b""})))
    files = {f"new/{name}.ko": data for name, data in files.items()}
    write_image(read_image(path, directory), directory / "new", files)
    again = read_image(directory / "new", directory)
    assert {name: again.read(name) for name in files} == files
    assert again.read("init") == b"x"


def test_what_is_lacking_and_stale_is_found(tmp_path: Path) -> None:
    path = tmp_path / "initramfs"
    path.write_bytes(gzip.compress(archive(CONTENT)))
    found = examine_file(kernel(), path, NAMES, tmp_path)
    assert found.lacking == ("virtio_pci", "virtio_blk")
    assert not found.boots
    assert found.stale == Stale({"conf/conf.d/resume": b"RESUME=/dev/vda5\n"})


def test_built_in_drivers_lack_nowhere() -> None:
    assert lacking_modules(kernel(config={"VIRTIO_PCI": "y", "VIRTIO_BLK": "y"}), frozenset()) == ("sd_mod",)
    everything = frozenset({"virtio_pci", "virtio_blk", "virtio", "virtio_ring", "sd_mod"})
    assert lacking_modules(kernel(), everything) == ()
    assert lacking_modules(kernel(), everything - {"virtio_ring"}) == ("virtio_pci", "virtio_blk")


def test_the_best_kernel() -> None:
    old, new = kernel(version="5.10.0-1-amd64"), kernel(version="6.1.0-10-amd64")
    debug = kernel(version="6.9.0-1-amd64-dbg", debug=True)
    without = kernel(version="7.0.0-1-amd64", modules=Modules())
    xen = kernel(version="8.0.0-1-xen", config={"X86_XEN": "y", "VIRTIO_BLK": "y", "VIRTIO_PCI": "y"})
    assert best_first([old, xen, without, debug, new]) == [new, old, debug, without, xen]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.1.0-9-amd64", "6.1.0-10-amd64"),
        ("6.1.0-rc3", "6.1.0"),
        ("5.19.17", "6.0"),
        ("6.1", "6.1.5"),
        ("6.1~a", "6.1"),
    ],
)
def test_versions(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


def test_the_kernels_configuration() -> None:
    data = b"CONFIG_VIRTIO_BLK=m\n# CONFIG_VIRTIO_PCI is not set\nCONFIG_HZ=250\nCONFIG_VIRTIO_NET=y\n"
    assert parse_config(data) == {"VIRTIO_BLK": "m", "VIRTIO_NET": "y"}
