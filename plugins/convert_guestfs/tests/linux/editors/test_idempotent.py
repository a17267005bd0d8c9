# SPDX-License-Identifier: GPL-2.0-or-later
"""Editing twice is editing once, and lines without anything known stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import (
    console,
    display,
    modprobe,
)
from v2v_convert_guestfs.linux.editors import devices_in
from v2v_core.api import (
    SourceDisk,
)

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=10),
        st.sampled_from(
            [
                *(
                    b"/dev/sda1",
                    b"/dev/sd",
                    b"/dev/sda",
                    b"[ab]",
                    b"*",
                    b".*",
                    b"filter = [",
                    b"global_filter = ",
                    b'"',
                ),
                *(b"DEVICE ", b"ARRAY ", b"\n", b" ", b"|", b"]", b"\\", b"#", b"x /dev/sdb2 none luks"),
                *(b'Section "Device"', b"\nEndSection\n", b'Driver "vmware"', b"BusID 1\n", b"alias eth0 x\n"),
                *(b"alias scsi_hostadapter y\n", b"UUID=", b"\xff", b"\r\n"),
            ]
        ),
    ),
    max_size=30,
).map(b"".join)


EDITORS: dict[str, Callable[[bytes], bytes]] = {
    "lvm.conf": lambda data: devices_in.lvm_filters(data, NAMES),
    "mdadm.conf": lambda data: devices_in.mdadm(data, NAMES),
    "crypttab": lambda data: devices_in.crypttab(data, NAMES, {"/dev/vdb2": "5-6"}),
    "xorg.conf": lambda data: display.xorg(data, "modesetting"),
    "modprobe.conf": lambda data: modprobe.aliases(data, block_driver="virtio_blk", net_driver="virtio_net"),
}


@pytest.mark.parametrize("name", EDITORS)
@given(data=PIECES)
def test_editing_twice_is_editing_once(name: str, data: bytes) -> None:
    once = EDITORS[name](data)
    assert EDITORS[name](once) == once


@pytest.mark.parametrize("name", EDITORS)
@given(data=PIECES)
def test_lines_without_anything_known_stay(name: str, data: bytes) -> None:
    known = (b"/dev/", b"alias", b"ection", b"ector")
    plain = b"\n".join(line for line in data.split(b"\n") if not any(word in line for word in known))
    assert EDITORS[name](plain) == plain


@given(st.binary(max_size=300))
def test_unknown_lines_stay(data: bytes) -> None:
    plain = data.replace(b"alias", b"").replace(b"vc0", b"").replace(b"ection", b"")
    assert modprobe.aliases(plain, block_driver="a", net_driver="b") == plain
    assert display.xorg(plain, "modesetting") == plain
    assert console.inittab(plain) == console.securetty(plain) == plain
