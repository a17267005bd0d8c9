# SPDX-License-Identifier: GPL-2.0-or-later
"""A name is near if it is a misspelling of another one, and not merely alike."""

from __future__ import annotations

import pytest

from v2v_core.near_names import nearest

OPTIONS = ("truncate", "network", "output-storage", "quiet", "verbose", "no-fstrim", "root", "mac", "map", "nic")


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("loacl", ("local", "libvirt", "null"), ("local",)),
        ("netwrok", OPTIONS, ("network",)),
        ("quite", OPTIONS, ("quiet",)),
        ("ouput-storage", OPTIONS, ("output-storage",)),
        ("output_storage", OPTIONS, ("output-storage",)),
        ("Verbose", OPTIONS, ("verbose",)),
        ("no-fstrm", OPTIONS, ("no-fstrim",)),
        ("nics", OPTIONS, ("nic",)),
        ("mao", OPTIONS, ("mac", "map")),
        ("ma", ("mac", "map"), ()),
        ("frobnicate", OPTIONS, ()),
        ("x", ("y", "z"), ()),
        ("", OPTIONS, ()),
        ("x" * 100_000, ("x" * 99_999,), ()),
        ("vmware", ("vmx", "vcenter"), ()),
        ("rotate", OPTIONS, ()),
        ("VLAN 10", ("VLAN 11", "VLAN 100", "vlan10"), ("vlan10",)),
    ],
)
def test_a_near_name_is_a_misspelling(word: str, known: tuple[str, ...], near: tuple[str, ...]) -> None:
    assert nearest(word, known, most=3) == near


def test_the_nearest_comes_first_and_a_name_once() -> None:
    assert nearest("rhv-uplod", ["rhv_upload", "rhv-upload", "rhv-upload"], most=3) == ("rhv_upload", "rhv-upload")
    assert nearest("bandwith", ["bandwidht", "bandwidth"]) == ("bandwidth",)
