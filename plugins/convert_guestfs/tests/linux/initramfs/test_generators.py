# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's own tools: which one is asked, how, and how its next images get the drivers; forbidden drivers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import devices_in
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.blacklists import (
    forbidden_modules,
    forbidden_on_command_lines,
    look_for_blacklists,
)
from v2v_convert_guestfs.linux.initramfs.examine import Examination
from v2v_convert_guestfs.linux.initramfs.generators import GENERATORS, find_generators, in_use, package_for
from v2v_convert_guestfs.linux.initramfs.generators.dracut import drop_in
from v2v_convert_guestfs.linux.initramfs.generators.initramfs_tools import with_modules
from v2v_convert_guestfs.linux.initramfs.generators.make_initrd import with_modules_added
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.generators.suse_mkinitrd import with_initrd_modules
from v2v_convert_guestfs.linux.initramfs.image import Image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind
from v2v_convert_guestfs.linux.initramfs.rebuild import lost_modules, modules_of, root_modules
from v2v_convert_guestfs.linux.kernels import Kernel, parse_modules
from v2v_convert_guestfs.session import Blockers, Session

DRIVERS = ("virtio_pci", "virtio_blk")
KERNEL = Kernel(
    version="6.1.0",
    image="/boot/vmlinuz-6.1.0",
    modules_directory="/lib/modules/6.1.0",
    initramfs="/boot/initramfs-6.1.0.img",
    modules=parse_modules(
        b"kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko\n"
        b"kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_ring.ko\n"
        b"kernel/drivers/virtio/virtio_ring.ko:\nkernel/drivers/net/virtio_net.ko:\nkernel/fs/xfs/xfs.ko:\n"
        b"kernel/drivers/scsi/mptspi.ko:\n",
        b"",
    ),
    config={},
)


class Guest:
    """The files of a guest, as far as these rooms look at them."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.content = files
        self.warnings: list[str] = []
        self.session = cast("Session", SimpleNamespace(report=SimpleNamespace(warning=self.warnings.append)))
        self.files = cast("GuestFiles", self)

    def glob(self, pattern: str) -> list[str]:
        start, star, end = pattern.partition("*")
        if not star:
            return [pattern] if pattern in self.content else []
        return sorted(path for path in self.content if path.startswith(start) and path.endswith(end))

    def resolve(self, path: str) -> str | None:
        return path if path in self.content else None

    def read(self, path: str) -> bytes | None:
        return self.content.get(path)


def job(program: str, **changes: object) -> Job:
    fields: dict[str, object] = {
        "program": program,
        "version": "6.1.0",
        "kernel": "/boot/vmlinuz-6.1.0",
        "modules": DRIVERS,
        "initramfs": "/boot/initrd-6.1.0",
        "output": "/boot/initrd-6.1.0.v2v-abcdef",
        "root": "/dev/disk/by-uuid/11-22",
        "major": 9,
    }
    return Job(**{**fields, **changes})  # type: ignore[arg-type]


def commands(kind: Kind, made: Job) -> tuple[Command, ...]:
    return next(found for found in GENERATORS if found.kind is kind).commands(made)


@pytest.mark.parametrize(
    "own",
    [
        'add_dracutmodules+=" squash "',
        'force_add_dracutmodules+="squash"',
        'add_dracutmodules+=" nfs squash-lib squash-squashfs squash-erofs lvm "',
        'add_dracutmodules="kdump-squash squash"\nforce_add_dracutmodules=" squash squash squash "',
    ],
)
def test_dracut_makes_no_image_in_an_image(tmp_path: Path, own: str) -> None:
    """dracutdevs/dracut#427, #463: the module must be added, and a forced module that is omitted is an error."""
    (content,) = commands(Kind.DRACUT, job("/sbin/dracut"))[0].settings.values()
    path = tmp_path / "dracut.conf"
    path.write_bytes(own.encode() + b"\n" + content + b'echo "$add_dracutmodules $force_add_dracutmodules"\n')
    argv = ["bash", "-c", '. "$0" && echo "$omit_dracutmodules"', str(path)]
    added, omitted = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    assert set(added.split()) == set(own.replace('"', " ").split()) & {"nfs", "lvm", "kdump-squash"}
    assert set(omitted.split()) == {"squash", "squash-lib", "squash-squashfs", "squash-erofs"}


