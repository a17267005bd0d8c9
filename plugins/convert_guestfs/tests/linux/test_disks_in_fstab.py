# SPDX-License-Identifier: GPL-2.0-or-later
"""Which disk a name in fstab means: the one on which that file system really is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames, buses_known, suggested_disks
from v2v_convert_guestfs.linux.disks_in_fstab import FileSystems, corrections, find_disks, mentions
from v2v_convert_guestfs.linux.fstab_devices import find_devices, known_disks
from v2v_core.api import Bus, Guest, SourceDisk

SCSI, NVME, IDE = Bus.SCSI, Bus.NVME, Bus.IDE
#: File systems: the first disk has the root file system in its first partition.
TWO = {"/dev/sda1": "ext4", "/dev/sdb1": "ext4"}
ROOT_SECOND = {"/dev/sda1": "ext4", "/dev/sda2": "ext4", "/dev/sdb1": "xfs", "/dev/sdc1": "swap"}


def disks(*buses: Bus | None) -> list[SourceDisk]:
    return [SourceDisk(index=i, bus=bus) for i, bus in enumerate(buses, 1)]


def found(
    fstab: str, kinds: dict[str, str], *buses: Bus | None, root: str = "/dev/sda1", claimed: tuple[str, ...] = ()
) -> dict[str, int | None]:
    present = FileSystems(len(buses), kinds, root, frozenset(claimed))
    source = disks(*buses)
    return find_disks(mentions(fstab.encode()), suggested_disks(source), present, trusted=buses_known(source))


@pytest.mark.parametrize(
    ("fstab", "kinds", "buses", "expected"),
    [
        # kubev2v/forklift#1518: the data disk is on a controller of another kind, and the source does not say so.
        ("UUID=1 / ext4\n/dev/nvme0n1p1 /data ext4\n", TWO, (None, None), {"nvme0n1": 1}),
        ("UUID=1 / ext4\n/dev/nvme0n1p1 /data ext4\n", TWO, (SCSI, SCSI), {"nvme0n1": 1}),
        ("/dev/sda1 / ext4\n/dev/nvme0n1p1 /data ext4\n", TWO, (SCSI, None), {"sda": 0, "nvme0n1": 1}),
        ("/dev/nvme0n1p1 / ext4\n/dev/sda1 /data ext4\n", TWO, (None, None), {"nvme0n1": 0, "sda": 1}),
        # The buses are known and right.
        ("/dev/nvme0n1p1 / ext4\n/dev/sda1 /data ext4\n", TWO, (NVME, SCSI), {"nvme0n1": 0, "sda": 1}),
        ("/dev/sda1 / ext4\n/dev/sdb1 /data ext4\n", TWO, (None, None), {"sda": 0, "sdb": 1}),
        # The guest counts its controllers in another order.
        ("/dev/sdb1 / ext4\n/dev/sda1 /data ext4\n", TWO, (SCSI, SCSI), {"sdb": 0, "sda": 1}),
        ("/dev/hda1 / ext4\n/dev/sda1 /data ext4\n", TWO, (None, None), {"hda": 0, "sda": 1}),
        ("/dev/sda1 /data ext4\n/dev/sdb1 / ext4\n", TWO, (IDE, SCSI), {"sda": 1, "sdb": 0}),
        # Types tell.
        ("/dev/sdb1 none swap\n/dev/sdc1 /d xfs\n", ROOT_SECOND, (SCSI,) * 3, {"sdb": 2, "sdc": 1}),
        ("/dev/nvme1n1p1 /d xfs\n/dev/nvme2n1p1 swap swap\n", ROOT_SECOND, (None,) * 3, {"nvme1n1": 1, "nvme2n1": 2}),
        # A line that is older than the disks does not count, unless nothing else is known.
        ("/dev/sda1 / ext4\n/dev/sda9 /old ext4\n", {"/dev/sda1": "ext4"}, (SCSI,), {"sda": 0}),
        ("/dev/sda2 none swap\n", {"/dev/sda1": "ext4", "/dev/sda2": "unknown"}, (SCSI,), {"sda": 0}),
        ("/dev/sdb1 /zfs zfs_member\n", TWO | {"/dev/sdb1": "unknown"}, (SCSI, SCSI), {"sdb": 1}),
        ("/dev/sda1 / ext4\n/dev/sdb1 /media/stick vfat\n", {"/dev/sda1": "ext4"}, (SCSI,), {"sda": 0, "sdb": None}),
        # An old line names the same disk as IDE drivers did.
        ("/dev/sda1 / ext4\n/dev/hda1 / ext4\n", {"/dev/sda1": "ext4"}, (SCSI,), {"sda": 0, "hda": 0}),
        # Nothing tells.
        ("/dev/sda1 /a ext4\n/dev/nvme0n1p1 /b ext4\n", TWO, (None, None), {"sda": None, "nvme0n1": None}),
        ("/dev/xvda1 /a vfat\n", TWO, (None, None), {"xvda": None}),
    ],
)
def test_the_disk_is_the_one_with_the_file_system(
    fstab: str, kinds: dict[str, str], buses: tuple[Bus | None, ...], expected: dict[str, int | None]
) -> None:
    root = "/dev/sda2" if kinds is ROOT_SECOND or "/a" in fstab else "/dev/sda1"
    assert found(fstab, kinds, *buses, root=root) == expected


def test_file_systems_that_are_known_by_uuid_are_not_meant() -> None:
    kinds = TWO | {"/dev/sdc1": "ext4"}
    assert found("/dev/nvme0n1p1 /d ext4\n", kinds, None, None, None, claimed=("/dev/sdb1",)) == {"nvme0n1": 2}


def test_subvolumes_of_the_root() -> None:
    fstab = "/dev/sda2 / btrfs subvol=@\n/dev/sda2 /home btrfs subvol=@home\n"
    assert found(fstab, {"/dev/sda2": "btrfs"}, None, root="btrfsvol:/dev/sda2/@") == {"sda": 0}


def test_lines() -> None:
    (one,) = mentions(
        b"# /dev/sda1 / ext4\n\n\t/dev/cciss/c0d1p2  /srv\text4,xfs noauto\nUUID=1 / ext4\n/dev/sr0 /m auto\n"
    )
    assert (one.disk, one.number, one.place, one.kind, one.number_of_line) == ("cciss/c0d1", "2", "/srv", "ext4", 3)


def test_a_wrong_suggestion_says_nothing_about_its_family() -> None:
    suggested = suggested_disks(disks(SCSI, SCSI, SCSI))
    corrected = corrections({"sda": 1, "nvme0n1": 0}, suggested)
    assert corrected == {"sda": 1, "sdb": None, "sdc": None}
    names = DeviceNames.of(disks(SCSI, SCSI, SCSI), "vd", known=corrected)
    assert names.rename("/dev/sda1") == "/dev/vdb1"
    assert names.rename("/dev/sdb1") is None
    assert names.unknown_in("/dev/sdb1 /dev/sdz1") == ("/dev/sdz1",)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sda", "sdb", "hda", "nvme0n1p", "nvme1n1p"]),
            st.sampled_from(["1", "2"]),
            st.sampled_from(["/", "/a", "/b", "none"]),
            st.sampled_from(["ext4", "swap", "xfs", "auto"]),
        ),
        max_size=5,
    ),
    st.lists(st.sampled_from(["ext4", "swap", "xfs", "unknown"]), min_size=4, max_size=4),
    st.lists(st.sampled_from([None, SCSI, NVME]), min_size=2, max_size=2),
)
def test_every_name_means_a_disk_on_which_one_of_its_lines_fits_or_nothing(
    lines: list[tuple[str, str, str, str]], kinds: list[str], buses: list[Bus | None]
) -> None:
    fstab = "".join(f"/dev/{disk}{number} {place} {kind}\n" for disk, number, place, kind in lines)
    present = dict(zip(["/dev/sda1", "/dev/sda2", "/dev/sdb1", "/dev/sdb2"], kinds, strict=True))
    told = found(fstab, present, *buses)
    assert set(told) == {disk.removesuffix("p") for disk, *_ in lines}
    for disk, index in told.items():
        own = [(place, kind, number) for name, number, place, kind in lines if name.removesuffix("p") == disk]
        fitting = {
            at
            for place, kind, number in own
            for at in (0, 1)
            if (place == "/") == (f"/dev/sd{'ab'[at]}{number}" == "/dev/sda1")
            and present[f"/dev/sd{'ab'[at]}{number}"] in ({kind} if kind != "auto" else {"ext4", "xfs", "unknown"})
        }
        assert index is None or not fitting or index in fitting


def test_what_is_proved_is_mounted_and_renamed(phony: Callable[..., Any]) -> None:
    """libguestfs/virt-v2v#80: /boot is named by a name that libguestfs does not know."""
    fstab = b"/dev/nvme0n1p2 / ext4 defaults 0 1\n/dev/nvme0n1p1 /boot ext4 defaults 0 2\n/dev/sda1 /srv xfs x 0 2\n"
    guest = phony({"/etc/fstab": fstab})
    session = guest.session
    session.request = replace(session.request, guest=Guest(name="g", disks=tuple(disks(None, None))))
    session.filesystems = {"/dev/sda1": "ext4", "/dev/sda2": "ext4", "/dev/sdb1": "xfs"}
    places = (("/", "/dev/sda2"), ("/srv", "/dev/sda1"), ("/boot", "/dev/nvme0n1p1"))
    session.found = replace(session.inspection, root="/dev/sda2", mountpoints=places)
    find_devices(session, guest.files)
    assert session.inspection.mountpoints == (("/", "/dev/sda2"), ("/srv", "/dev/sdb1"), ("/boot", "/dev/sda1"))
    known = known_disks(session, guest.files)
    names = DeviceNames.of(session.request.guest.disks, "vd", known=known)
    assert names.rename_in(fstab.decode()) == (
        "/dev/vda2 / ext4 defaults 0 1\n/dev/vda1 /boot ext4 defaults 0 2\n/dev/vdb1 /srv xfs x 0 2\n"
    )
    assert guest.report.warnings == []


