# SPDX-License-Identifier: GPL-2.0-or-later
"""Make NTFS file systems in files, without an appliance; and damage them as Windows leaves them."""

from __future__ import annotations

import struct
from pathlib import Path

from guests.disk_images import unmount_below
from guests.host import HostError, appliance_environment, run

#: The number of the file $Volume, and the type of its attribute $VOLUME_INFORMATION.
_VOLUME, _VOLUME_INFORMATION = 3, 0x70


def make_ntfs(image: Path, root: Path, *, start: int, label: str = "", serial: str = "5A3C0E11D2F4B697") -> None:
    """Make the file system in an image of the right size, with all that is in the directory.

    :param start: the sector of the disk at which the partition starts; it is written into the boot sector.
    """
    geometry = ["--partition-start", str(start), "--sectors-per-track", "63", "--heads", "255", "--sector-size", "512"]
    run(["mkntfs", "--quiet", "--fast", "--force", *geometry, *(["--label", label] if label else []), image])
    with image.open("r+b") as stream:
        stream.seek(0x48)  # the serial number, which is by chance otherwise
        stream.write(bytes.fromhex(serial))
    if Path("/dev/fuse").exists():
        _fill_mounted(image, root)
    else:
        _fill_in_appliance(image, root)


def _fill_mounted(image: Path, root: Path) -> None:
    mountpoint = image.with_suffix(".mount")
    mountpoint.mkdir()
    try:
        run(["ntfs-3g", image, mountpoint])
        run(["cp", "--recursive", "--sparse=never", f"{root}/.", mountpoint])
    finally:
        unmount_below(mountpoint)
        mountpoint.rmdir()
    if _is_dirty(image):
        raise HostError(f"{image} is dirty")


def _fill_in_appliance(image: Path, root: Path) -> None:
    """Fill the file system where this machine has no FUSE, as containers do not."""
    archive = image.with_suffix(".tar")
    run(["tar", "-C", root, "-cf", archive, "."])
    commands = f"run\nmount /dev/sda /\ntar-in {archive} /\n"
    run(["guestfish", "--format=raw", "-a", image], stdin=commands, environment=appliance_environment())
    archive.unlink()


def mark_dirty(image: Path) -> None:
    """Set the flag of a file system that Windows did not unmount, which makes Windows check it at its next start."""
    for place in _places_of_flags(image):
        with image.open("r+b") as stream:
            stream.seek(place)
            flags = int.from_bytes(stream.read(2), "little")
            stream.seek(place)
            stream.write((flags | 1).to_bytes(2, "little"))


def _is_dirty(image: Path) -> bool:
    place, _mirrored = _places_of_flags(image)
    with image.open("rb") as stream:
        stream.seek(place)
        return bool(int.from_bytes(stream.read(2), "little") & 1)


def _places_of_flags(image: Path) -> tuple[int, int]:
    """Return where in the image of a file system its flags are: in the table of files, and in the mirror of that."""
    with image.open("rb") as stream:
        boot = stream.read(512)
        sector, per_cluster = struct.unpack_from("<HB", boot, 0x0B)
        table, mirror = struct.unpack_from("<QQ", boot, 0x30)
        (record_size,) = struct.unpack_from("<b", boot, 0x40)
        cluster = sector * per_cluster
        size: int = 1 << -record_size if record_size < 0 else record_size * cluster
        first, second = (int(start * cluster + _VOLUME * size) for start in (table, mirror))
        stream.seek(first)
        record = stream.read(size)
    (position,) = struct.unpack_from("<H", record, 0x14)
    while position + 8 <= size:
        kind, length = struct.unpack_from("<II", record, position)
        if kind == _VOLUME_INFORMATION:
            inside = int(position) + int.from_bytes(record[position + 0x14 : position + 0x16], "little") + 10
            return first + inside, second + inside
        if kind == 0xFFFFFFFF or not length:
            break
        position += length
    raise HostError(f"{image}: the file system has no volume information")
