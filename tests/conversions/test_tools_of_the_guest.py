# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs that cannot be extended is rebuilt by the guest's own tool, and the guest boots with it.

Here it is compressed with lzop: the guest's kernel can read that, and the conversion cannot.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from described import convert_described
from guests.boot import boot
from guests.build import disks
from guests.disk_images import overlay
from guests.look import mounted
from guests.networks import ADDRESS, NIC
from guests.recipes import RECIPES
from guests.storage import LUKS_PASSPHRASE
from runs import Place

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(3600)]

MAC = "52:54:00:74:6f:6f"
#: Seconds: on a busy machine without hardware virtualization.
BOOT_TIMEOUT = 900

_MAGICS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}


@pytest.mark.parametrize(
    ("name", "boot_device", "pattern", "tool"),
    [
        ("debian12-vmware", "/dev/sda1", "/boot/initrd.img-*", "/usr/sbin/update-initramfs"),
        ("debian13-luks-lvm", "/dev/sda2", "/initrd.img-*", "/usr/sbin/update-initramfs"),
        ("rhel9-like-bls", "/dev/sda1", "/initramfs-*amd64.img", "/usr/bin/dracut"),
    ],
)
def test_the_guests_own_tool(place: Place, name: str, boot_device: str, pattern: str, tool: str) -> None:
    recipe = RECIPES[name]
    uefi = recipe.boot != "bios"
    (source,) = disks(recipe)
    disk = overlay(source, place.root / "sda.qcow2")
    pack_with_lzop(disk, boot_device, pattern, place.root)
    options: list[str | Path] = []
    if recipe.encrypted:
        key = place.root / "key"
        key.write_text(LUKS_PASSPHRASE + "\n")
        options = ["--key", f"all:file:{key}"]
    metadata = convert_described(place, [disk], mac=MAC, uefi=uefi, options=options)
    assert f"rebuilt by {tool}" in metadata.replace("/sbin/dracut", "/usr/bin/dracut")

    booted = boot([disk], firmware="uefi" if uefi else "bios", nics=[MAC], timeout=BOOT_TIMEOUT)
    assert booted.reached, booted.tail()
    print(booted.facts, booted.network, f"{booted.seconds:.0f} s")
    assert booted.facts["failed"] == "0", booted.tail()
    renamed = {mountpoint: device.replace("/dev/sd", "/dev/vd") for mountpoint, device, _ in recipe.mounts}
    assert booted.mounts == renamed
    if recipe.network != "none":
        assert booted.network["addresses"] == f"{NIC}={ADDRESS}"


def pack_with_lzop(disk: Path, device: str, pattern: str, work: Path) -> None:
    """Recompress every initramfs of a guest with lzop."""
    with mounted(disk, device) as handle:
        for path in handle.glob_expand(pattern):
            plain, new = work / "plain", work / "new"
            handle.download(path, str(plain))
            early, packed = split(plain.read_bytes())
            program = next(name for magic, name in _MAGICS.items() if packed.startswith(magic))
            expanded = subprocess.run([program, "-dc"], input=packed, stdout=subprocess.PIPE, check=True).stdout
            new.write_bytes(
                early + subprocess.run(["lzop", "-c"], input=expanded, stdout=subprocess.PIPE, check=True).stdout
            )
            handle.upload(str(new), path)


def split(data: bytes) -> tuple[bytes, bytes]:
    """Split an initramfs into the archives that are not compressed, which come first, and the rest."""
    start = 0
    while data.startswith(b"0707", start):
        start = data.index(b"TRAILER!!!", start) + len(b"TRAILER!!!")
        start += len(data) - start - len(data[start:].lstrip(b"\0"))
    return data[:start], data[start:]