def test_dracut_is_run_as_it_is_set_up_and_then_without_hostonly() -> None:
    first, second = commands(Kind.DRACUT, job("/sbin/dracut"))
    argv = (
        *("/sbin/dracut", "--force", "--add-drivers", "virtio_pci virtio_blk"),
        *("/boot/initrd-6.1.0.v2v-abcdef", "6.1.0"),
    )
    assert (tuple(first.argv), tuple(second.argv)) == (argv, argv)
    (name,) = first.settings
    assert first.settings[name].startswith(b'hostonly_cmdline="no"\n')
    assert second.settings == {name: first.settings[name] + b'hostonly="no"\n'}
    assert name.rpartition("/")[2] > "50-v2v.conf"
    assert "--add-drivers" not in commands(Kind.DRACUT, job("/sbin/dracut", modules=()))[0].argv


def test_mkinitrd_of_suse_is_told_the_root() -> None:
    (command,) = commands(Kind.SUSE_MKINITRD, job("/sbin/mkinitrd"))
    assert tuple(command.argv) == (
        *("/sbin/mkinitrd", "-m", "virtio_pci virtio_blk", "-k", "/boot/vmlinuz-6.1.0"),
        *("-i", "/boot/initrd-6.1.0.v2v-abcdef", "-d", "/dev/disk/by-uuid/11-22"),
    )
    assert command.environment == {"rootdev": "/dev/disk/by-uuid/11-22"}
    (unknown,) = commands(Kind.SUSE_MKINITRD, job("/sbin/mkinitrd", root="", modules=()))
    assert (unknown.environment, tuple(unknown.argv[:2])) == ({}, ("/sbin/mkinitrd", "-k"))


@pytest.mark.parametrize(("major", "environment"), [(4, {"root_lvm": "1"}), (5, {})])
def test_mkinitrd_of_red_hat(major: int, environment: dict[str, str]) -> None:
    (command,) = commands(Kind.REDHAT_MKINITRD, job("/sbin/mkinitrd", major=major))
    assert tuple(command.argv) == (
        *("/sbin/mkinitrd", "-f", "--with=virtio_pci", "--with=virtio_blk"),
        *("/boot/initrd-6.1.0.v2v-abcdef", "6.1.0"),
    )
    assert (command.environment, command.loads) == (environment, ("ext2", "loop"))


def test_initramfs_tools_and_make_initrd_know_where_to_write() -> None:
    first, second = commands(Kind.INITRAMFS_TOOLS, job("/usr/sbin/update-initramfs"))
    assert first.argv == second.argv == ("/usr/sbin/update-initramfs", "-c", "-k", "6.1.0")
    assert (first.settings, list(second.settings.values())) == ({}, [b"MODULES=most\n"])
    (command,) = commands(Kind.MAKE_INITRD, job("/usr/sbin/make-initrd"))
    assert command.argv == ("/usr/sbin/make-initrd", "-k", "6.1.0")


