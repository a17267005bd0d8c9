# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose files are a directory of the host, for parts of the conversion that need no appliance."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import (
    firstboot,
)
from v2v_convert_guestfs.session import Session
from v2v_core.api import (
    ConvertRequest,
    ConvertSettings,
    Guest,
    Inspection,
    SourceDisk,
)
from v2v_core.testing import FakeReporter

WHY = "because"


class Directory:
    """The part of libguestfs's API that these tests need, on a directory. Its links must be relative."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labels: set[str] = set()
        self.locks: dict[str, str] = {}
        self.uuids: dict[str, str] = {}
        self.partitions: list[str] = []
        self.last_mounted: dict[str, str] = {}
        self.contents: dict[str, list[str]] = {}
        self.programs: dict[str, Callable[[list[str]], str]] = {}
        self.commands: list[list[str]] = []

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def exists(self, path: str) -> bool:
        return self._at(path).exists()

    def is_file(self, path: str, followsymlinks: bool = False) -> bool:
        place = self._at(path)
        return place.is_file() and (followsymlinks or not place.is_symlink())

    def is_dir(self, path: str) -> bool:
        return self._at(path).is_dir()

    def is_symlink(self, path: str) -> bool:
        return self._at(path).is_symlink()

    def readlink(self, path: str) -> str:
        return str(self._at(path).readlink())

    def realpath(self, path: str) -> str:
        return "/" + str(self._at(path).resolve().relative_to(self.root.resolve()))

    def filesize(self, path: str) -> int:
        return self._at(path).stat().st_size

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self._at(path).read_bytes()[offset : offset + count]

    def mkdir_p(self, path: str) -> None:
        self._at(path).mkdir(parents=True, exist_ok=True)

    def mktemp(self, template: str) -> str:
        self._at(template).touch()
        return template

    def write(self, path: str, content: bytes) -> None:
        self._at(path).write_bytes(content)

    def chmod(self, mode: int, path: str) -> None:
        self._at(path).chmod(mode)

    def rename(self, old: str, new: str) -> None:
        self._at(old).rename(self._at(new))
        self.labels.discard(new)
        if old in self.labels:
            self.labels.remove(old)
            self.labels.add(new)

    def copy_attributes(self, source: str, target: str, *, all: bool) -> None:  # noqa: A002 - libguestfs's name
        shutil.copystat(self._at(source), self._at(target))
        if source in self.labels:
            self.labels.add(target)

    def ln_sf(self, target: str, path: str) -> None:
        self._at(path).unlink(missing_ok=True)
        self._at(path).symlink_to(target)

    def rm_f(self, path: str) -> None:
        self._at(path).unlink(missing_ok=True)

    def glob_expand(self, pattern: str) -> list[str]:
        return ["/" + os.path.relpath(found, self.root) for found in glob.glob(f"{self.root}{pattern}")]  # noqa: PTH207

    def lgetxattrs(self, path: str) -> list[dict[str, Any]]:
        return [{"attrname": "security.selinux", "attrval": b"x"}] if path in self.labels else []

    def get_e2attrs(self, path: str) -> str:
        return self.locks.get(path, "e")

    def vfs_uuid(self, device: str) -> str:
        return self.uuids[device]

    def list_partitions(self) -> list[str]:
        return self.partitions

    def mount_options(self, _options: str, device: str, place: str) -> None:
        for name in self.contents.get(device, []):
            (self._at(place) / name).mkdir(parents=True)

    def umount(self, place: str) -> None:
        for path in self._at(place).iterdir():
            shutil.rmtree(path)

    def tune2fs_l(self, device: str) -> dict[str, str]:
        return {"Last mounted on": self.last_mounted.get(device, "<not available>")}

    def command(self, argv: list[str]) -> str:
        words = [word for word in argv[1:] if "=" not in word]
        self.commands.append(words)
        if words[0] not in self.programs:
            raise RuntimeError(f"command: {words[0]}: not found")
        return self.programs[words[0]](words)


class GuestDirectory:
    """A guest: its files, and a session on it."""

    def __init__(self, root: Path, distro: str = "debian", major: int = 12, guest: Guest | None = None) -> None:
        self.root = root
        self.handle = Directory(root)
        self.report = FakeReporter()
        request = ConvertRequest(
            directory=root,
            temporary=root,
            guest=guest or Guest(name="g", disks=(SourceDisk(index=1),)),
            disks=(),
            settings=ConvertSettings(),
            report=self.report,
        )
        self.session = Session(request=request, handle=self.handle)
        self.session.found = Inspection(
            root="/dev/sda1", os_type="linux", distro=distro, arch="x86_64", major_version=major
        )
        self.files = GuestFiles(self.session)

    def add(self, path: str, content: bytes = b"", *, link: str | None = None) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if link is None:
            place.write_bytes(content)
        else:
            place.symlink_to(link)

    def directory(self, *paths: str) -> None:
        for path in paths:
            (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def read(self, path: str) -> bytes:
        return (self.root / path.lstrip("/")).read_bytes()

    def everything(self) -> set[str]:
        return {"/" + str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}

    def first_boot_script(self, name: str, script: bytes = b"#!/bin/sh\n") -> bool:
        return firstboot.add_script(self.session, self.files, name, script, why=WHY)

    def with_systemd(self) -> GuestDirectory:
        self.directory("/etc/systemd/system", "/sbin")
        self.add("/sbin/init", link="../lib/systemd/systemd")
        return self


@pytest.fixture
def make_guest() -> type[GuestDirectory]:
    """Return a class that makes guests of a directory, a distribution and its version."""
    return GuestDirectory


@pytest.fixture
def guest(tmp_path: Path) -> GuestDirectory:
    """Return a guest with Debian 12."""
    return GuestDirectory(tmp_path)
