# SPDX-License-Identifier: GPL-2.0-or-later
"""Editions, CompactOS, clusters and domain controllers; and that everything is told at once."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntfs_images import MIB, gpt, mbr
from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks.roles import identities_of, in_use
from v2v_convert_guestfs.windows.system import Product
from v2v_core.api import ConversionError

NT = r"Microsoft\Windows NT\CurrentVersion"
PAGE = struct.Struct("<II44xI")
UPDATE = {r"Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootInProgress": {}}
RESTRICTIONS = {r"Policies\Microsoft\Windows\DeviceInstall\Restrictions": {"DenyUnspecified": 1}}
Examine = Callable[..., Any]


def database(state: int) -> bytes:
    """Return the header of a database of Active Directory in this state."""
    return PAGE.pack(0x12345678, 0x89ABCDEF, state).ljust(8192, b"\0")


def test_an_ordinary_guest(examine: Examine) -> None:
    told = examine(
        control={r"Control\Session Manager\Power": {"HiberbootEnabled": 1}}, software={NT: {"EditionID": "Pro"}}
    )
    assert told.nothing
    assert told.infos == []


def test_an_empty_registry_says_nothing(examine: Examine) -> None:
    for product in Product:
        told = examine(product=product)
        assert told.blockers == []
        assert len(told.warnings) == (product is Product.DOMAIN_CONTROLLER)


@pytest.mark.parametrize(
    ("version", "name", "too_old"),
    [
        ((4, 0), "Windows NT", True),
        ((5, 0), "Microsoft Windows 2000", True),
        ((5, 1), "Microsoft Windows XP", False),
        ((6, 0), "Windows Vista", False),
    ],
)
def test_a_windows_that_is_too_old(version: tuple[int, int], name: str, too_old: bool, examine: Examine) -> None:
    told = examine(version=version, build=2195, product_name=name, arch="i386")
    if not too_old:
        assert told.nothing
        return
    reason, remedy = told.blocker()
    assert reason.startswith(f"{name} (version {version[0]}.{version[1]}) is too old")
    assert remedy


@pytest.mark.parametrize("arch", ["aarch64", "ia64", "unknown"])
def test_another_processor(arch: str, examine: Examine) -> None:
    reason, _ = examine(arch=arch).blocker()
    assert reason == f"this Windows is for the processor {arch}: only Windows for i386 and x86_64 can be converted"


@pytest.mark.parametrize(
    ("software", "control"),
    [
        ({NT: {"EditionID": "WindowsPE"}}, {}),
        ({rf"{NT}\WinPE": {"Version": "10"}}, {}),
        ({NT: {"SystemRoot": r"X:\Windows"}}, {r"Control\MiniNT": {}}),
    ],
)
def test_windows_pe(software: dict[str, Any], control: dict[str, Any], examine: Examine) -> None:
    """An installation medium is setting something up all the time: that is no blocker of its own."""
    reason, remedy = examine(software=software, control=control).blocker()
    assert "has Windows PE" in reason
    assert "--root" in remedy


def test_an_installed_windows_with_a_key_of_windows_pe(examine: Examine) -> None:
    assert examine(software={NT: {"SystemRoot": r"C:\Windows"}}, control={r"Control\MiniNT": {}}).nothing


def test_compact_os(examine: Examine) -> None:
    """See OpenNebula/one-swap#118: ntfs-3g shows a compressed file as a link to nowhere."""
    links = {
        "/Windows/System32/drivers/disk.sys": "unsupported reparse tag 0x80000017",
        "/Windows/System32/ntoskrnl.exe": "unsupported reparse point",
        "/Windows/System32/cmd.exe": "/Windows/System32/other.exe",
    }
    handle = {"is_symlink": lambda path: path in links, "readlink": lambda path: links[path]}
    reason, remedy = examine(files=dict.fromkeys(links, b""), handle=handle).blocker()
    assert reason.endswith("(CompactOS): /Windows/System32/ntoskrnl.exe, /Windows/System32/drivers/disk.sys")
    assert "compact /compactos:never" in remedy


CLUSTERED = {
    r"Services\ClusSvc": {"Start": 2},
    r"Services\ClusDisk\Parameters\Signatures": {"12345678": {"DiskName": "Q:"}, "{AB}": {}},
}


