# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of disks before and after."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_core.api import Bus, SourceDisk, drive_letters


def names(*buses: Bus | None, prefix: str = "vd") -> DeviceNames:
    return DeviceNames.of([SourceDisk(index=i, bus=bus) for i, bus in enumerate(buses, 1)], prefix)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/dev/sda", "/dev/vda"),
        ("/dev/sda1", "/dev/vda1"),
        ("/dev/sdb12", "/dev/vdb12"),
        ("/dev/hda2", "/dev/vda2"),
        ("/dev/xvdb1", "/dev/vdb1"),
        ("/dev/nvme0n1", "/dev/vda"),
        ("/dev/nvme1n1p3", "/dev/vdb3"),
        ("/dev/cciss/c0d1p2", "/dev/vdb2"),
        ("/dev/vda1", "/dev/vda1"),
        ("/dev/sdc1", None),
        ("/dev/sda1x", None),
        ("/dev/mapper/vg-root", None),
        ("/dev/sr0", None),
        ("/dev/nvme0n1p", None),
        ("UUID=1234", None),
    ],
)
def test_any_name_maps_by_position_where_the_bus_is_unknown(old: str, new: str | None) -> None:
    assert names(None, None).rename(old) == new


def test_disks_are_counted_on_their_own_bus() -> None:
    mixed = names(Bus.SCSI, Bus.NVME, Bus.SCSI, Bus.NVME)
    assert mixed.rename("/dev/sdb1") == "/dev/vdc1"
    assert mixed.rename("/dev/nvme0n1p1") == "/dev/vdb1"
    assert mixed.rename("/dev/nvme1n1p1") == "/dev/vdd1"


def test_without_virtio_everything_is_sd() -> None:
    assert names(Bus.IDE, Bus.IDE, prefix="sd").rename("/dev/hdb5") == "/dev/sdb5"


def test_other_text_stays() -> None:
    text = (
        "root=/dev/sda1,/dev/sdb2 /dev/sda1/x x/dev/sda1 /dev/sdaa '/dev/sda2' \"/dev/sdb\" /dev/sda1:/key /dev/sda-x"
    )
    assert names(None, None).rename_in(text) == (
        "root=/dev/vda1,/dev/vdb2 /dev/sda1/x x/dev/sda1 /dev/sdaa '/dev/vda2' \"/dev/vdb\" /dev/vda1:/key /dev/sda-x"
    )


def test_what_is_unknown_and_what_is_stale() -> None:
    found = names(None)
    assert found.unknown_in("/dev/sda1 /dev/sdz1 /dev/vda1") == ("/dev/sdz1",)
    assert found.stale_in("/dev/sda1 /dev/sdz1 /dev/vda1") == ("/dev/sda1",)


@given(st.lists(st.sampled_from([None, *list(Bus)]), max_size=30), st.text())
def test_renaming_twice_is_renaming_once(buses: list[Bus | None], text: str) -> None:
    found = names(*buses)
    virtio = names(*([Bus.VIRTIO_BLK] * len(buses)))
    once = found.rename_in(text)
    assert virtio.rename_in(once) == once or "sd" in once or "hd" in once


@given(st.integers(0, 25), st.integers(1, 128))
def test_each_disk_keeps_its_place_and_its_partitions(disk: int, partition: int) -> None:
    found = names(*([None] * 26))
    old = f"/dev/sd{drive_letters(disk)}{partition}"
    assert found.rename(old) == f"/dev/vd{drive_letters(disk)}{partition}" == found.rename_in(old)
