# SPDX-License-Identifier: GPL-2.0-or-later
"""The drivers that a Windows guest gets from virtio-win, and how the registry names them.

The expected keys of Windows 10 are those that a real one has for LSI_SAS, pvscsi and vmci of VMware; those of Windows 7
are those of LSI_SAS.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.capabilities import capabilities
from v2v_convert_guestfs.windows.drivers import DriversPlan, change, driver_database, examine
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import Type, Value, binary, dword, expand_sz, multi_sz, sz
from v2v_core.api import Bus, ConvertSettings
from virtio_win_tree import make_tree
from windows_guest import SimulatedGuest, windows_guest

SEVEN: dict[str, Any] = {"version": (6, 1), "build": 7601, "arch": "i386", "product_name": "Windows 7 Ultimate"}
XP: dict[str, Any] = {"version": (5, 1), "build": 2600, "arch": "i386", "product_name": "Microsoft Windows XP"}
SOFTWARE = {r"Microsoft\Windows\CurrentVersion": {"DevicePath": expand_sz(r"%SystemRoot%\inf")}}
_SCSI = "{4D36E97B-E325-11CE-BFC1-08002BE10318}"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("virtio-win"), systems=["xp", "w7", "w10"])


def _convert(guest: SimulatedGuest, tree: Path) -> DriversPlan:
    blockers = Blockers()
    plan = examine(guest, blockers, environment={"VIRTIO_WIN": str(tree)})
    assert blockers.reasons == []
    assert guest.registry.edits == []
    assert guest.files.written == {}
    change(guest, plan)
    return plan


def _values(guest: SimulatedGuest, key: str, hive: HiveName = HiveName.SYSTEM) -> dict[str, Value]:
    found: Any = guest.registry.after(hive)
    for part in key.split("\\"):
        found = {name.rstrip("\\").lower(): below for name, below in found.items() if isinstance(below, dict)}[
            part.lower()
        ]
    return {name: value for name, value in found.items() if isinstance(value, Value)}


def test_windows_10_gets_a_driver_as_if_windows_had_installed_it(tree: Path) -> None:
    files = tree / "viostor/w10/amd64"
    guest = windows_guest(
        files={"/Windows/INF/oem9.inf": b"", "/Windows/System32/drivers/disk.sys": b""},
        system={
            "DriverDatabase": {"OemInfMap": b"\xff\x80", r"DriverInfFiles\oem2.inf": {}},
            r"ControlSet001\Control": {},
        },
        software=SOFTWARE,
    )
    plan = _convert(guest, tree)
    driver = plan.boot_driver
    assert driver is not None
    assert (plan.block_bus, plan.net_model, plan.machine, plan.virtio_1_0) == (Bus.VIRTIO_BLK, "virtio", "q35", True)
    # oem0 to oem8 are in the map, oem9 is a file.
    digits = hashlib.sha256((files / "viostor.inf").read_bytes()).hexdigest()[:16]
    package = f"viostor.inf_amd64_{digits}"
    assert (driver.inf, driver.package, driver.service) == ("oem10.inf", package, "viostor")
    assert driver.sha256 == hashlib.sha256((files / "viostor.sys").read_bytes()).hexdigest()
    assert (driver.machine, driver.own) == (0x8664, False)
    told = [line for line in guest.session.findings.drivers if line.startswith("viostor.inf ")]
    assert len(told) == 1
    assert re.fullmatch(r"viostor\.inf \d+(\.\d+){3} from viostor/w10/amd64", told[0]), told

    assert _values(guest, r"ControlSet001\Services\viostor") == {
        "Type": dword(1),
        "Start": dword(0),
        "Group": sz("SCSI Miniport"),
        "ErrorControl": dword(1),
        "ImagePath": expand_sz(r"System32\drivers\viostor.sys"),
        "DisplayName": sz("@oem10.inf,%Service.Desc%;Test service of viostor"),
        "Owners": multi_sz("oem10.inf"),
    }
    assert _values(guest, r"ControlSet001\Services\viostor\Parameters") == {"BusType": dword(10)}
    assert _values(guest, r"ControlSet001\Services\viostor\Parameters\PnpInterface") == {"5": dword(1)}

    database = "DriverDatabase"
    assert _values(guest, rf"{database}\DriverInfFiles\oem10.inf") == {
        "": multi_sz(package),
        "Active": sz(package),
        "Configurations": multi_sz("Device_Inst"),
    }
    assert _values(guest, database) == {"OemInfMap": binary(b"\xff\xa0")}
    ids = {
        r"VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00",
        r"VEN_1AF4&DEV_1001",
        r"VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
        r"VEN_1AF4&DEV_1042",
        r"VEN_1AF4&DEV_1001&REV_00",
        r"VEN_1AF4&DEV_1042&REV_01",
    }
    assert {name.removeprefix("PCI\\") for name in driver.ids} == ids
    for name in ids:
        assert _values(guest, rf"{database}\DeviceIds\PCI\{name}") == {"oem10.inf": binary(b"\x01\xff\0\0")}
        assert _values(guest, rf"{database}\DriverPackages\{package}\Descriptors\PCI\{name}") == {
            "Configuration": sz("Device_Inst"),
            "Manufacturer": sz("%vendor%"),
            "Description": sz("%device.desc%"),
        }
    assert _values(guest, rf"{database}\DeviceIds\{_SCSI}") == {"oem10.inf": Value(Type.NONE, b"")}
    assert _values(guest, rf"{database}\DriverPackages\{package}\Configurations\Device_Inst") == {
        "Service": sz("viostor"),
        "ConfigFlags": dword(0),
        "ConfigScope": dword(7),
    }
    assert _values(guest, rf"{database}\DriverPackages\{package}\Strings") == {
        "vendor": sz("Tests of v2v, not Red Hat, Inc."),
        "device.desc": sz("Test driver of viostor"),
    }
    values = _values(guest, rf"{database}\DriverPackages\{package}")
    version = values.pop("Version").data
    assert version[:24].hex(" ") == "00 ff 09 00 00 00 00 00 7b e9 36 4d 25 e3 ce 11 bf c1 08 00 2b e1 03 18"
    when = datetime.datetime(1601, 1, 1) + datetime.timedelta(
        microseconds=int.from_bytes(version[24:32], "little") // 10
    )
    assert when == datetime.datetime(2024, 9, 14)
    assert version[32:].hex(" ", 2) == f"{26200 & 0xFF:02x}{26200 >> 8:02x} 6800 5f00 6400 0000 0000 0000 0000"
    assert values == {
        "": sz("oem10.inf"),
        "Provider": sz("Tests of v2v, not Red Hat, Inc."),
        "InfName": sz("viostor.inf"),
        "OemPath": sz(r"C:\Windows\Drivers\VirtIO"),
        "SignerScore": dword(0x0D000005),
        "StatusFlags": dword(0x112),
        "Catalog": sz("viostor.cat"),
        "SignerName": sz("Microsoft Windows Hardware Compatibility Publisher"),
    }

    written = guest.files.written
    assert written["/Windows/System32/drivers/viostor.sys"] == (files / "viostor.sys").read_bytes()
    assert written["/Windows/INF/oem10.inf"] == (files / "viostor.inf").read_bytes()
    store = f"/Windows/System32/DriverStore/FileRepository/{package}"
    assert {path.removeprefix(f"{store}/") for path in written if path.startswith(store)} == {
        "viostor.inf",
        "viostor.sys",
        "viostor.cat",
    }
    assert driver.catalogue == "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}/oem10.cat"
    assert written[driver.catalogue] == (files / "viostor.cat").read_bytes()


def test_the_date_in_a_version_is_that_of_the_real_pvscsi() -> None:
    """In a real Windows 10, the version of VMware's pvscsi has these bytes for the date."""
    ticks = int.from_bytes(bytes.fromhex("00c0b6192f3ad701"), "little")
    assert datetime.datetime(1601, 1, 1) + datetime.timedelta(microseconds=ticks // 10) == datetime.datetime(
        2021, 4, 26
    )
    assert driver_database.filetime("04/26/2021") == bytes.fromhex("00c0b6192f3ad701")


