# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB 2 of a guest that is only a dictionary of files."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import find_bootloader
from v2v_convert_guestfs.linux.bootloader.grub2 import Grub2
from v2v_convert_guestfs.linux.bootloader.settings import ON_THE_SERIAL_PORT
from v2v_convert_guestfs.linux.kernels import Kernel, Modules
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, Fact, Guest, Inspection, SourceDisk


class Quiet:
    """A reporter that remembers warnings only."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def message(self, text: str) -> None: ...
    def info(self, text: str) -> None: ...
    def debug(self, text: str) -> None: ...
    def changed(self, path: str, what: str, why: str, **_: object) -> None: ...
    def examined(self, fact: Fact) -> None: ...
    def trimmed(self) -> None: ...

    def progress(self, done: int, total: int, *, disk: int | None = None) -> None: ...

    def warning(self, text: str) -> None:
        self.warnings.append(text)


class Files:
    """As much of libguestfs as editing files takes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def exists(self, path: str) -> bool:
        return path in self.files or self.is_dir(path)

    def is_file(self, path: str, *, followsymlinks: bool = False) -> bool:
        return path in self.files

    def is_dir(self, path: str) -> bool:
        return any(name.startswith(f"{path}/") for name in self.files)

    def realpath(self, path: str) -> str:
        return path

    def filesize(self, path: str) -> int:
        return len(self.files[path])

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self.files[path][offset : offset + min(count, 1000)]

    def mktemp(self, template: str) -> str:
        return template.replace("XXXXXX", "123456")

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def copy_attributes(self, old: str, new: str, *, all: bool) -> None:  # noqa: A002 - libguestfs's name
        assert old in self.files
        assert new in self.files

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def glob_expand(self, pattern: str) -> list[str]:
        return fnmatch.filter(self.files, pattern)

    def vfs_uuid(self, device: str) -> str:
        uuids = {"/dev/sda1": "1-2-3", "/dev/sda2": "4-5-6", "/dev/sdb5": "7-8-9", "/dev/sdb6": ""}
        if device not in uuids:
            raise RuntimeError(f"{device}: No such file or directory")
        return uuids[device]


MENU = b"""\
set default="0"
menuentry 'D' $menuentry_id_option 'simple' {
\tlinux\t/vmlinuz-6.9-dbg root=/dev/sda1 ro resume=/dev/sdb1 console=hvc0
\tinitrd\t/initrd.img-6.9-dbg
}
submenu 'Advanced' $menuentry_id_option 'adv' {
\tmenuentry 'D 6.1' $menuentry_id_option 'one' {
\t\tlinux\t/vmlinuz-6.1 root=/dev/sda1 ro
\t\tinitrd\t/initrd.img-6.1
\t}
\tmenuentry 'D 6.1 (recovery mode)' $menuentry_id_option 'rec-recovery' {
\t\tlinux\t/vmlinuz-6.1 root=/dev/sda1 ro single
\t\tinitrd\t/initrd.img-6.1
\t}
}
"""
NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")


def kernel(version: str) -> Kernel:
    image = f"/boot/vmlinuz-{version}"
    return Kernel(version=version, image=image, modules_directory="", initramfs=None, modules=Modules(), config={})


def session_of(tmp_path: Path, files: dict[str, bytes]) -> tuple[Session, Quiet]:
    report = Quiet()
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=report,
    )
    session = Session(request=request, handle=Files(files))
    session.found = Inspection(
        root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64", mountpoints=(("/", "/dev/sda1"),)
    )
    return session, report


def test_the_default_is_found_and_set(tmp_path: Path) -> None:
    files = {"/boot/grub/grub.cfg": MENU, "/etc/default/grub": b"GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\n"}
    session, _ = session_of(tmp_path, files)
    grub = Grub2(session, GuestFiles(session), "/boot/grub/grub.cfg")
    kernels = [kernel("6.1"), kernel("6.9-dbg"), kernel("5.10")]
    assert grub.bootable(kernels) == kernels[:2]
    assert grub.default_kernel(kernels) is kernels[1]
    grub.set_default(kernels[0])
    assert grub.default_kernel(kernels) is kernels[0]
    assert files["/etc/default/grub"] == b"GRUB_DEFAULT='adv>one'\nGRUB_TIMEOUT=1\n"
    assert [change.path for change in session.changes] == ["/etc/default/grub", "/boot/grub/grub.cfg"]


def test_a_kernel_that_is_not_offered_cannot_be_the_default(tmp_path: Path) -> None:
    session, _ = session_of(tmp_path, {"/boot/grub/grub.cfg": MENU})
    with pytest.raises(ConversionError, match=r"5\.10"):
        Grub2(session, GuestFiles(session), "/boot/grub/grub.cfg").set_default(kernel("5.10"))


