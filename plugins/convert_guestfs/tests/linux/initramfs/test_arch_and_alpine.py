# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of mkinitcpio and mkinitfs: drivers are added to them, and to the settings for the next images.

The guest's depmod is simulated; its bash is real.
"""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from module_tree import ModuleTree
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine_file
from v2v_convert_guestfs.linux.initramfs.extend import extend
from v2v_convert_guestfs.linux.initramfs.generators import find_generators, in_use, package_for
from v2v_convert_guestfs.linux.initramfs.generators.mkinitcpio import Mkinitcpio, with_modules
from v2v_convert_guestfs.linux.initramfs.generators.mkinitfs import Mkinitfs, features_with, with_features
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Job
from v2v_convert_guestfs.linux.initramfs.image import read_image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind
from v2v_convert_guestfs.linux.kernels import Kernel, parse_modules
from v2v_convert_guestfs.session import Session
from v2v_core.api import SourceDisk

VERSION = "6.9.7-arch1-1"
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
MODULES = b"".join(f"kernel/{name}.ko.zst:\n".encode() for name in DRIVERS)
CONFIG = b'EARLYHOOKS="udev"\nHOOKS="udev"\nMODULES="vmw_pvscsi"\n'
#: An image that mkinitcpio 39 makes with its hook autodetect on VMware, shortened.
ARCH = {
    "init": b"#!/usr/bin/ash\n",
    "init_functions": b"",
    "buildconfig": b"MODULES=(vmw_pvscsi)\n",
    "config": CONFIG,
    f"usr/lib/modules/{VERSION}/modules.dep": b"kernel/sd_mod.ko:\n",
    f"usr/lib/modules/{VERSION}/modules.dep.bin": b"old",
    f"usr/lib/modules/{VERSION}/kernel/sd_mod.ko": b"sd_mod",
}
ALPINE = {
    "init": b"#!/bin/sh\n",
    "sbin/nlplug-findfs": b"\x7fELF",
    f"lib/modules/{VERSION}/modules.dep": b"kernel/sd_mod.ko:\n",
    f"lib/modules/{VERSION}/kernel/sd_mod.ko": b"sd_mod",
}


class FakeTree(ModuleTree):
    """The guest's modules, which are compressed, and its depmod, which is given a directory."""

    def __init__(self, root: Path, *, binary: bool = True) -> None:
        super().__init__(root, subprocess.run(["zstd", "-c"], input=b"driver", capture_output=True, check=True).stdout)
        self.binary = binary

    def depmod(self, argv: list[str]) -> str:
        directory = Path(argv[2], "usr/lib/modules", argv[3])
        names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.ko*"))
        text = "".join(f"{name}:\n" for name in names)
        (directory / "modules.dep").write_text(text)
        if self.binary:
            (directory / "modules.dep.bin").write_text(f"binary\n{text}")
        return ""


def examined(directory: Path, files: dict[str, bytes]) -> Examination:
    data = b"".join(cpio.file_entry(name, content, number=i) for i, (name, content) in enumerate(files.items(), 1))
    path = directory / "initramfs"
    path.write_bytes(gzip.compress(data + cpio.trailer(len(data))))
    modules = parse_modules(MODULES, b"")
    kernel = Kernel(VERSION, "", f"/lib/modules/{VERSION}", "/boot/initramfs-linux.img", modules, {})
    return examine_file(kernel, path, NAMES, directory)


def session_of(directory: Path, tree: FakeTree) -> Session:
    report = SimpleNamespace(debug=lambda _text: None)
    made: Any = SimpleNamespace(
        handle=tree, run=tree.depmod, request=SimpleNamespace(temporary=directory), report=report
    )
    return cast("Session", made)


def test_an_image_for_the_old_hypervisor_gets_the_drivers(tmp_path: Path) -> None:
    """systemd/systemd#11630: autodetect leaves out what other hardware needs. lavabit/robox#125: no disk was there."""
    found = examined(tmp_path, ARCH)
    assert (found.kind, found.lacking) == (Kind.MKINITCPIO, ("virtio_pci", "virtio_blk", "virtio_scsi"))
    assert not found.boots
    target = tmp_path / "new"
    extend(session_of(tmp_path, FakeTree(tmp_path / "guest")), found, target)
    new = read_image(target, tmp_path)
    base = f"usr/lib/modules/{VERSION}"
    # The modules in the image are not compressed, so the new ones are not either.
    assert new.read(f"{base}/kernel/virtio_blk.ko") == b"driver"
    assert b"kernel/virtio_blk.ko" in (new.read(f"{base}/modules.dep.bin") or b"")
    config = new.read("config")
    assert config is not None
    loaded = subprocess.run(["sh", "-c", config.decode() + "echo $MODULES"], capture_output=True, check=True).stdout
    assert loaded.split() == [b"vmw_pvscsi", b"virtio_pci", b"virtio_blk", b"virtio_scsi"]