def test_the_disks_of_a_cluster(examine: Examine) -> None:
    disks = {"/dev/sda": mbr(7, bytes(MIB), signature=0xBEEF), "/dev/sdb": mbr(7, bytes(MIB), signature=0x12345678)}
    handle = {
        "list_devices": lambda: list(disks),
        "pread_device": lambda device, count, offset: disks[device][offset : offset + count],
    }
    told = examine(control=CLUSTERED, handle=handle)
    reason, remedy = told.blocker()
    assert "among those to convert: /dev/sdb. " in reason
    assert "Remove-ClusterNode" in remedy
    assert told.warnings == []
    del disks["/dev/sdb"]
    assert examine(control=CLUSTERED, handle=handle).warning().startswith("the guest is a node of a failover cluster")


@pytest.mark.parametrize(
    ("start", "files", "expected"),
    [(4, {}, 0), (3, {}, 0), (3, {"/Windows/Cluster/CLUSDB": b"regf"}, 1), (2, {}, 1)],
)
def test_the_feature_alone_makes_no_node(start: int, files: dict[str, bytes], expected: int, examine: Examine) -> None:
    told = examine(control={r"Services\ClusSvc": {"Start": start}}, files=files)
    assert (told.blockers, len(told.warnings)) == ([], expected)


def test_identities_of_disks() -> None:
    assert identities_of(mbr(7, b"", signature=0xBEEF)) == {"0000BEEF"}
    assert identities_of(mbr(7, b"", signature=0)) == set()
    (identity,) = identities_of(gpt([bytes(MIB)]))
    assert len(identity) == 36
    assert identities_of(bytes(8192)) == set()


@pytest.mark.parametrize(("state", "blocked"), [(1, False), (2, True), (3, False)])
def test_a_domain_controller(state: int, blocked: bool, examine: Examine) -> None:
    told = examine(
        product=Product.DOMAIN_CONTROLLER,
        control={r"Services\NTDS\Parameters": {"DSA Database file": r"C:\Windows\NTDS\ntds.dit"}},
        software={NT: {"SystemRoot": r"C:\Windows"}},
        files={"/Windows/NTDS/ntds.dit": database(state)},
    )
    if blocked:
        reason, remedy = told.blocker()
        assert reason.startswith("the guest is a domain controller that was not shut down: its database /Windows/NTDS")
        assert "shut it down" in remedy
    else:
        assert "USN rollback" in told.warning()


@pytest.mark.parametrize(
    ("stated", "files"),
    [
        (r"D:\NTDS\ntds.dit", {"/NTDS/ntds.dit": database(2)}),
        (r"C:\Windows\NTDS\ntds.dit", {}),
        (r"C:\Windows\NTDS\ntds.dit", {"/Windows/NTDS/ntds.dit": b"short"}),
        (r"..\..\ntds.dit", {}),
        (7, {}),
    ],
)
def test_a_database_that_is_not_seen(stated: Any, files: dict[str, bytes], examine: Examine) -> None:
    told = examine(
        product=Product.DOMAIN_CONTROLLER,
        control={r"Services\NTDS\Parameters": {"DSA Database file": stated}},
        software={NT: {"SystemRoot": r"C:\Windows"}},
        files=files,
    )
    assert "USN rollback" in told.warning()


@given(st.binary(max_size=80))
def test_any_header_is_understood(header: bytes) -> None:
    assert in_use(header) in {True, False}


def test_everything_is_told_at_once(examine: Examine) -> None:
    told = examine(
        arch="aarch64",
        software={**UPDATE, **RESTRICTIONS, NT: {"SystemRoot": r"C:\Windows"}},
        system={"Setup": {"SystemSetupInProgress": 1}},
        control={r"Services\NTDS\Parameters": {"DSA Database file": r"C:\Windows\NTDS\ntds.dit"}},
        files={"/Windows/NTDS/ntds.dit": database(2)},
        product=Product.DOMAIN_CONTROLLER,
    )
    blockers = Blockers(told.blockers)
    with pytest.raises(ConversionError) as caught:
        blockers.stop()
    for said in (
        "for the processor aarch64",
        "has not finished its setup",
        "half installed",
        "forbids it to install virtio",
        "domain controller that was not shut down",
    ):
        assert said in caught.value.message
    assert len(caught.value.obstacles) == 5
    assert all(obstacle.remedy for obstacle in caught.value.obstacles)


def test_the_other_control_set_counts_as_well(examine: Examine) -> None:
    """After a failed start, the set that ran last is not the one that starts next."""
    other = {"ControlSet002": {r"Control\DeviceGuard": {"Mandatory": 1}}}
    told = examine(system=other, control={"Control": {}}, current="ControlSet002")
    assert "mandatory" in told.warning()
