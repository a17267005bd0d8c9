# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the roots that libguestfs lists are systems, and which are snapshots and copies of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from v2v_convert_guestfs.filesystems.roots import Subvolumes, root_options, systems
from v2v_convert_guestfs.inspection import choose_root
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, Guest
from v2v_core.testing import FakeReporter

TOP = 5


class Btrfs:
    """A libguestfs with btrfs file systems: the files of each subvolume, by its device and path.

    :param default: the number of the default subvolume. The first subvolume has the number 256.
    :param uuids: of the file systems, by device; one for all by default.
    """

    def __init__(
        self,
        subvolumes: Mapping[str, Mapping[str, str]],
        *,
        device: str = "/dev/sda1",
        default: int = TOP,
        uuids: Mapping[str, str] | None = None,
        volumes: str = "",
    ) -> None:
        self.subvolumes, self.device, self.default, self.volumes = subvolumes, device, default, volumes
        self.uuids = uuids or {}
        self.files: Mapping[str, str] = {}
        self.mounted = False

    def mount_ro(self, device: str, place: str) -> None:
        assert not self.mounted, "something is mounted already"
        self.mounted = True
        base, _, path = device.removeprefix("btrfsvol:").partition(f"{self.device}/")
        assert base in {"", self.device}
        numbers = dict(enumerate(self.subvolumes, 256))
        path = path if device.startswith("btrfsvol:") else numbers.get(self.default, "")
        self.files = self.subvolumes.get(path, {})

    def umount_all(self) -> None:
        self.mounted = False

    def btrfs_subvolume_list(self, place: str) -> list[dict[str, object]]:
        assert self.mounted
        return [
            {"btrfssubvolume_id": number, "btrfssubvolume_path": path}
            for number, path in enumerate((path for path in self.subvolumes if path), 256)
        ]

    def btrfs_subvolume_get_default(self, place: str) -> int:
        return self.default

    def vfs_uuid(self, device: str) -> str:
        return self.uuids[device]

    def debug(self, command: str, words: list[str]) -> str:
        return self.volumes

    def exists(self, path: str) -> bool:
        return path in self.files

    def realpath(self, path: str) -> str:
        return path

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        return True

    def filesize(self, path: str) -> int:
        return len(self.files[path])

    def pread(self, path: str, size: int, offset: int) -> bytes:
        return self.files[path].encode()[offset : offset + size]

    def glob_expand(self, pattern: str) -> list[str]:
        return [path for path in self.files if path.startswith(pattern.partition("*")[0])]


def found(handle: Btrfs, roots: Sequence[str], kinds: Mapping[str, str] | None = None, root: str = "ask") -> Session:
    request = ConvertRequest(
        directory=Path(),
        temporary=Path(),
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(root=root),
        report=FakeReporter(),
    )
    kinds = kinds or {"/dev/sda1": "btrfs"}
    return Session(request=request, handle=handle, filesystems={**dict.fromkeys(roots, "btrfs"), **kinds})


def vol(path: str, device: str = "/dev/sda1") -> str:
    return f"btrfsvol:{device}/{path}"


def fstab(options: str) -> dict[str, str]:
    return {"/etc/fstab": f"UUID=1 / btrfs {options} 0 0\nUUID=1 /home btrfs subvol=@home 0 0\n"}


