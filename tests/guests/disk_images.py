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
from guests.recipes import Disk, Partition, Recipe, disk_names, identity_of

_MIB = 1024 * 1024

_TYPE_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"

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
    """Make a raw image with a partition table and one partition that nobody has formatted."""
    _truncate(target, size)
    _write_table(target, Disk(label, size, (Partition("ext4"),)))
    return target


def make_disks(recipe: Recipe, root: Path, work: Path) -> None:
    """Make every disk from the root directory, taking the mounted parts out of it from the deepest up."""
    parts: list[tuple[Path, Partition, str, Path, int]] = []
    for index, (name, disk) in enumerate(zip(disk_names(recipe), recipe.disks, strict=True)):
        image = work / name
        _truncate(image, disk.size)
        for number, (start, size) in enumerate(_write_table(image, disk), start=1):
            device = f"sd{chr(ord('a') + index)}{number}"
            part = work / f"{device}.part"
            with part.open("wb") as stream:
                stream.truncate(size)
            parts.append((part, disk.partitions[number - 1], device, image, start))
    for part, partition, device, image, start in sorted(parts, key=lambda entry: -len(entry[1].mountpoint)):
        identity = str(identity_of(recipe, device))
        if partition.filesystem == "swap":
            run(["mkswap", "--quiet", "--uuid", identity, part])
        elif partition.filesystem in {"ext4", "xfs"}:
            content = root / partition.mountpoint.lstrip("/")
            if partition.filesystem == "ext4":
                run(["mkfs.ext4", "-q", "-F", "-U", identity, "-d", content, part])
            else:
                run(["mkfs.xfs", "-q", "-m", f"uuid={identity}", part])
                with _mounted(part, work / f"{device}.mount") as mountpoint:
                    run(["cp", "--archive", f"{content}/.", mountpoint])
            if partition.mountpoint != "/":
                # The filesystem above keeps the mount point and none of the files.
                _empty(content)
        run(["dd", "status=none", f"if={part}", f"of={image}", "bs=1M", f"seek={start // _MIB}", "conv=notrunc,sparse"])
        part.unlink()


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
        kind = {"bios-boot": _TYPE_BIOS_BOOT, "swap": _TYPE_SWAP[disk.label]}.get(
            partition.filesystem, _TYPE_LINUX[disk.label]
        )
        bootable = ", bootable" if disk.label == "dos" and partition.mountpoint == "/" else ""
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
