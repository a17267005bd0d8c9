# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian guest that starts by sysvinit, with a file system on the whole of its disk and no boot loader."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from guests import bootstrap
from guests.build import cached
from guests.disk_images import write_file
from guests.host import run
from guests.recipe import ROOT_PASSWORD

_PACKAGES = (
    *("sysvinit-core", "initscripts", "udev", "kmod", "procps", "e2fsprogs"),
    *("initramfs-tools", "busybox", "zstd", "linux-image-amd64"),
)


def sysvinit_guest() -> Path:
    """Return the directory with ``disk.img``, ``vmlinuz`` and ``initrd.img``, building it where the cache lacks it."""
    return cached("debian12-sysvinit", sys.modules[__name__], _build_in)


def _build_in(work: Path) -> None:
    root = work / "root"
    bootstrap.install_packages("bookworm", _PACKAGES, root, form="directory")
    write_file(root, "/etc/fstab", "/dev/vda / ext4 defaults 0 1\n")
    write_file(root, "/etc/hostname", "sysvinit\n")
    bootstrap.in_root(root, ["chpasswd"], stdin=f"root:{ROOT_PASSWORD}\n")
    for name in ("vmlinuz", "initrd.img"):
        (found,) = (root / "boot").glob(f"{name}-*")
        shutil.copyfile(found, work / name)
    for place in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / place)
    run(["truncate", "-s", "1800M", work / "disk.img"])
    run(["mkfs.ext4", "-q", "-F", "-d", root, work / "disk.img"])
    shutil.rmtree(root)
    for path in work.iterdir():
        path.chmod(0o444)