def test_windows_7_gets_critical_devices_in_every_control_set_that_can_start(tree: Path) -> None:
    guest = windows_guest(
        system={
            r"ControlSet001\Services\viostor": {"Start": 4, r"StartOverride": {"0": 3}},
            "ControlSet002": {},
            "ControlSet003": {"Untouched": 1},
        },
        software=SOFTWARE,
        current="ControlSet001",
        default="ControlSet002",
        **SEVEN,
    )
    plan = _convert(guest, tree)
    assert plan.boot_driver is not None
    for control_set in ("ControlSet001", "ControlSet002"):
        assert _values(guest, rf"{control_set}\Services\viostor") == {
            "Type": dword(1),
            "Start": dword(0),
            "Group": sz("SCSI Miniport"),
            "ErrorControl": dword(1),
            "ImagePath": expand_sz(r"System32\drivers\viostor.sys"),
            "DisplayName": sz("Test service of viostor"),
        }
        assert not guest.registry.has_key_after(HiveName.SYSTEM, rf"{control_set}\Services\viostor\StartOverride")
        for name in plan.boot_driver.ids:
            key = rf"{control_set}\Control\CriticalDeviceDatabase\{name.replace(chr(92), '#')}"
            assert _values(guest, key) == {"Service": sz("viostor"), "ClassGUID": sz(_SCSI)}
        assert _values(guest, rf"{control_set}\Control\CrashControl") == {"AutoReboot": dword(0)}
    assert guest.registry.after()["ControlSet003"] == {"Untouched": dword(1)}
    assert "DriverDatabase" not in guest.registry.after()
    assert (plan.boot_driver.inf, plan.boot_driver.machine) == (None, 0x14C)
    assert r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00" in plan.boot_driver.ids
    assert str(plan.boot_driver.catalogue).endswith("{F750E6C3-38EE-11D1-85E5-00C04FC295EE}/viostor.cat")


