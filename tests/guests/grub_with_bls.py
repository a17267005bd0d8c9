# SPDX-License-Identifier: GPL-2.0-or-later
"""A GRUB for BIOS that reads entries of the Boot Loader Specification, as Red Hat's does: Debian's, since 2.14."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from guests.bootstrap import apt_line
from guests.host import HostError, run

SUITE = "forky"

_DIRECTORY = "usr/lib/grub/i386-pc"

# What the core needs to find the rest of itself in the directory /grub2 of the first partition.
_CORE = ("biosdisk", "part_msdos", "xfs")

_PREFIX = "(,msdos1)/grub2"

_SECTOR = 512

# A boot sector has the partition table after its program.
_PROGRAM = 440


def fetch_grub(target: Path) -> None:
    """Bring GRUB's modules from the mirror and make its core, all into the target directory."""
    with tempfile.TemporaryDirectory(prefix=".grub.", dir=target.parent) as name:
        system = Path(name, "system")
        run(
            [
                *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract"),
                # A mirror may stand still; what it serves is checked against the signatures as ever.
                '--aptopt=Acquire::Check-Valid-Until "false"',
                "--include=grub-pc-bin,grub2-common,coreutils",
                *(SUITE, system, *apt_line(SUITE)),
            ]
        )
        # A release whose /bin is a link has it from a package that an extraction leaves out.
        for directory in ("bin", "lib", "lib64", "sbin"):
            if not (system / directory).exists():
                (system / directory).symlink_to(f"usr/{directory}")
        core = "/core.img"
        made = ["grub-mkimage", "--format=i386-pc", f"--prefix={_PREFIX}", f"--output={core}", *_CORE]
        run(["chroot", system, *made])
        if not (system / _DIRECTORY / "blsuki.mod").exists():
            raise HostError(f"the GRUB of {SUITE} does not know the Boot Loader Specification")
        result = Path(name, "result")
        shutil.copytree(system / _DIRECTORY, result)
        shutil.copy(system / core.lstrip("/"), result / "core.img")
        result.rename(target)


def copy_modules(grub: Path, directory: Path) -> None:
    """Copy the modules to where a guest's GRUB looks for them."""
    for path in grub.iterdir():
        if path.suffix in {".mod", ".lst", ".img"}:
            directory.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, directory / path.name)


def write_boot_sector(grub: Path, image: Path, first_partition: int = 1024 * 1024) -> None:
    """Write the boot sector of a disk, and the core in front of its first partition.

    The boot sector looks for the core in the sector after it, on the disk that the BIOS has it from, and the core for
    its own rest in the sectors after that: there is nothing that an installation would have to adapt.
    """
    core = (grub / "core.img").read_bytes()
    if len(core) > first_partition - _SECTOR:
        raise HostError(f"GRUB's core has {len(core)} bytes, which is more than fits before the first partition")
    with image.open("r+b") as disk:
        disk.write((grub / "boot.img").read_bytes()[:_PROGRAM])
        disk.seek(_SECTOR)
        disk.write(core)
