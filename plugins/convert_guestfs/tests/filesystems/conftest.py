# SPDX-License-Identifier: GPL-2.0-or-later
"""A libguestfs with disks of which some cannot be used, for tests without the appliance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from v2v_convert_guestfs.session import Session
from v2v_core.api import ConvertRequest, ConvertSettings, Guest, Inspection
from v2v_core.testing import FakeReporter

RELEASE = "6.1.0-9-amd64"


class Disks:
    """A fake of the part of libguestfs that looks at devices and mounts them.

    :param kinds: of file systems, by device, as blkid names them. :param contents: the beginnings of devices.
    :param refused: what the kernel says when it does not mount a device. :param files: paths by device.
    :param read_only: devices that the kernel mounts, but not for writing.
    """

    def __init__(
        self,
        kinds: Mapping[str, str],
        *,
        contents: Mapping[str, bytes] | None = None,
        refused: Mapping[str, str] | None = None,
        read_only: tuple[str, ...] = (),
        files: Mapping[str, tuple[str, ...]] | None = None,
        fstab: bytes = b"",
    ) -> None:
        self.kinds, self.contents, self.refused = kinds, contents or {}, refused or {}
        self.read_only, self.files, self.fstab = read_only, files or {}, fstab
        self.mounted: dict[str, str] = {}
        self.mounts: list[tuple[str, str, str]] = []
        self.log: list[str] = []
        self.shell: dict[str, str] = {}
        self.commands: list[str] = []

    def list_devices(self) -> list[str]:
        names = sorted({*self.kinds, *self.contents})
        return [name for name in names if name.count("/") == 2 and not name[-1].isdigit()]

    def list_partitions(self) -> list[str]:
        return [name for name in sorted({*self.kinds, *self.contents}) if name.count("/") == 2 and name[-1].isdigit()]

    def vfs_type(self, device: str) -> str:
        return self.kinds.get(device, "")

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return self.contents.get(device, b"").ljust(200_000, b"\0")[offset : offset + count]

    def blockdev_getsize64(self, device: str) -> int:
        return max(len(self.contents.get(device, b"")), 200_000)

    def utsname(self) -> dict[str, str]:
        return {"uts_release": RELEASE}

    def dmesg(self) -> str:
        return "\n".join(self.log)

    def mount_ro(self, device: str, place: str) -> None:
        self.mount_options("ro", device, place)

    def mount_options(self, options: str, device: str, place: str) -> None:
        assert place not in self.mounted, f"something is mounted on {place} already"
        assert place == "/" or "/" in self.mounted, "the root is not mounted"
        if device not in self.kinds:
            raise RuntimeError(f"mount_options: {device}: No such file or directory")
        writes = "ro" not in options.split(",")
        if device in self.refused and (writes or device not in self.read_only):
            self.log.append(f"[ {len(self.log)}.0] {self.refused[device]}")
            raise RuntimeError(
                "mount exited with status 32: mount: /sysroot: wrong fs type, bad option, bad superblock"
            )
        self.mounts.append((options, device, place))
        self.mounted[place] = device

    def umount_all(self) -> None:
        self.mounted.clear()

    def mountpoints(self) -> dict[str, str]:
        return {device: place for place, device in self.mounted.items()}

    def exists(self, path: str) -> bool:
        device = self.mounted.get("/", "")
        return path in self.files.get(device, ()) or (path == "/etc/fstab" and bool(self.fstab))

    def realpath(self, path: str) -> str:
        return path

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        return True

    def filesize(self, path: str) -> int:
        return len(self.fstab)

    def pread(self, path: str, size: int, offset: int) -> bytes:
        return self.fstab[offset : offset + size]

    def sync(self) -> None: ...

    def debug(self, command: str, words: list[str]) -> str:
        self.commands.append(words[0])
        return next((said for start, said in self.shell.items() if words[0].startswith(start)), "")


@pytest.fixture
def looked_at() -> Callable[..., Session]:
    """Return a function that makes a session of such disks, with the root on /dev/sda1 and other mount points."""

    def make(handle: Disks, kinds: Mapping[str, str] | None = None, **places: str) -> Session:
        request = ConvertRequest(
            directory=Path(),
            temporary=Path(),
            guest=Guest(name="g"),
            disks=(),
            settings=ConvertSettings(),
            report=FakeReporter(),
        )
        session = Session(request=request, handle=handle, filesystems=dict(handle.kinds if kinds is None else kinds))
        session.found = Inspection(
            root="/dev/sda1",
            os_type="linux",
            distro="debian",
            arch="x86_64",
            mountpoints=(("/", "/dev/sda1"), *((f"/{place}", device) for place, device in places.items())),
        )
        return session

    return make


@pytest.fixture
def disks() -> type[Disks]:
    """Return the fake libguestfs."""
    return Disks