SNAPPER = {f"@/.snapshots/{number}/snapshot": fstab("defaults") for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("default", [256, 258])
def test_snapper(default: int) -> None:
    """See adminsyspro/proxcenter-ui#740, libguestfs/libguestfs#202: / is the default subvolume beside snapshots."""
    handle = Btrfs(SNAPPER, default=default)
    chosen = list(SNAPPER)[default - 256]
    roots = ["/dev/sda1", *(vol(path) for path in SNAPPER if path != chosen)]
    session = found(handle, roots)
    assert systems(session, roots) == ["/dev/sda1"]
    assert not handle.mounted
    report = session.report
    assert isinstance(report, FakeReporter)
    (told,) = report.infos
    assert all(root in told for root in roots[1:])


def test_timeshift() -> None:
    """See Antynea/grub-btrfs#96: @ is mounted by name, and timeshift keeps copies whose fstab names @ as well."""
    copies = [f"timeshift-btrfs/snapshots/2020-07-{day}/@" for day in (26, 27, 28)]
    handle = Btrfs({path: fstab("rw,subvol=@") for path in ("@", *copies)})
    roots = [vol(path) for path in (*copies, "@")]
    assert systems(found(handle, roots), roots) == [vol("@")]


def test_a_copy_by_hand_in_any_place() -> None:
    handle = Btrfs({path: fstab("subvolid=257") for path in ("@before-the-upgrade", "@rootfs", "@rootfs-2024")})
    roots = [vol("@before-the-upgrade"), vol("@rootfs"), vol("@rootfs-2024")]
    assert systems(found(handle, roots), roots) == [vol("@rootfs")]


def test_the_kernel_command_line_names_it_if_fstab_does_not() -> None:
    """See Antynea/grub-btrfs#336: a system that only boots with rootflags=subvol=root on its command line."""
    own = {"/etc/kernel/cmdline": "root=UUID=1 rw rootflags=subvol=root,compress=zstd quiet\n"}
    handle = Btrfs({"root": own, "snapshots/monday": own, "old": own})
    roots = [vol("root"), vol("snapshots/monday"), vol("old")]
    assert systems(found(handle, roots), roots) == [vol("root")]
    menu = {"/boot/loader/entries/a.conf": "title A\noptions root=UUID=1 rootflags=subvol=/root ro\n"}
    handle = Btrfs({"root": menu, "old": menu})
    assert systems(found(handle, roots[:1] + roots[2:]), roots[:1] + roots[2:]) == [vol("root")]


def test_two_distributions_on_one_file_system_are_two_systems() -> None:
    handle = Btrfs(
        {"@debian": fstab("subvol=@debian"), "@fedora": fstab("subvol=/@fedora"), "@x": fstab("subvol=@debian")}
    )
    roots = [vol("@debian"), vol("@fedora"), vol("@x")]
    session = found(handle, roots)
    assert systems(session, roots) == roots[:2]
    handle_without_names(handle)
    with pytest.raises(ConversionError, match="the guest has 2 operating systems") as caught:
        choose_root(session, roots)
    assert caught.value.hint is not None
    assert vol("@debian") in caught.value.hint


def handle_without_names(handle: Btrfs) -> None:
    def inspect_get_product_name(root: str) -> str:
        return "unknown"

    handle.inspect_get_product_name = inspect_get_product_name  # type: ignore[attr-defined]


def test_the_user_may_choose_a_snapshot() -> None:
    handle = Btrfs(SNAPPER, default=256)
    wanted = vol("@/.snapshots/3/snapshot")
    roots = ["/dev/sda1", wanted]
    assert choose_root(found(handle, roots, root=wanted), roots) == wanted


def test_nothing_is_left_out_if_nothing_can_be_told() -> None:
    handle = Btrfs({"a": {}, "b": {}})
    roots = [vol("a"), vol("b")]
    assert systems(found(handle, roots), roots) == roots


def test_a_file_system_of_two_devices_has_one_system() -> None:
    """See util-linux/util-linux#3778: / on btrfs with RAID1. libguestfs lists the subvolume once for each disk."""
    handle = Btrfs({"@": fstab("subvol=@")}, uuids={"/dev/sda1": "1", "/dev/sdb1": "1"})
    roots = [vol("@", "/dev/sdb1"), vol("@")]
    kinds = {"/dev/sda1": "btrfs", "/dev/sdb1": "btrfs"}
    assert systems(found(handle, roots, kinds), roots) == [vol("@")]
    handle.uuids = {"/dev/sda1": "1", "/dev/sdb1": "2"}
    assert systems(found(handle, roots, kinds), roots) == roots


def test_a_snapshot_of_a_logical_volume_is_no_system() -> None:
    handle = Btrfs({}, volumes="  vg:root:\n  vg:before:root\n  vg:other:\n")
    roots = ["/dev/vg/before", "/dev/vg/other", "/dev/vg/root"]
    kinds = dict.fromkeys(roots, "ext4")
    assert systems(found(handle, roots, kinds), roots) == ["/dev/vg/other", "/dev/vg/root"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("UUID=1 / btrfs subvol=@,noatime 0 0", "subvol=@,noatime"),
        ("UUID=1 / btrfs", ""),
        ("#UUID=1 / btrfs subvol=@ 0 0", None),
        ("/dev/sda1 / ext4 defaults 0 1", None),
        ("UUID=1 /home btrfs subvol=@home 0 0", None),
    ],
)
def test_the_options_of_the_root(line: str, expected: str | None) -> None:
    assert root_options(f"\xff\n{line}\n".encode("latin-1")) == expected


def test_a_subvolume_is_named_by_path_or_number() -> None:
    known = Subvolumes({256: "@", 257: "a/b"}, "@")
    assert known.named("rw,subvol=/a/b") == "a/b"
    assert known.named("subvolid=257") == "a/b"
    assert known.named("subvolid=0") == ""
    assert known.named("subvol=/") == ""
    assert known.named("subvol=gone") is None
    assert known.named("rw") is None