@pytest.mark.parametrize(
    ("programs", "family", "kind", "program"),
    [
        ({"/sbin/mkinitrd", "/sbin/dracut"}, Family.REDHAT, Kind.UNKNOWN, "/sbin/dracut"),
        ({"/sbin/mkinitrd"}, Family.REDHAT, Kind.REDHAT_MKINITRD, "/sbin/mkinitrd"),
        ({"/sbin/mkinitrd", "/usr/bin/dracut"}, Family.SUSE, Kind.DRACUT, "/usr/bin/dracut"),
        ({"/sbin/mkinitrd", "/usr/bin/dracut"}, Family.SUSE, Kind.SUSE_MKINITRD, "/sbin/mkinitrd"),
        # Debian's dracut-core may lie beside initramfs-tools, which makes the images
        (
            {"/usr/bin/dracut", "/usr/sbin/update-initramfs"},
            Family.DEBIAN,
            Kind.INITRAMFS_TOOLS,
            "/usr/sbin/update-initramfs",
        ),
        ({"/usr/bin/dracut", "/usr/sbin/update-initramfs"}, Family.DEBIAN, Kind.UNKNOWN, "/usr/bin/dracut"),
        ({"/usr/sbin/make-initrd", "/sbin/mkinitrd"}, Family.ALT, Kind.UNKNOWN, "/usr/sbin/make-initrd"),
        ({"/sbin/mkinitrd"}, Family.DEBIAN, Kind.UNKNOWN, None),
        (set(), Family.REDHAT, Kind.DRACUT, None),
    ],
)
def test_the_tool_that_is_asked(programs: set[str], family: Family, kind: Kind, program: str | None) -> None:
    guest = Guest(dict.fromkeys(programs, b""))
    found = in_use(find_generators(guest.files, family), kind)
    assert (found.program if found else None) == program
    if found and kind in {Kind.SUSE_MKINITRD, Kind.REDHAT_MKINITRD}:
        assert found.generator.kind is kind


@pytest.mark.parametrize(
    ("family", "kind", "package"),
    [
        (Family.DEBIAN, Kind.UNKNOWN, "initramfs-tools"),
        (Family.DEBIAN, Kind.DRACUT, "dracut"),
        (Family.REDHAT, Kind.UNKNOWN, "dracut"),
        (Family.REDHAT, Kind.REDHAT_MKINITRD, "mkinitrd"),
        (Family.ALT, Kind.UNKNOWN, "make-initrd"),
        (None, Kind.UNKNOWN, "dracut"),
    ],
)
def test_what_to_install(family: Family | None, kind: Kind, package: str) -> None:
    assert package_for(family, kind) == package


def test_the_next_images_of_dracut() -> None:
    assert drop_in(DRIVERS).splitlines()[1:] == [b'add_drivers+=" virtio_pci virtio_blk "']


def test_modules_are_listed_once() -> None:
    once = with_modules(b"# List\nvirtio-blk", ("virtio_pci", "virtio_blk", "virtio_scsi"))
    assert once.startswith(b"# List\nvirtio-blk\n")
    assert once.endswith(b"virtio_pci\nvirtio_scsi\n")
    assert with_modules(once, DRIVERS) == once


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'INITRD_MODULES="mptspi  ata_piix"\n', b'INITRD_MODULES="mptspi ata_piix virtio_pci virtio_blk"\n'),
        (b"# Type\nINITRD_MODULES=''\nX=1\n", b"# Type\nINITRD_MODULES='virtio_pci virtio_blk'\nX=1\n"),
        (b"INITRD_MODULES=mptspi", b'INITRD_MODULES="mptspi virtio_pci virtio_blk"'),
        (b"INITRD_MODULES=\n", b'INITRD_MODULES="virtio_pci virtio_blk"\n'),
        (b'INITRD_MODULES="virtio-pci ext3"\n', b'INITRD_MODULES="virtio-pci ext3 virtio_blk"\n'),
        (b'INITRD_MODULES="virtio_blk virtio_pci"\n', None),
        (b'INITRD_MODULES="$(list)"\n', None),
        (b'DOMU_INITRD_MODULES="xennet"\n', None),
        (b"", None),
    ],
)
def test_the_next_images_of_suse(old: bytes, new: bytes | None) -> None:
    assert with_initrd_modules(old, DRIVERS) == (old if new is None else new)


