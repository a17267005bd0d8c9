# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the disks of a Windows guest from the files of its partitions."""

from __future__ import annotations

import uuid
from pathlib import Path

from guests.host import run
from windows_images.ntfs import make_ntfs, mark_dirty
from windows_images.places import GptPlace, MbrPlace, Place
from windows_images.recipe import Windows

_MIB = 1024 * 1024
_SECTORS = 2048

#: The partitions of a disk for UEFI, as Windows makes them: ESP, the reserved one, Windows.
_ESP_SIZE, _RESERVED_SIZE = 64, 16
_ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_RESERVED_TYPE = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
_DATA_TYPE = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"


def places(recipe: Windows) -> dict[str, Place]:
    """Return where Windows and its data are, by their letters."""
    own: Place
    if recipe.uefi:
        start = (1 + _ESP_SIZE + _RESERVED_SIZE) * _SECTORS
        own = GptPlace(start, _identity(recipe, "windows"), _identity(recipe, "disk"))
    else:
        own = MbrPlace(recipe.start, recipe.signature)
    found = {"C": own}
    if recipe.data_disk:
        found[recipe.data_disk.letter] = MbrPlace(_SECTORS, recipe.data_disk.signature)
    return found


def system_place(recipe: Windows) -> Place:
    """Return the partition with the boot manager."""
    if not recipe.uefi:
        return places(recipe)["C"]
    return GptPlace(_SECTORS, _identity(recipe, "esp"), _identity(recipe, "disk"))


def make_disk(recipe: Windows, image: Path, root: Path, esp: Path) -> None:
    """Make the first disk.

    :param root: the files of the partition with Windows. :param esp: those of the ESP, for UEFI.
    """
    _make_empty(image, recipe.size)
    start = places(recipe)["C"].start
    # the last MiB is left free: a GPT has its copy there, and a dynamic disk its database
    size = (recipe.size - 1) * _SECTORS - start
    if recipe.uefi:
        lines = [
            f"label: gpt\nlabel-id: {_identity(recipe, 'disk')}\nunit: sectors",
            f"start={_SECTORS}, size={_ESP_SIZE * _SECTORS}, type={_ESP_TYPE}, uuid={_identity(recipe, 'esp')}",
            f"size={_RESERVED_SIZE * _SECTORS}, type={_RESERVED_TYPE}, uuid={_identity(recipe, 'reserved')}",
            f"start={start}, size={size}, type={_DATA_TYPE}, uuid={_identity(recipe, 'windows')}",
        ]
    else:
        lines = [
            f"label: dos\nlabel-id: {recipe.signature:#010x}\nunit: sectors",
            f"start={start}, size={size}, type={recipe.partition_type}, bootable",
        ]
    _write_table(image, lines)
    part = image.with_suffix(".part")
    _make_empty(part, 0, sectors=size)
    make_ntfs(part, root, start=start)
    if recipe.dirty:
        mark_dirty(part)
    _place(part, image, start)
    if recipe.uefi:
        _make_empty(part, _ESP_SIZE)
        run(["mkfs.vfat", "-F", "32", "-n", "SYSTEM", "-i", "5E5A1B2C", part])
        run(["mcopy", "-s", "-i", part, *sorted(esp.iterdir()), "::/"])
        _place(part, image, _SECTORS)


def make_data_disk(recipe: Windows, image: Path, root: Path) -> None:
    """Make the second disk."""
    data = recipe.data_disk
    assert data is not None
    _make_empty(image, data.size)
    size = (data.size - 2) * _SECTORS
    _write_table(
        image,
        [f"label: dos\nlabel-id: {data.signature:#010x}\nunit: sectors", f"start={_SECTORS}, size={size}, type=7"],
    )
    part = image.with_suffix(".part")
    _make_empty(part, 0, sectors=size)
    make_ntfs(part, root, start=_SECTORS, label="Data", serial="5A3C0E11D2F4B698")
    _place(part, image, _SECTORS)


def _place(part: Path, image: Path, start: int) -> None:
    """Move a file system into its partition."""
    run(["dd", "status=none", f"if={part}", f"of={image}", "bs=512", f"seek={start}", "conv=notrunc,sparse"])
    part.unlink()


def _write_table(image: Path, lines: list[str]) -> None:
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], stdin="\n".join(lines) + "\n")


def _make_empty(path: Path, size: int, *, sectors: int = 0) -> None:
    with path.open("wb") as stream:
        stream.truncate(size * _MIB + sectors * 512)


def _identity(recipe: Windows, what: str) -> str:
    """Return an identifier that is the same each time."""
    if recipe.hives == "windows-10-system" and what == "windows":
        return "1e178d94-4f79-41e9-865d-2e5b4328cd23"  # in the real hive's MountedDevices
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{recipe.name}.{what}.test"))
