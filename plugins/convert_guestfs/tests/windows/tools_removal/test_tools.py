# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools of other hypervisors in a Windows guest: what is found, disabled, taken out of filters, uninstalled."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import tools_removal
from v2v_convert_guestfs.windows.firstboot.plan import TOOLS
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import Value, binary, dword, expand_sz, multi_sz, sz
from v2v_core.api import Verdict
from windows_guest import SimulatedGuest, windows_guest

UNINSTALL = r"Microsoft\Windows\CurrentVersion\Uninstall"
CODE = "{FE2F6A2C-196E-4210-9C04-2B1BC21F07EF}"
#: As the real Windows 7 guest has it.
VMWARE = {
    "DisplayName": "VMware Tools",
    "Publisher": "VMware, Inc.",
    "UninstallString": f"MsiExec.exe /X{CODE}",
    "WindowsInstaller": 1,
}
DISK_CLASS = r"Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}"
MOUSE_CLASS = r"Control\Class\{4D36E96F-E325-11CE-BFC1-08002BE10318}"
DRIVERS = "/Windows/System32/drivers"


def service(start: int = 3, image: str | None = None) -> dict[str, Any]:
    return {"Start": start, **({"ImagePath": image} if image else {})}


def converted(guest: SimulatedGuest) -> SimulatedGuest:
    tools_removal.change(guest, tools_removal.examine(guest, Blockers()))
    return guest


def start_of(guest: SimulatedGuest, name: str, control_set: str = "ControlSet001") -> int | None:
    value = guest.registry.value_after(HiveName.SYSTEM, rf"{control_set}\Services\{name}", "Start")
    return value.number if value is not None else None


def with_services(control_set: dict[str, Any], **facts: Any) -> SimulatedGuest:
    facts.setdefault("files", {f"{DRIVERS}/partmgr.sys": b"", f"{DRIVERS}/mouclass.sys": b""})
    return windows_guest(system={"ControlSet001": control_set}, **facts)


@pytest.mark.parametrize("view", ["", "WOW6432Node\\"])
def test_vmware_tools_are_uninstalled_by_product_code(view: str) -> None:
    guest = converted(windows_guest(software={f"{view}{UNINSTALL}": {CODE: VMWARE, "{x}": {"DisplayName": "Adobe"}}}))
    (script,) = guest.first_boot.scripts
    assert (script.order, script.name) == (TOOLS, "remove-vmware-tools")
    lines = script.body.split("\n")
    assert (
        f'msiexec /x{CODE} /qn /norestart /l*v "%V2V%\\remove-vmware-tools-1.log" REBOOT=ReallySuppress REMOVE=ALL'
    ) in lines
    assert "exit /b" not in script.body
    assert "\r" not in script.body
    assert guest.session.findings.tools == ("VMware Tools",)


def test_the_same_msi_in_both_views_is_uninstalled_once() -> None:
    views = {UNINSTALL: {CODE: VMWARE}, f"WOW6432Node\\{UNINSTALL}": {CODE.lower(): VMWARE}}
    guest = converted(windows_guest(software=views))
    assert guest.first_boot.scripts[0].body.count("msiexec /x") == 1


@pytest.mark.parametrize(
    ("name", "publisher"),
    [("VMware Tools Monitor", "Initech"), ("VMware vSphere Client", "VMware, Inc."), ("Xenon", "Citrix"), (b"\0", "")],
)
def test_other_programs_stay(name: Any, publisher: str) -> None:
    program = {**VMWARE, "DisplayName": name, "Publisher": publisher}
    assert converted(windows_guest(software={UNINSTALL: {CODE: program}})).first_boot.scripts == []