def test_all_drivers_wait_in_one_directory_in_lower_case_and_windows_looks_there(tree: Path) -> None:
    guest = windows_guest(software=SOFTWARE, directories=["/Windows/drivers"])
    plan = _convert(guest, tree)
    start = "/Windows/drivers/VirtIO/"
    names = {path.removeprefix(start) for path in guest.files.written if path.startswith(start)}
    assert {"netkvm.inf", "netkvm.sys", "netkvm.cat", "viofs.sys", "blnsvr.exe", "viorng.inf", "fwcfg.inf"} <= names
    assert names == {name.lower() for name in names}
    assert not any(name.startswith(("qemufwcfg", "vioprot")) or name.endswith(".pdb") for name in names)
    assert _values(guest, r"Microsoft\Windows\CurrentVersion", HiveName.SOFTWARE) == {
        "DevicePath": expand_sz(r"%SystemRoot%\inf;%SystemRoot%\Drivers\VirtIO")
    }
    assert plan.agent_msi == ("qemu-ga-x86_64.msi", b"a stand-in for an installer\n")
    assert plan.balloon_service is not None
    assert plan.balloon_service[0] == "blnsvr.exe"
    assert plan.size == sum(map(len, guest.files.written.values()))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (sz("C:\\x;"), sz(r"C:\x;%SystemRoot%\Drivers\VirtIO")),
        (expand_sz(r"%systemroot%\drivers\virtio;C:\x"), expand_sz(r"%systemroot%\drivers\virtio;C:\x")),
        (None, expand_sz(r"%SystemRoot%\inf;%SystemRoot%\Drivers\VirtIO")),
        (dword(7), dword(7)),
    ],
)
def test_the_path_of_devices_keeps_its_type_and_is_extended_once(
    tree: Path, before: Value | None, after: Value
) -> None:
    values = {} if before is None else {"DevicePath": before}
    guest = windows_guest(software={r"Microsoft\Windows\CurrentVersion": values})
    _convert(guest, tree)
    assert _values(guest, r"Microsoft\Windows\CurrentVersion", HiveName.SOFTWARE)["DevicePath"] == after
    assert bool(guest.report.warnings) is (before == dword(7))


def test_a_software_hive_without_the_key_is_a_warning(tree: Path) -> None:
    guest = windows_guest(software={})
    _convert(guest, tree)
    (warning,) = guest.report.warnings
    assert r"no key Microsoft\Windows\CurrentVersion" in warning


def test_converting_twice_changes_nothing_more(tree: Path) -> None:
    guest = windows_guest(software=SOFTWARE, system={"DriverDatabase": {}})
    first = _convert(guest, tree)
    again = windows_guest(
        files=guest.files.contents,
        system=guest.registry.after(),
        software=guest.registry.after(HiveName.SOFTWARE),
    )
    assert _convert(again, tree).boot_driver == first.boot_driver
    assert again.registry.after() == guest.registry.after()
    assert again.files.contents == guest.files.contents


def test_an_owner_that_the_driver_has_stays(tree: Path) -> None:
    guest = windows_guest(
        software=SOFTWARE,
        system={"DriverDatabase": {}, r"ControlSet001\Services\VIOSTOR": {"Owners": ["oem7.inf"], "Start": 3}},
        files={"/Windows/INF/oem0.inf": b""},
    )
    _convert(guest, tree)
    values = _values(guest, r"ControlSet001\Services\viostor")
    assert (values["Owners"], values["Start"]) == (multi_sz("oem7.inf", "oem1.inf"), dword(0))


def test_the_user_may_want_virtio_scsi(tree: Path) -> None:
    guest = windows_guest(software=SOFTWARE, settings=ConvertSettings(block_driver="virtio-scsi"))
    plan = _convert(guest, tree)
    assert plan.boot_driver is not None
    assert (plan.block_bus, plan.boot_driver.service) == (Bus.VIRTIO_SCSI, "vioscsi")
    assert r"PCI\VEN_1AF4&DEV_1048&SUBSYS_11001AF4&REV_01" in plan.boot_driver.ids
    assert "/Windows/System32/drivers/vioscsi.sys" in guest.files.written


