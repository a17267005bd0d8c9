# SPDX-License-Identifier: GPL-2.0-or-later
"""libguestfs's names of subvolumes, where the appliance's kernel has the disks in another order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from v2v_convert_guestfs.filesystems.subvolume_names import translated
from v2v_convert_guestfs.session import Session

Make = Callable[..., Session]
#: Seen in an appliance with six disks: the fifth was the kernel's sdg, the sixth its sde, and sdf the appliance itself.
ORDER = "".join(
    f"/sys/block/sd{letter}/device/scsi_device/2:0:{target}:0\n"
    for letter, target in zip("abcdgef", range(7), strict=True)
)


def test_the_disks_inside_the_names_are_translated(disks: type[Any], looked_at: Make) -> None:
    handle = disks({f"/dev/sd{letter}": "btrfs" for letter in "abcde"} | {"/dev/sdf1": "btrfs", "/dev/sdf": ""})
    handle.shell["ls -d /sys/block"] = ORDER
    names = [
        "btrfsvol:/dev/sda/@",
        "btrfsvol:/dev/sdg/@ b/c",
        "btrfsvol:/dev/sde1/@",
        "/dev/sde",
        "btrfsvol:/dev/vg/r/@",
    ]
    assert list(translated(looked_at(handle), names).values()) == [
        "btrfsvol:/dev/sda/@",
        "btrfsvol:/dev/sde/@ b/c",
        "btrfsvol:/dev/sdf1/@",
        "/dev/sde",
        "btrfsvol:/dev/vg/r/@",
    ]


def test_a_libguestfs_that_translates_them_itself_is_left_alone(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda": "ext4", "/dev/sdb": "btrfs"})
    handle.shell["ls -d /sys/block"] = ORDER.replace("sda/", "sdx/").replace("sdb/", "sda/").replace("sdx/", "sdb/")
    name = "btrfsvol:/dev/sdb/@"
    assert translated(looked_at(handle), [name]) == {name: name}


def test_without_subvolumes_nothing_is_asked(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda": "ext4", "/dev/sdb": "btrfs"})
    assert translated(looked_at(handle), ["/dev/sdb"]) == {"/dev/sdb": "/dev/sdb"}
    single = disks({"/dev/sda": "btrfs"})
    assert translated(looked_at(single), ["btrfsvol:/dev/sda/@"]) == {"btrfsvol:/dev/sda/@": "btrfsvol:/dev/sda/@"}
    assert not handle.commands
    assert not single.commands