@pytest.mark.parametrize(
    ("old", "added"),
    [
        (b"AUTODETECT = all\n", b"MODULES_ADD += virtio_pci virtio_blk\n"),
        (b"MODULES_ADD = virtio-blk # disk", b"MODULES_ADD += virtio_pci\n"),
        (b"MODULES_ADD += virtio_pci\nMODULES_TRY_ADD += virtio_blk\n", None),
        (b"# MODULES_ADD = virtio_blk\n", b"MODULES_ADD += virtio_pci virtio_blk\n"),
    ],
)
def test_the_next_images_of_alt(old: bytes, added: bytes | None) -> None:
    new = with_modules_added(old, DRIVERS)
    assert new.startswith(old)
    assert new == old if added is None else new.endswith(b"\n" + added)
    assert with_modules_added(new, DRIVERS) == new


EDITORS: list[Callable[[bytes], bytes]] = [
    lambda data: with_modules(data, DRIVERS),
    lambda data: with_initrd_modules(data, DRIVERS),
    lambda data: with_modules_added(data, DRIVERS),
    devices_in.crypttab_in_initramfs,
]


@given(st.binary(max_size=200), st.sampled_from(EDITORS))
def test_twice_is_once_and_strange_bytes_stay(data: bytes, editor: Callable[[bytes], bytes]) -> None:
    once = editor(data)
    assert editor(once) == once
    forbidden_modules(data)
    forbidden_on_command_lines(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"root UUID=1 none luks\n", b"root UUID=1 none luks,initramfs\n"),
        (b"root  UUID=1\tnone\n", b"root  UUID=1\tnone initramfs\n"),
        (b"root UUID=1 none luks,initramfs \n", None),
        (b"root UUID=1 - luks  # x\n", b"root UUID=1 - luks,initramfs  # x\n"),
        (b"data UUID=1 /etc/key luks\n", None),
        (b"swap /dev/sda3 /dev/urandom swap\n", None),
        (b"# root UUID=1 none luks\nroot\n\n", None),
    ],
)
def test_encrypted_disks_for_initramfs_tools(old: bytes, new: bytes | None) -> None:
    assert devices_in.crypttab_in_initramfs(old) == (old if new is None else new)


def test_modules_that_a_new_image_lost() -> None:
    old = Examination(KERNEL, present=frozenset({"xfs", "mptspi", "virtio_blk"}))
    image, wanted = cast("Image", object()), frozenset({"xfs", "dm_mod"})
    without = Examination(KERNEL, image=image, present=frozenset({"virtio_blk"}))
    assert lost_modules(old, without, wanted) == ["xfs"]
    assert lost_modules(old, without, frozenset({"ext4"})) == []
    assert lost_modules(old, Examination(KERNEL, image=image, present=frozenset({"xfs"})), wanted) == []
    assert lost_modules(old, Examination(KERNEL), wanted) == []
    assert modules_of(KERNEL) == DRIVERS