def test_xp_has_no_driver_of_virtio_scsi_and_an_old_machine(tree: Path) -> None:
    guest = windows_guest(
        software=SOFTWARE, settings=ConvertSettings(block_driver="virtio-scsi"), systemroot="/WINDOWS", **XP
    )
    plan = _convert(guest, tree)
    assert (plan.block_bus, plan.machine, plan.net_model) == (Bus.VIRTIO_BLK, "i440fx", "virtio")
    assert (plan.virtio_rng, plan.virtio_balloon, plan.isa_pvpanic) == (False, True, False)
    (warning,) = guest.report.warnings
    assert warning.startswith(
        "There is no driver of virtio-scsi for this Windows, so the guest gets disks on virtio-blk"
    )
    assert "/WINDOWS/System32/drivers/viostor.sys" in guest.files.written


def test_drivers_that_know_only_the_old_virtio_get_an_old_machine(tmp_path: Path, tree: Path) -> None:
    make_tree(tmp_path, drivers=["viostor", "NetKVM"], systems=["w7"], signer=None)
    for path in (tmp_path / "viostor/w7/x86/viostor.inf", tmp_path / "i386/w7/viostor.inf"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if b"DEV_1042" not in line))
    guest = windows_guest(software=SOFTWARE, **SEVEN)
    plan = _convert(guest, tmp_path)
    assert (plan.block_bus, plan.machine, plan.virtio_1_0) == (Bus.VIRTIO_BLK, "i440fx", False)
    assert plan.boot_driver is not None
    assert not any("1042" in name for name in plan.boot_driver.ids)


@pytest.mark.parametrize(
    ("facts", "flags"),
    [({}, (True, True, True, True)), (SEVEN, (True, True, False, True)), (XP, (False, True, False, False))],
)
def test_the_devices_of_the_target_are_those_with_drivers(
    tree: Path, facts: dict[str, Any], flags: tuple[bool, ...]
) -> None:
    guest = windows_guest(software=SOFTWARE, **facts)
    found = capabilities(guest, _convert(guest, tree), rtc_utc=False)
    assert (found.virtio_rng, found.virtio_balloon, found.virtio_socket, found.isa_pvpanic) == flags
    assert (found.arch, found.rtc_utc) == (guest.system.arch, False)
    assert found.machine == ("i440fx" if facts is XP else "q35")


def test_the_first_boot_installs_the_drivers_and_never_asks_to_be_run_again_for_a_failure(tree: Path) -> None:
    for facts, words in (({}, '/add-driver "%~1" /install'), (SEVEN, '-i -a "%~1"')):
        guest = windows_guest(software=SOFTWARE, **facts)
        plan = _convert(guest, tree)
        (script,) = guest.first_boot.scripts
        assert (script.order, script.name) == (2000, "drivers")
        assert f'"%pnputil%" {words}' in script.body
        assert [line.split()[-1] for line in script.body.splitlines() if line.startswith("call :install")] == list(
            plan.infs
        )
        assert {"netkvm.inf", "viostor.inf"} <= set(plan.infs)
        assert script.body.count("exit 249") == 1
        assert "exit /b" not in script.body


@pytest.mark.parametrize(
    ("database", "inf", "marked"),
    [
        ({}, "oem0.inf", None),
        ({"OemInfMap": "text"}, "oem0.inf", sz("text")),
        ({"OemInfMap": b""}, "oem0.inf", binary(b"\x80")),
        ({"OemInfMap": b"\xff" * 1000}, "oem8000.inf", binary(b"\xff" * 1000 + b"\x80")),
        ({"DriverInfFiles": {f"OEM{number}.INF": {} for number in range(50)}}, "oem50.inf", None),
        ({"DriverInfFiles": {"oem0.inf": {"": 5, "Active": b"x"}}, "DriverPackages": 7}, "oem1.inf", None),
    ],
)
def test_the_name_of_the_inf_is_free_whatever_the_database_holds(
    tree: Path, database: dict[str, Any], inf: str, marked: Value | None
) -> None:
    guest = windows_guest(software=SOFTWARE, system={"DriverDatabase": database})
    driver = _convert(guest, tree).boot_driver
    assert driver is not None
    assert driver.inf == inf
    assert guest.registry.value_after(HiveName.SYSTEM, "DriverDatabase", "OemInfMap") == marked


@pytest.mark.parametrize("service", [{"Start": "x", "Owners": 7, "ImagePath": b"y", "Group": []}, {"StartOverride": 3}])
def test_a_service_of_wrong_types_is_put_right(tree: Path, service: dict[str, Any]) -> None:
    guest = windows_guest(software=SOFTWARE, system={r"ControlSet001\Services\viostor": service, "DriverDatabase": {}})
    _convert(guest, tree)
    values = _values(guest, r"ControlSet001\Services\viostor")
    assert (values["Start"], values["Owners"], values["Type"]) == (dword(0), multi_sz("oem0.inf"), dword(1))
    assert values["ImagePath"] == expand_sz(r"System32\drivers\viostor.sys")
