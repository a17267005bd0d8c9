# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images: partition tables, file systems filled from a directory, and tiny images for tests to make in passing."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from guests.host import HostError, run
from guests.recipe import Recipe, disk_names, filesystem_identity
from guests.storage import Disk, Placed, Volume

_MIB = 1024 * 1024

_TYPE_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"

_TYPE_ESP = {"dos": "ef", "gpt": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"}

_TYPE_LINUX = {"dos": "83", "gpt": "0FC63DAF-8483-4772-8E79-3D69D8477DE4"}

_TYPE_SWAP = {"dos": "82", "gpt": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"}


def overlay(image: Path, target: Path) -> Path:
    """Make a qcow2 overlay on a raw image, so that a test can write without touching the cache."""
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.resolve(), target])
    return target


def blank(target: Path, *, size: int = 16, image_format: Literal["raw", "qcow2"] = "raw") -> Path:
    """Make an image of so many MiB with nothing in it at all."""
    run(["qemu-img", "create", "-q", "-f", image_format, target, f"{size}M"])
    return target


def no_os(
    target: Path, *, size: int = 16, files: Sequence[tuple[str, str]] = (("README", "no system here\n"),)
) -> Path:
    """Make a raw image with one ext4 filesystem that holds the files and no operating system."""
    with tempfile.TemporaryDirectory(prefix="v2v-no-os.") as name:
        for path, text in files:
            write_file(Path(name), path, text)
        _truncate(target, size)
        run(["mkfs.ext4", "-q", "-F", "-d", name, target])
    return target


def partitioned(target: Path, *, size: int = 16, label: Literal["dos", "gpt"] = "dos") -> Path:
    """Make a raw image with a partition table and one partition, which is not formatted."""
    _truncate(target, size)
    _write_table(target, Disk(label, size, (Volume("ext4"),)))
    return target


def make_disks(recipe: Recipe, root: Path, work: Path) -> list[tuple[Placed, Path]]:
    """Make every disk from the root directory, taking the mounted parts out of it from the deepest up.

    :return: the images of the filesystems that belong into a layer above the partitions, which the appliance makes.
    """
    targets: dict[str, tuple[Path, int, int]] = {}
    for index, (name, disk) in enumerate(zip(disk_names(recipe), recipe.disks, strict=True)):
        image = work / name
        _truncate(image, disk.size)
        for number, (start, size) in enumerate(_write_table(image, disk), start=1):
            targets[f"sd{chr(ord('a') + index)}{number}"] = (image, start, size)
    layered: list[tuple[Placed, Path]] = []
    # The root filesystem, with what is left, comes last.
    deepest_first = sorted(
        recipe.places, key=lambda place: -min((len(path) for path, _ in place.volume.mounts), default=0)
    )
    for place in deepest_first:
        if place.volume.filesystem in {"nothing", "bios-boot"}:
            continue
        part = work / f"{place.short}.part"
        image, start, size = targets.get(place.device, (part, 0, place.volume.size * _MIB))
        with part.open("wb") as stream:
            stream.truncate(size)
        _make_filesystem(place, filesystem_identity(recipe, place), root, part, work)
        if place.layered:
            layered.append((place, part))
            continue
        run(["dd", "status=none", f"if={part}", f"of={image}", "bs=1M", f"seek={start // _MIB}", "conv=notrunc,sparse"])
        part.unlink()
    return layered


def _make_filesystem(place: Placed, identity: str, root: Path, part: Path, work: Path) -> None:
    """Make the filesystem in its image and move what belongs there from the root directory into it."""
    volume = place.volume
    contents = [(name, root / mountpoint.lstrip("/")) for name, mountpoint in volume.subvolumes]
    if volume.mountpoint:
        contents.append(("", root / volume.mountpoint.lstrip("/")))
    for _, content in contents:
        content.mkdir(parents=True, exist_ok=True)
    match volume.filesystem:
        case "swap":
            run(["mkswap", "--quiet", "--uuid", identity, part])
        case "esp":
            # GRUB's files get there inside the appliance: this host may have no vfat.
            run(["mkfs.vfat", "-F", "32", "-i", identity.replace("-", ""), part])
        case "ext4":
            run(["mkfs.ext4", "-q", "-F", "-U", identity, "-d", contents[0][1], part])
        case "xfs":
            run(["mkfs.xfs", "-q", "-m", f"uuid={identity}", part])
        case "btrfs":
            run(["mkfs.btrfs", "--quiet", "--uuid", identity, part])
    if volume.filesystem in {"xfs", "btrfs"}:
        with _mounted(part, work / f"{place.short}.mount") as top:
            for name, content in sorted(contents, key=lambda entry: -len(str(entry[1]))):
                if name:
                    run(["btrfs", "subvolume", "create", top / name])
                run(["cp", "--archive", f"{content}/.", top / name])
                if content != root:
                    _empty(content)
    elif contents and contents[0][1] != root:
        # The filesystem above keeps the mount point and none of the files.
        _empty(contents[0][1])


def _empty(directory: Path) -> None:
    """Delete everything in the directory."""
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _write_table(image: Path, disk: Disk) -> list[tuple[int, int]]:
    """Write the partition table; return start and size of every partition in bytes, all of them whole MiB."""
    # A GPT has its copy at the end of the disk.
    end = disk.size - (1 if disk.label == "gpt" else 0)
    places: list[tuple[int, int]] = []
    lines = [f"label: {disk.label}", "unit: sectors"]
    position = 1
    for partition in disk.partitions:
        size = partition.size or end - position
        kind = {"bios-boot": _TYPE_BIOS_BOOT, "esp": _TYPE_ESP[disk.label], "swap": _TYPE_SWAP[disk.label]}.get(
            partition.filesystem, _TYPE_LINUX[disk.label]
        )
        bootable = ", bootable" if disk.label == "dos" and partition.mountpoint in {"/", "/boot"} else ""
        lines.append(f"start={position * 2048}, size={size * 2048}, type={kind}{bootable}")
        places.append((position * _MIB, size * _MIB))
        position += size
    if position > end:
        raise HostError(f"the partitions of {image} need {position} MiB of {end}")
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], stdin="\n".join(lines) + "\n")
    return places


def write_file(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Write one file of the guest."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def _truncate(image: Path, size: int) -> None:
    """Make an empty sparse file of so many MiB."""
    with image.open("wb") as stream:
        stream.truncate(size * _MIB)


@contextlib.contextmanager
def _mounted(image: Path, mountpoint: Path) -> Iterator[Path]:
    """Mount a filesystem image; mount makes the loop device so that the kernel frees it with the unmount."""
    mountpoint.mkdir()
    try:
        run(["mount", "-o", "loop", image, mountpoint])
        yield mountpoint
    finally:
        unmount_below(mountpoint)
        mountpoint.rmdir()


def unmount_below(directory: Path) -> None:
    """Unmount the directory and everything mounted below it."""
    prefix = str(directory.resolve())
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        mountpoint = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4])
        if mountpoint == prefix or mountpoint.startswith(prefix + "/"):
            run(["umount", mountpoint])
