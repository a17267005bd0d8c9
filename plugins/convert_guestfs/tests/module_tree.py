# SPDX-License-Identifier: GPL-2.0-or-later
"""A fake of a guest's modules in a directory of this host, where its depmod makes the tables of an initramfs."""

from __future__ import annotations

import shutil
from pathlib import Path


class ModuleTree:
    """The appliance's file system: modules in ``/lib/modules``, all with one content, and the directory for depmod."""

    def __init__(self, root: Path, driver: bytes) -> None:
        self.root, self.driver = root, driver

    def mkdtemp(self, _template: str) -> str:
        self.root.mkdir()
        return str(self.root)

    def rm_rf(self, path: str) -> None:
        shutil.rmtree(path)

    def tar_in(self, tar: str, place: str) -> None:
        shutil.unpack_archive(tar, place, "tar")

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        return path.startswith("/lib/modules/") or Path(path).is_file()

    def filesize(self, path: str) -> int:
        return len(self.pread(path, 100, 0))

    def pread(self, path: str, _count: int, offset: int) -> bytes:
        return (self.driver if path.startswith("/lib/modules/") else Path(path).read_bytes())[offset:]
