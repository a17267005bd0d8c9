# SPDX-License-Identifier: GPL-2.0-or-later
"""What Windows a guest is, by its registry: releases, control sets, and registries that say something strange."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import releases
from v2v_convert_guestfs.windows.look import look_at
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import binary, dword, sz
from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from v2v_core.api import ConversionError
from windows_guest import SimulatedGuest, windows_guest

VERSION = r"Microsoft\Windows NT\CurrentVersion"
TEN = {"CurrentVersion": "6.3", "CurrentMajorVersionNumber": 10, "CurrentMinorVersionNumber": 0}
PATHS = {name: f"/Windows/System32/config/{name}" for name in HiveName}


def looked(
    select: Any = None, *, sets: tuple[int, ...] = (1,), kind: Any = "WinNT", version: Any = None, **software: Any
) -> tuple[SimulatedGuest, WindowsSystem, Blockers]:
    options = {rf"ControlSet{number:03}\Control\ProductOptions": {"ProductType": kind} for number in sets}
    system = {"Select": {"Current": 1, "Default": 1} if select is None else select, **options}
    guest = windows_guest(system=system, software={VERSION: version or {}, **software})
    blockers = Blockers()
    seen = look_at(guest.session, guest.files, guest.registry, blockers, systemroot="/Windows", paths=PATHS)
    return guest, seen.system, blockers


@pytest.mark.parametrize(
    ("version", "kind", "found", "osinfo", "name"),
    [
        ({"CurrentVersion": "5.1", "CurrentBuild": "1.511.1 () (Obsolete data - do not use)",
          "CurrentBuildNumber": "2600", "ProductName": "Microsoft Windows XP"},
         "WinNT", (5, 1, 2600), "winxp", "Microsoft Windows XP"),
        ({"CurrentVersion": "5.2", "CurrentBuildNumber": "3790", "ProductName": "Windows Server 2003 R2"},
         "ServerNT", (5, 2, 3790), "win2k3r2", "Windows Server 2003 R2"),
        ({"CurrentVersion": "6.1", "CurrentBuildNumber": "7601", "ProductName": "Windows 7 Ultimate"},
         "WinNT", (6, 1, 7601), "win7", "Windows 7 Ultimate"),
        ({"CurrentVersion": "6.3", "CurrentBuildNumber": "9600", "ProductName": "Windows Server 2012 R2 Standard"},
         "LANMANNT", (6, 3, 9600), "win2k12r2", "Windows Server 2012 R2 Standard"),
        ({**TEN, "CurrentBuildNumber": "19045", "ProductName": "Windows 10 Pro"},
         "WinNT", (10, 0, 19045), "win10", "Windows 10 Pro"),
        ({**TEN, "CurrentBuildNumber": "22631", "ProductName": "Windows 10 Pro"},
         "WinNT", (10, 0, 22631), "win11", "Windows 11 Pro"),
        ({**TEN, "CurrentBuildNumber": "20348", "ProductName": "Windows Server 2022 Standard"},
         "ServerNT", (10, 0, 20348), "win2k22", "Windows Server 2022 Standard"),
        ({**TEN, "CurrentBuildNumber": "26100", "ProductName": "Windows Server 2025 Datacenter"},
         "ServerNT", (10, 0, 26100), "win2k25", "Windows Server 2025 Datacenter"),
    ],
)  # fmt: skip
def test_releases(version: dict[str, Any], kind: str, found: tuple[int, ...], osinfo: str, name: str) -> None:
    guest, system, _ = looked(version=version, kind=kind)
    assert (*system.version, system.build) == found
    assert (system.osinfo, system.product_name) == (osinfo, name)
    inspection = guest.session.inspection
    assert (inspection.osinfo, inspection.product_name, inspection.major_version) == (osinfo, name, found[0])
    assert inspection.windows is not None
    assert inspection.windows.build == found[2]
    assert inspection.windows.product == system.product.value
    assert inspection.windows.drive_letters == (("C", "/dev/sda2"),)
    assert guest.report.warnings == []


@pytest.mark.parametrize(
    ("build", "osinfo"),
    [(14393, "win2k16"), (17134, "win2k16"), (17763, "win2k19"), (19042, "win2k19"), (25398, "win2k22")],
)
def test_servers_between_the_releases(build: int, osinfo: str) -> None:
    assert releases.osinfo("Windows Server", (10, 0), build, Product.SERVER) == osinfo


@pytest.mark.parametrize(
    ("select", "sets", "current", "default", "warnings"),
    [
        ({"Current": 1, "Default": 2}, (1, 2), "ControlSet001", "ControlSet002", 0),
        ({"Current": 1, "Default": 7}, (1, 2), "ControlSet001", "ControlSet001", 1),
        ({"Current": sz("1"), "Default": 2}, (1, 2), "ControlSet002", "ControlSet002", 1),
        ({"Current": 0, "Default": 100_000}, (1,), "ControlSet001", "ControlSet001", 1),
        ({}, (1,), "ControlSet001", "ControlSet001", 1),
    ],
)
def test_control_sets(select: Any, sets: tuple[int, ...], current: str, default: str, warnings: int) -> None:
    guest, system, blockers = looked(select, sets=sets, version={**TEN, "CurrentBuildNumber": "19045"})
    assert (system.current, system.default) == (current, default)
    assert len(guest.report.warnings) == warnings
    assert blockers.reasons == []


def test_no_control_set_is_a_blocker() -> None:
    with pytest.raises(ConversionError, match="names no control set that exists") as caught:
        looked({"Default": binary(b"\1")}, sets=(1, 2))
    assert "backup" in str(caught.value.hint)


def test_values_of_wrong_types_are_passed_over() -> None:
    version = {
        "CurrentMajorVersionNumber": sz("ten"),
        "CurrentMinorVersionNumber": 0,
        "CurrentVersion": binary(b"\xff\xff\xff"),
        "CurrentBuildNumber": sz("99999999"),
        "ProductName": dword(1),
    }
    guest, system, _ = looked(version=version, kind=7)
    assert (system.version, system.build, system.product) == ((10, 0), 0, Product.CLIENT)
    assert system.product_name == "Windows 10 Pro"
    assert [text.partition(": ")[0] for text in guest.report.warnings] == [
        "the guest's registry does not say which build of Windows it is",
        r"SYSTEM\ControlSet001\Control\ProductOptions of the guest's registry has no ProductType that is known",
    ]


def test_policies_and_guards() -> None:
    uninstall = r"WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\{1}"
    policies = r"Microsoft\Windows\CurrentVersion\Group Policy\History\{35378EAC-683F-11D2-A89A-00C04FBBCFA2}"
    version = {**TEN, "CurrentBuildNumber": "19045"}
    guest, _, _ = looked(version=version, **{uninstall: {"DisplayName": "McAfee VirusScan"}, policies: {"0": 1}})
    found = guest.session.inspection.windows
    assert found is not None
    assert (found.antivirus, found.group_policy) == (True, True)
    guest, _, _ = looked(version=version, **{uninstall: {"DisplayName": "Notepad"}})
    found = guest.session.inspection.windows
    assert found is not None
    assert (found.antivirus, found.group_policy) == (False, False)