@pytest.mark.parametrize(
    ("disabled", "root"), [(b"", b"UUID=1-2-3"), (b"GRUB_DISABLE_LINUX_UUID=true\n", b"/dev/vda1")]
)
def test_disks_are_renamed_on_the_kernel_command_lines(tmp_path: Path, disabled: bytes, root: bytes) -> None:
    files = {"/boot/grub/grub.cfg": MENU, "/etc/default/grub": disabled, "/boot/grub/device.map": b"(hd0)\t/dev/sda\n"}
    session, _ = session_of(tmp_path, files)
    grub = Grub2(session, GuestFiles(session), "/boot/grub/grub.cfg")
    grub.rename_devices(NAMES)
    grub.change_consoles(ON_THE_SERIAL_PORT)
    expected = MENU.replace(b"root=/dev/sda1", b"root=" + root).replace(b"/dev/sdb1", b"/dev/vdb1")
    assert files["/boot/grub/grub.cfg"] == expected.replace(b"console=hvc0", b"console=ttyS0")
    assert files["/boot/grub/device.map"] == b"(hd0)\t/dev/vda\n"
    assert not [name for name in files if "v2v-" in name]


def test_the_entry_of_another_system_keeps_its_own_root(tmp_path: Path) -> None:
    """A menu as os-prober writes it: entries of systems on other partitions, with kernels of the same name."""
    others = b"""
menuentry 'Another' $menuentry_id_option 'osprober-1' {
\tsearch --no-floppy --fs-uuid --set=root 4-5-6
\tlinux /boot/vmlinuz-6.1 root=/dev/sda2
\tinitrd /boot/initrd.img-6.1
}
submenu 'A third' {
\tmenuentry 'on another disk' {
\t\tlinux /boot/vmlinuz-6.1 root=/dev/sdb5 resume=/dev/sdb7
\t\tinitrd /boot/initrd.img-6.1
\t}
\tmenuentry 'without a file system' {
\t\tlinux /boot/vmlinuz-6.1 root=/dev/sdb6
\t\tinitrd /boot/initrd.img-6.1
\t}
\tmenuentry 'gone' {
\t\tlinux /boot/vmlinuz-6.1 root=/dev/sdb8
\t\tinitrd /boot/initrd.img-6.1
\t}
}
"""
    files = {"/boot/grub/grub.cfg": MENU + others, "/boot/grub/grubenv": b""}
    session, _ = session_of(tmp_path, files)
    Grub2(session, GuestFiles(session), "/boot/grub/grub.cfg").rename_devices(NAMES)
    own, _, menu = files["/boot/grub/grub.cfg"].partition(b"menuentry 'Another'")
    assert own.count(b"root=UUID=1-2-3 ") == 3
    assert b"vmlinuz-6.1 root=UUID=4-5-6\n" in menu
    assert b"root=UUID=7-8-9 resume=/dev/vdb7\n" in menu
    assert b"root=/dev/vdb6\n" in menu
    assert b"root=/dev/vdb8\n" in menu


def test_entries_of_the_boot_loader_specification_keep_their_own_roots(tmp_path: Path) -> None:
    entry = b"title x\nlinux /vmlinuz-%d\ninitrd /initrd-%d\noptions root=/dev/sda%d ro\n"
    files = {"/boot/grub2/grub.cfg": b"blscfg\n"}
    files |= {f"/boot/loader/entries/m-{number}.conf": entry % ((number,) * 3) for number in (1, 2)}
    session, _ = session_of(tmp_path, files)
    Grub2(session, GuestFiles(session), "/boot/grub2/grub.cfg").rename_devices(NAMES)
    assert b"root=UUID=1-2-3 ro" in files["/boot/loader/entries/m-1.conf"]
    assert b"root=UUID=4-5-6 ro" in files["/boot/loader/entries/m-2.conf"]


def test_a_boot_loader_that_is_not_known_is_a_blocker(tmp_path: Path) -> None:
    session, _ = session_of(tmp_path, {"/boot/grub/menu.lst": b"title x\n"})
    blockers = Blockers()
    assert find_bootloader(session, GuestFiles(session), blockers) is None
    assert "GRUB legacy" in blockers.reasons[0][0]


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    session, report = session_of(tmp_path, {"/etc/fstab/strange": b""})
    files = GuestFiles(session)
    assert files.read("/etc/fstab") is None
    assert not files.edit("/etc/fstab", lambda data: b"new", what="", why="")
    assert "not a regular file" in report.warnings[0]


def test_what_is_too_long_is_left_alone(tmp_path: Path) -> None:
    session, report = session_of(tmp_path, {"/etc/fstab": bytes(2048)})
    assert GuestFiles(session).read("/etc/fstab", limit=1024) is None
    assert "2048 bytes" in report.warnings[0]
    assert GuestFiles(session).read("/etc/fstab", limit=4096) == bytes(2048)