@pytest.mark.parametrize(
    ("root", "filesystems", "modules"),
    [
        ("/dev/sda2", {"/dev/sda1": "vfat", "/dev/sda2": "xfs"}, {"xfs"}),
        ("/dev/rhel/root", {"/dev/rhel/root": "xfs"}, {"xfs", "dm_mod"}),
        (
            "/dev/mapper/luks-1",
            {"/dev/sda2": "crypto_LUKS", "/dev/mapper/luks-1": "ext4"},
            {"ext4", "dm_mod", "dm_crypt"},
        ),
        ("btrfsvol:/dev/sda2/@", {"btrfsvol:/dev/sda2/@": "btrfs"}, {"btrfs"}),
        ("/dev/md0", {"/dev/md0": "ext4"}, {"ext4", "raid0", "raid1", "raid456", "raid10"}),
    ],
)
def test_what_the_root_is_read_with(root: str, filesystems: dict[str, str], modules: set[str]) -> None:
    session = SimpleNamespace(inspection=SimpleNamespace(root=root), filesystems=filesystems)
    assert root_modules(cast("Session", session)) == modules


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("blacklist virtio_blk\n", ["virtio_blk"]),
        ("  blacklist\tvirtio-blk # no\n", ["virtio_blk"]),
        ("# blacklist virtio_blk\nblacklisted virtio_blk\n", []),
        ("install virtio_pci /bin/true\n", ["virtio_pci"]),
        ("install virtio_pci \\\n  /bin/false\n", ["virtio_pci"]),
        ("install virtio_pci /sbin/modprobe --ignore-install virtio_pci && echo hello\n", []),
        ("options virtio_blk queue_depth=64\nalias eth0 virtio_net\n", []),
    ],
)
def test_forbidden_modules(text: str, names: list[str]) -> None:
    assert forbidden_modules(text.encode()) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('GRUB_CMDLINE_LINUX="quiet rd.driver.blacklist=virtio_blk,nouveau"\n', ["virtio_blk", "nouveau"]),
        ("  linux /vmlinuz root=/dev/sda1 modprobe.blacklist=virtio-pci ro\n", ["virtio_pci"]),
        ("kernel /vmlinuz module_blacklist=virtio_blk\n", ["virtio_blk"]),
        ("# modprobe.blacklist=virtio_blk\nmy.modprobe.blacklist=virtio_blk\n", []),
    ],
)
def test_forbidden_on_command_lines(text: str, names: list[str]) -> None:
    assert forbidden_on_command_lines(text.encode()) == names


@pytest.mark.parametrize(
    ("path", "text", "blocked", "warned"),
    [
        ("/etc/modprobe.d/local.conf", b"blacklist virtio_blk\n", True, False),
        ("/etc/modprobe.d/local.conf", b"install virtio_ring /bin/true\n", True, False),
        ("/etc/modprobe.d/local.conf", b"blacklist virtio_net\n", False, True),
        ("/etc/modprobe.d/local.conf", b"blacklist nouveau\n", False, False),
        ("/etc/modprobe.d/local.conf.disabled", b"blacklist virtio_blk\n", False, False),
        ("/etc/modprobe.d/blacklist", b"blacklist virtio_blk\n", True, False),
        ("/etc/default/grub", b'GRUB_CMDLINE_LINUX="rd.driver.blacklist=virtio_pci"\n', True, False),
        ("/boot/grub2/grub.cfg", b"linux /vmlinuz module_blacklist=virtio_pci\n", True, False),
    ],
)
def test_what_is_forbidden_is_said_before_anything_is_changed(
    path: str, text: bytes, blocked: bool, warned: bool
) -> None:
    guest, blockers = Guest({path: text}), Blockers()
    look_for_blacklists(guest.session, guest.files, KERNEL, blockers)
    assert (bool(blockers.reasons), bool(guest.warnings)) == (blocked, warned)
    if blocked:
        assert path in blockers.reasons[0][0]
        assert path in blockers.reasons[0][1]


def test_a_file_in_etc_stands_in_for_one_in_lib() -> None:
    files = {"/etc/modprobe.d/virtio.conf": b"", "/usr/lib/modprobe.d/virtio.conf": b"blacklist virtio_blk\n"}
    guest, blockers = Guest(files), Blockers()
    look_for_blacklists(guest.session, guest.files, KERNEL, blockers)
    assert blockers.reasons == []


def test_what_is_built_in_cannot_be_forbidden() -> None:
    guest, blockers = Guest({"/etc/modprobe.d/local.conf": b"blacklist virtio_blk\nblacklist virtio_pci\n"}), Blockers()
    kernel = replace(KERNEL, config={"VIRTIO_BLK": "y", "VIRTIO_PCI": "y"})
    look_for_blacklists(guest.session, guest.files, kernel, blockers)
    assert blockers.reasons == []
