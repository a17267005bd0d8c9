# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is only a dictionary of files, for tests without the appliance; disks for tests with it."""

from __future__ import annotations

import posixpath
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import Bootloader, find_bootloader
from v2v_convert_guestfs.linux.kernels import Kernel, Modules
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConvertRequest, ConvertSettings, DiskEndpoint, Firmware, Guest, Inspection
from v2v_core.testing import FakeReporter

# On a busy machine, an example may take a second.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


class Tree:
    """The part of libguestfs's API that files need: files and links by path, and FAT without case below /boot/efi."""

    def __init__(self, files: dict[str, bytes], links: dict[str, str], sectors: dict[str, bytes]) -> None:
        self.files, self.links, self.sectors = files, links, sectors
        self.last_mounted: dict[str, str] = {}
        self.programs: dict[str, str] = {}
        self.commands: list[list[str]] = []

    def realpath(self, path: str) -> str:
        place = ""
        for part in path.strip("/").split("/"):
            place = f"{place}/{part}"
            if place in self.links:
                place = self.realpath(posixpath.normpath(posixpath.join(posixpath.dirname(place), self.links[place])))
        if place.lower().startswith("/boot/efi/"):
            known = {name.lower(): name for name in self.files}
            return known.get(place.lower(), place)
        return place

    def exists(self, path: str) -> bool:
        return self.realpath(path) in self.files or self.is_dir(path)

    def is_file(self, path: str, *, followsymlinks: bool = False) -> bool:
        return (self.realpath(path) if followsymlinks else path) in self.files

    def is_dir(self, path: str) -> bool:
        start = self.realpath(path) + "/"
        fold = str.lower if start.lower().startswith("/boot/efi/") else str
        return any(fold(name).startswith(fold(start)) for name in self.files)

    def is_symlink(self, path: str) -> bool:
        return path in self.links

    def ls(self, path: str) -> list[str]:
        start = self.realpath(path) + "/"
        return sorted({name.removeprefix(start).split("/")[0] for name in self.files if name.startswith(start)})

    def filesize(self, path: str) -> int:
        return len(self.files[self.realpath(path)])

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self.files[path][offset : offset + min(count, 1000)]

    def mktemp(self, template: str) -> str:
        return template.replace("XXXXXX", "123456")

    def mkdir_p(self, path: str) -> None: ...
    def chmod(self, mode: int, path: str) -> None: ...

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def cp(self, old: str, new: str) -> None:
        self.files[new] = self.files[old]

    def rm_f(self, path: str) -> None:
        if self.links.pop(path, None) is None:
            self.files.pop(path, None)

    def ln_sf(self, target: str, path: str) -> None:
        self.links[path] = target

    def copy_attributes(self, old: str, new: str, *, all: bool) -> None:  # noqa: A002 - libguestfs's name
        assert old in self.files
        assert new in self.files

    def rename(self, old: str, new: str) -> None:
        self.links.pop(new, None)
        self.files[new] = self.files.pop(old)

    def glob_expand(self, pattern: str) -> list[str]:
        wanted = re.compile(
            re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\[", "[").replace(r"\]", "]").replace(r"\-", "-")
        )
        return [name for name in (*self.files, *self.links) if wanted.fullmatch(name.removesuffix("/"))]

    def vfs_uuid(self, device: str) -> str:
        return "1-2-3"

    def tune2fs_l(self, device: str) -> dict[str, str]:
        return {"Last mounted on": self.last_mounted.get(device, "<not available>")}

    def list_devices(self) -> list[str]:
        return [device for device in self.sectors if not device[-1].isdigit()]

    def list_partitions(self) -> list[str]:
        return [device for device in self.sectors if device[-1].isdigit()]

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return self.sectors[device][offset : offset + count]

    def command(self, argv: list[str]) -> str:
        self.commands.append(argv)
        program = argv[2]
        if program not in self.programs:
            raise RuntimeError(f"command: {program}: not found")
        return self.programs[program]


class PhonyGuest:
    """A session with such a guest."""

    def __init__(self, tree: Tree, session: Session, report: FakeReporter) -> None:
        self.tree, self.session, self.report = tree, session, report
        self.files = GuestFiles(session)

    @property
    def changed(self) -> list[str]:
        """Return the changed paths, in the order in which they were recorded."""
        return [change.path for change in self.session.changes]

    def bootloader(self) -> Bootloader:
        """Return the boot loader, which must be a supported one."""
        found = find_bootloader(self.session, self.files, Blockers())
        assert found is not None
        return found

    def content(self, path: str) -> bytes:
        """Return the content of a file; the path may be a link."""
        return self.tree.files[self.tree.realpath(path)]


@pytest.fixture
def phony(tmp_path: Path) -> Callable[..., PhonyGuest]:
    """Return a function that makes phony guests of files, links, boot sectors, a distribution and a firmware."""

    def make(
        files: dict[str, bytes],
        *,
        links: dict[str, str] | None = None,
        sectors: dict[str, bytes] | None = None,
        distro: str = "rhel",
        arch: str = "x86_64",
        uefi: bool = False,
    ) -> PhonyGuest:
        report = FakeReporter()
        tree = Tree(files, links or {}, sectors or {})
        request = ConvertRequest(
            directory=tmp_path,
            temporary=tmp_path,
            guest=Guest(name="g"),
            disks=(),
            settings=ConvertSettings(),
            report=report,
        )
        session = Session(request=request, handle=tree, firmware=Firmware.UEFI if uefi else Firmware.BIOS)
        session.found = Inspection(
            root="/dev/sda1", os_type="linux", distro=distro, arch=arch, mountpoints=(("/", "/dev/sda1"),)
        )
        return PhonyGuest(tree, session, report)

    return make


@pytest.fixture
def kernel() -> Callable[..., Kernel]:
    """Return a function that makes kernels that are only names."""

    def make(version: str) -> Kernel:
        return Kernel(
            version=version,
            image=f"/boot/vmlinuz-{version}",
            modules_directory="",
            initramfs=f"/boot/initramfs-{version}.img",
            modules=Modules(),
            config={},
        )

    return make


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], DiskEndpoint]]:
    """Return a function that serves raw disks, each on a socket, until the end of the test."""
    with ExitStack() as stack:
        count = 0

        def start(image: Path) -> DiskEndpoint:
            nonlocal count
            count += 1
            socket = tmp_path / f"in{count}"
            argv = ["qemu-nbd", "-t", "--shared=0", "--discard=unmap", "--cache=unsafe", "-f", "raw"]
            process = stack.enter_context(subprocess.Popen([*argv, "-k", str(socket), str(image)]))
            stack.callback(process.terminate)
            deadline = time.monotonic() + 20
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            return DiskEndpoint(index=count, uri=f"nbd+unix:///?socket={socket}")

        yield start


@pytest.fixture
def serve_blank(serve: Callable[[Path], DiskEndpoint], tmp_path: Path) -> Callable[[int], DiskEndpoint]:
    """Return a function that serves a blank disk of a size in bytes."""

    def start(size: int) -> DiskEndpoint:
        image = tmp_path / "blank.img"
        with image.open("wb") as file:
            file.truncate(size)
        return serve(image)

    return start


def _close_encrypted(handle: Any, *volume_groups: str) -> None:
    devices = handle.list_dm_devices()
    for group in volume_groups:
        handle.vg_activate(False, [group])
    for device in devices:
        handle.cryptsetup_close(device)


@pytest.fixture
def close_encrypted() -> Callable[..., None]:
    """Return a function that closes all encrypted devices, as they are when an appliance starts.

    The volume groups inside them, which are deactivated before, must be named.
    """
    return _close_encrypted