def test_a_depmod_without_binary_tables_is_not_enough(tmp_path: Path) -> None:
    """Check that busybox's depmod does not leave the old tables in an image."""
    found = examined(tmp_path, ARCH)
    with pytest.raises(ArchiveError, match=r"modules\.dep\.bin"):
        extend(session_of(tmp_path, FakeTree(tmp_path / "guest", binary=False)), found, tmp_path / "new")


def test_alpine(tmp_path: Path) -> None:
    """mk-f/alpine-initramfs-dropbear#2: an initramfs needs the feature virtio; nlplug-findfs loads the drivers."""
    found = examined(tmp_path, ALPINE)
    assert (found.kind, found.extendable, found.boots) == (Kind.MKINITFS, True, False)
    target = tmp_path / "new"
    extend(session_of(tmp_path, FakeTree(tmp_path / "guest", binary=False)), found, target)
    assert read_image(target, tmp_path).read(f"lib/modules/{VERSION}/kernel/virtio_blk.ko") == b"driver"


@pytest.mark.parametrize(
    ("old", "modules"),
    [
        ("MODULES=()\nHOOKS=(base udev autodetect)\n", "virtio_pci virtio_blk"),
        ("MODULES=(vmw_pvscsi  # the disk\n  vmxnet3)", "vmw_pvscsi vmxnet3 virtio_pci virtio_blk"),
        ("MODULES=(virtio-pci)\n", "virtio-pci virtio_blk"),
        ("MODULES=(virtio_pci)\nMODULES+=(virtio_blk?)\n", "virtio_pci virtio_blk?"),
        ("", "virtio_pci virtio_blk"),
    ],
)
def test_the_settings_of_mkinitcpio(old: str, modules: str) -> None:
    """drizzt/vps2arch#51: MODULES in mkinitcpio.conf must list the drivers."""
    new = with_modules(old.encode(), ("virtio_pci", "virtio_blk"))
    script = new.decode() + '\necho "${MODULES[@]}"'
    assert subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode().strip() == modules
    assert with_modules(new, ("virtio_pci", "virtio_blk")) == new


def test_the_old_settings_of_mkinitcpio_are_a_string() -> None:
    new = with_modules(b'MODULES="ext4"\n', ("virtio_pci", "virtio_blk"))
    shown = subprocess.run(["bash", "-c", new.decode() + 'echo "$MODULES"'], capture_output=True, check=True).stdout
    assert shown == b"ext4 virtio_pci virtio_blk\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'features="ata base ext4"\n', b'features="ata base ext4 virtio scsi"\n'),
        (b'features="ata base scsi virtio"\n', b'features="ata base scsi virtio"\n'),
        (b"disable_trigger=yes\n", b"disable_trigger=yes\n"),
        (b'features="$(cat /etc/x)"\n', b'features="$(cat /etc/x)"\n'),
    ],
)
def test_the_features_of_mkinitfs(old: bytes, new: bytes) -> None:
    assert with_features(old, features_with(("virtio_pci", "virtio_blk", "sd_mod"))) == new


def test_features() -> None:
    assert features_with(("ahci", "sd_mod", "ata_piix")) == ("ata", "scsi")
    assert features_with(("piix",)) == ()


def test_which_tool_and_how() -> None:
    files: Any = SimpleNamespace(
        resolve=lambda path: path if path in {"/usr/bin/mkinitcpio", "/usr/bin/dracut"} else None
    )
    installed = find_generators(files, Family.ARCH)
    chosen = in_use(installed, Kind.MKINITCPIO)
    assert chosen is not None
    assert isinstance(chosen.generator, Mkinitcpio)
    # Slackware's and Photon's mkinitrd are not those of SUSE and Red Hat.
    files = SimpleNamespace(resolve=lambda path: path if path == "/sbin/mkinitrd" else None)
    assert find_generators(files, Family.OTHER) == []
    assert find_generators(files, Family.PHOTON) == []
    assert [package_for(family, Kind.UNKNOWN) for family in (Family.ARCH, Family.ALPINE, Family.OTHER)] == [
        *("mkinitcpio", "mkinitfs", "dracut"),
    ]
    job = Job("/sbin/x", VERSION, "/boot/vmlinuz-linux", DRIVERS, "/boot/initramfs-linux.img", "/boot/new")
    assert [command.argv for command in Mkinitcpio().commands(job)] == [
        ("/sbin/x", "-k", VERSION, "-g", "/boot/new"),
        ("/sbin/x", "-k", VERSION, "-g", "/boot/new", "-S", "autodetect"),
    ]
    assert [command.argv for command in Mkinitfs().commands(job)] == [("/sbin/x", "-o", "/boot/new", VERSION)]