def test_what_cannot_be_told_is_left_and_reported_with_its_line(phony: Callable[..., Any]) -> None:
    fstab = b"UUID=1 / ext4 defaults 0 1\n\n/dev/sda1 /a ext4 defaults 0 2\n/dev/nvme0n1p1 /b ext4 defaults 0 2\n"
    guest = phony({"/etc/fstab": fstab})
    session = guest.session
    session.request = replace(session.request, guest=Guest(name="g", disks=tuple(disks(None, None, None))))
    session.filesystems = {"/dev/sda1": "ext4", "/dev/sdb1": "ext4", "/dev/sdc1": "ext4"}
    places = (("/", "/dev/sda1"), ("/a", "/dev/sda1"), ("/b", "/dev/nvme0n1p1"))
    session.found = replace(session.inspection, mountpoints=places)
    find_devices(session, guest.files)
    assert session.inspection.mountpoints == (("/", "/dev/sda1"),)
    names = DeviceNames.of(session.request.guest.disks, "vd", known=known_disks(session, guest.files))
    assert names.rename_in(fstab.decode()) == fstab.decode()
    first, second = guest.report.warnings
    assert first.startswith("/etc/fstab in the guest, line 3 (/dev/sda1 /a ext4 defaults 0 2): it cannot be told")
    assert "line 4 (/dev/nvme0n1p1 /b ext4" in second
