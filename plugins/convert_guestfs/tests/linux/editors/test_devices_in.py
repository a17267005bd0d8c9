# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of disks in the configuration of LVM and mdadm."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.editors import devices_in
from v2v_core.api import (
    SourceDisk,
)

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'filter = [ "a|^/dev/sda2$|", "r|.*|" ]\n', b'filter = [ "a|^/dev/vda2$|", "r|.*|" ]\n'),
        (b'\tglobal_filter = [ "a|/dev/sdb.*|",\n "r|.*|" ]', b'\tglobal_filter = [ "a|/dev/vdb.*|",\n "r|.*|" ]'),
        (b'filter = [ "a|/dev/sd[ab]1|", "r|x]|" ]', b'filter = [ "a|/dev/vd[ab]1|", "r|x]|" ]'),
        (b'filter="a|/dev/sd.*|"', b'filter="a|/dev/vd.*|"'),
        (b'# filter = [ "a|/dev/sda|" ]', b'# filter = [ "a|/dev/sda|" ]'),
        (b'types = [ "/dev/sda" ]', b'types = [ "/dev/sda" ]'),
        (b'filter = [ "a|/dev/sda', b'filter = [ "a|/dev/sda'),
    ],
)
def test_filters_of_lvm(old: bytes, new: bytes) -> None:
    assert devices_in.lvm_filters(old, NAMES) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"DEVICE /dev/sda1\n /dev/sd[bc]*\n", b"DEVICE /dev/vda1\n /dev/vd[bc]*\n"),
        (b"ARRAY /dev/md0 devices=/dev/sda1,/dev/sdb1\n", b"ARRAY /dev/md0 devices=/dev/vda1,/dev/vdb1\n"),
        (b"DEVICE partitions\n#DEVICE /dev/sda1\nPROGRAM /x /dev/sda1\n",) * 2,
    ],
)
def test_mdadm(old: bytes, new: bytes) -> None:
    assert devices_in.mdadm(old, NAMES) == new