@pytest.mark.parametrize(
    ("key", "program", "command"),
    [
        (
            "Oracle VM VirtualBox Guest Additions",
            {
                "DisplayName": "Oracle VM VirtualBox Guest Additions 6.1.0",
                "Publisher": "Oracle Corporation",
                "UninstallString": r"C:\Program Files\Oracle & Co\VirtualBox Guest Additions\uninst.exe",
            },
            r'"C:\Program Files\Oracle & Co\VirtualBox Guest Additions\uninst.exe" /S',
        ),
        (
            "Red Hat Paravirtualized Xen Drivers for Windows(R)",
            {"UninstallString": r'"C:\Program Files\RedHat\Xen 100%\uninst.exe"'},
            r'"C:\Program Files\RedHat\Xen 100%%\_uninst.exe"',
        ),
        (
            "Parallels Tools",
            {"DisplayName": "Parallels Tools", "UninstallString": expand_sz(r'"%ProgramFiles%\P\u.exe" /quiet /x=1')},
            r'"%ProgramFiles%\P\u.exe" /quiet /x=1',
        ),
        (
            CODE,
            {"DisplayName": "Virtuozzo Tools", "UninstallString": f"MsiExec.exe /I{CODE}"},
            f'msiexec /x{CODE} /qn /norestart /l*v "%V2V%\\remove-parallels-tools-1.log" REBOOT=ReallySuppress '
            "REMOVE=ALL PREVENT_REBOOT=Yes LAUNCHED_BY_SETUP_EXE=Yes",
        ),
        (
            "XenTools",
            {
                "DisplayName": "Citrix XenServer Tools",
                "UninstallString": r"C:\x.exe",
                "QuietUninstallString": r"C:\q.exe -q",
            },
            r'"C:\q.exe" -q',
        ),
    ],
)
def test_uninstallers(key: str, program: dict[str, Any], command: str) -> None:
    guest = converted(windows_guest(software={UNINSTALL: {key: program}}))
    (script,) = guest.first_boot.scripts
    assert command in script.body.split("\n")
    assert guest.report.warnings == []


@pytest.mark.parametrize(
    "command",
    [
        "",
        "rundll32 x,y",
        'C:\\x.exe" & format c: & "',
        "C:\\x.exe /S & format c:",
        "C:\\x.exe\nformat c:",
        "\\\\server\\share\\x.exe",
        'C:\\a"b\\x.exe',
        "C:\\" + "a" * 5000 + ".exe",
    ],
)
def test_what_cannot_be_run_safely_is_told(command: str) -> None:
    program = {"DisplayName": "Parallels Tools", "UninstallString": command}
    guest = converted(windows_guest(software={UNINSTALL: {"Parallels": program}}))
    assert guest.first_boot.scripts == []
    assert len(guest.report.warnings) == 1
    assert "Parallels Tools stays installed in the guest" in guest.report.warnings[0]


def test_nutanix_tools_stay_because_of_the_virtio_drivers() -> None:
    program = {"DisplayName": "Nutanix Guest Tools", "UninstallString": r"C:\x.exe /quiet"}
    guest = converted(windows_guest(software={UNINSTALL: {"N": program}}))
    assert guest.first_boot.scripts == []
    assert guest.report.warnings == []


def test_services_and_drivers_do_not_start_in_every_control_set() -> None:
    services = {
        "VMTools": service(2),
        "VMMEMCTL": service(2),
        "vmci": service(0),
        "vsock": service(0),
        "vm3dmp": service(3),
    }
    sets = {"ControlSet001": {"Services": services}, "ControlSet002": {"Services": {"vmtools": service(2)}}}
    guest = converted(windows_guest(system=sets, default="ControlSet002"))
    assert {name: start_of(guest, name) for name in services} == {
        "VMTools": 4,
        "VMMEMCTL": 4,
        "vmci": 4,
        "vsock": 4,
        "vm3dmp": 3,
    }
    assert start_of(guest, "VMTools", "ControlSet002") == 4


@pytest.mark.parametrize("driver", ["pvscsi", "LSI_SAS", "LSI_SCSI", "vmxnet3ndis6", "storvsc", "vmbus", "storflt"])
def test_drivers_of_disks_and_network_cards_stay(driver: str) -> None:
    guest = converted(with_services({"Services": {driver: service(0)}}))
    assert start_of(guest, driver) == 0
    assert guest.registry.edits == []


def test_a_driver_that_is_only_prepared_is_left_alone() -> None:
    assert converted(with_services({"Services": {"vmhgfs": {}}})).registry.edits == []


def test_services_of_hyper_v_wait_to_be_asked() -> None:
    guest = converted(with_services({"Services": {"vmicheartbeat": service(2), "vmicvss": service(3)}}))
    assert (start_of(guest, "vmicheartbeat"), start_of(guest, "vmicvss")) == (3, 3)


