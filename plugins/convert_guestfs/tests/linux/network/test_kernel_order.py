# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of NICs with which the kernel gives them the names that they had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.network.kernel_order import order_of_nics

A, B, C = "00:50:56:aa:00:01", "00:50:56:aa:00:02", "00:50:56:aa:00:03"


@pytest.mark.parametrize(
    ("names", "source", "order"),
    [
        # systemd/systemd#2657, #29957: eth0 and eth1 cannot be exchanged by udev.
        ({A: "eth1", B: "eth0"}, [A, B], (1, 0)),
        ({A: "eth0", B: "eth1"}, [A, B], ()),
        # systemd/systemd#29073 with three.
        ({A: "eth2", B: "eth0", C: "eth1"}, [A, B, C], (1, 2, 0)),
        ({B: "eth0"}, [A, B], (1, 0)),
        ({A: "eth1", B: "lan"}, [A, B], (1, 0)),
        ({A: "eth1"}, [A, None], (1, 0)),
        # The name is that of no other NIC.
        ({A: "eth7"}, [A, B], ()),
        ({A: "ens192", B: "ens160"}, [A, B], ()),
        ({A: "eth00", B: "eth"}, [A, B], ()),
        # What cannot be.
        ({A: "eth0", B: "eth0"}, [A, B], ()),
        ({A: "eth1"}, [A, A], ()),
        ({}, [], ()),
    ],
)
def test_order(names: dict[str, str], source: list[str | None], order: tuple[int, ...]) -> None:
    assert order_of_nics(names, source) == order


@given(
    st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from(["eth0", "eth1", "eth2", "eth3", "lan"])),
    st.lists(st.sampled_from([None, A, B, C]), max_size=5),
)
def test_every_nic_has_a_place_and_the_kernel_gives_the_names(names: dict[str, str], source: list[str | None]) -> None:
    order = order_of_nics(names, source)
    assert order == () or sorted(order) == list(range(len(source)))
    for place, position in enumerate(order):
        name = names.get(source[position] or "", "")
        assert name == f"eth{place}" or not name.startswith("eth") or int(name[3:]) >= len(source)