def test_the_filter_of_a_mouse_goes_with_its_driver() -> None:
    mouse = r"Enum\ACPI\PNP0F13\4&1bd7f811&0"
    control_set = {
        "Services": {"vmmouse": service(3), "mouclass": service(3)},
        MOUSE_CLASS: {"UpperFilters": ["mouclass"]},
        mouse: {"UpperFilters": ["VMMouse"]},
    }
    guest = converted(with_services(control_set))
    assert guest.registry.value_after(HiveName.SYSTEM, rf"ControlSet001\{mouse}", "UpperFilters") is None
    assert guest.registry.value_after(HiveName.SYSTEM, rf"ControlSet001\{MOUSE_CLASS}", "UpperFilters") == multi_sz(
        "mouclass"
    )
    assert start_of(guest, "vmmouse") == 4
    assert guest.report.warnings == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (multi_sz("prl_strg", "partmgr"), multi_sz("partmgr")),
        (multi_sz("partmgr", "PRL_STRG"), multi_sz("partmgr")),
        (sz("prl_strg"), None),
        (multi_sz("prl_strg"), None),
        (multi_sz("partmgr"), multi_sz("partmgr")),
    ],
)
def test_parallels_storage_filter(before: Value, after: Value | None) -> None:
    strg = {"Start": 0, "DriverInfo": {"RefCount": 1}}
    services = {"prl_strg": strg, "partmgr": service(0), "rhelscsi": service(0)}
    guest = converted(with_services({"Services": services, DISK_CLASS: {"LowerFilters": before}}))
    assert guest.registry.value_after(HiveName.SYSTEM, rf"ControlSet001\{DISK_CLASS}", "LowerFilters") == after
    assert (start_of(guest, "prl_strg"), start_of(guest, "rhelscsi"), start_of(guest, "partmgr")) == (4, 4, 0)
    counted = guest.registry.value_after(HiveName.SYSTEM, r"ControlSet001\Services\prl_strg\DriverInfo", "RefCount")
    assert counted is None


def test_a_list_that_is_no_text_keeps_its_drivers() -> None:
    broken = Value(7, "xenfilt\0".encode("utf-16-le") + b"\x00\xd8\x41\x00\0\0")
    guest = converted(with_services({"Services": {"xenfilt": service(0)}, DISK_CLASS: {"UpperFilters": broken}}))
    assert start_of(guest, "xenfilt") == 0
    assert guest.registry.edits == []


@pytest.mark.parametrize("value", [binary(b""), binary(b"\0"), dword(0), multi_sz(), sz("")])
def test_empty_lists(value: Value) -> None:
    assert converted(with_services({DISK_CLASS: {"UpperFilters": value}})).registry.edits == []


@pytest.mark.parametrize(
    ("services", "why", "verdict"),
    [
        ({}, "snapman is no service", Verdict.FAILED),
        ({"snapman": service(4)}, "snapman is disabled", Verdict.FAILED),
        ({"snapman": service(0)}, "snapman has no file /Windows/system32/drivers/snapman.sys", Verdict.UNKNOWN),
        (
            {"snapman": service(0, r"\SystemRoot\system32\DRIVERS\s.sys")},
            "has no file /Windows/system32/DRIVERS/s.sys",
            Verdict.UNKNOWN,
        ),
        ({"snapman": service(0, r"\??\C:\Windows\s.sys")}, "has no file /Windows/s.sys", Verdict.UNKNOWN),
    ],
)
def test_a_filter_that_cannot_be_loaded(services: dict[str, Any], why: str, verdict: Verdict) -> None:
    lists = {"UpperFilters": ["partmgr"], "LowerFilters": ["snapman"]}
    guest = converted(with_services({"Services": {"partmgr": service(0), **services}, DISK_CLASS: lists}))
    assert len(guest.report.warnings) == 1
    assert guest.report.warnings[0].startswith("Windows may not start")
    assert why in guest.report.warnings[0]
    (fact,) = tools_removal.facts(guest)
    assert fact.verdict is verdict
    assert why in fact.detail


def test_a_missing_filter_of_another_class_fails_nothing() -> None:
    cdrom = r"Control\Class\{4d36e965-e325-11ce-bfc1-08002be10318}"
    guest = converted(with_services({cdrom: {"UpperFilters": ["GEARAspiWDM"]}}))
    assert guest.report.warnings == []
    assert tools_removal.facts(guest)[0].verdict is Verdict.PASSED


def test_programs_that_start_at_logon() -> None:
    run = {"VMware User Process": "x", "OneDrive": "y"}
    guest = converted(windows_guest(software={r"Microsoft\Windows\CurrentVersion\Run": run}))
    left = guest.registry.after(HiveName.SOFTWARE)["Microsoft"]["Windows"]["CurrentVersion"]["Run"]
    assert left == {"OneDrive": sz("y")}


def test_a_guest_without_any_of_it() -> None:
    guest = converted(windows_guest())
    assert guest.registry.edits == []
    assert guest.first_boot.scripts == []
    assert guest.report.warnings == []
    assert tools_removal.facts(guest)[0].verdict is Verdict.PASSED
