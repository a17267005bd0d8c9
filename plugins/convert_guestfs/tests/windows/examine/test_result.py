# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fact about a converted guest, broken on purpose, one at a time: the conversion fails and names it."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from v2v_convert_guestfs.windows.examine.expected import Expected
from v2v_convert_guestfs.windows.examine.hive_reader import Content
from v2v_convert_guestfs.windows.examine.result import file_facts, registry_facts, stop_on_failures
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import expand_sz
from v2v_core.api import ConversionError, Fact, Verdict
from windows_guest import SimulatedGuest, windows_guest

PCI = (r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01")
SYS = b"MZ".ljust(60, b"\0") + (64).to_bytes(4, "little") + b"PE\0\0" + (0x8664).to_bytes(2, "little") + bytes(500)
INF = b'[Version]\r\nSignature="$WINDOWS NT$"\r\n'
DRIVER, CAT = "/Windows/System32/drivers/viostor.sys", "/Windows/Drivers/VirtIO/viostor.cat"
FIRST = "/Program Files/v2v-firstboot"
BAT = (
    'set "mac=52-54-00-00-00-01"\r\n'
    'netsh interface ipv4 set address name="%name%" source=static address=192.0.2.7 mask=255.255.255.0 '
    "gateway=192.0.2.1\r\n"
    'netsh interface ipv6 add address interface="%name%" address=2001:db8::7/64 store=persistent\r\n'
    'set "mac=52-54-00-00-00-02"\r\n'
    'netsh interface ipv4 set address name="%name%" source=static address=192.0.2.70 mask=255.255.255.0\r\n'
    'netsh interface ipv4 set dns name="%name%" source=static address=192.0.2.7 register=primary\r\n'
)


@dataclass(frozen=True)
class Driver:
    """A driver as a plan has it."""

    service: str = "viostor"
    path: str = DRIVER
    image_path: str = r"System32\drivers\viostor.sys"
    group: str = "SCSI miniport"
    sha256: str = hashlib.sha256(SYS).hexdigest()
    machine: int = 0x8664
    ids: tuple[str, ...] = PCI
    inf: str | None = "oem5.inf"
    package: str | None = "viostor.inf_amd64_0123456789abcdef"
    catalogue: str | None = CAT


@dataclass(frozen=True)
class File:
    path: str
    content: bytes


@dataclass(frozen=True)
class FirstBoot:
    service: str = "v2v-firstboot"
    image_path: str = '"C:\\Program Files\\v2v-firstboot\\v2v-firstboot.exe" -s v2v-firstboot'
    files: tuple[str, ...] = (f"{FIRST}/v2v-firstboot.exe", f"{FIRST}/scripts/network.bat")


@dataclass(frozen=True)
class Address:
    mac: str
    address: Any


ADDRESSES = (
    Address("52:54:00:00:00:01", ipaddress.ip_interface("192.0.2.7/24")),
    Address("52:54:00:00:00:01", ipaddress.ip_interface("2001:db8::7/64")),
    Address("52:54:00:00:00:02", ipaddress.ip_interface("192.0.2.70/24")),
)
EXPECTED = Expected(
    driver=Driver(),
    files=(File("/Windows/INF/oem5.inf", INF), File(CAT, b"catalogue")),
    first_boot=FirstBoot(),
    addresses=ADDRESSES,
    boot_facts=lambda guest: (Fact(name="the default boot entry names a loader that exists", verdict=Verdict.PASSED),),
)
FILES = {
    DRIVER: SYS,
    CAT: b"catalogue",
    "/Windows/INF/oem5.inf": INF,
    f"{FIRST}/v2v-firstboot.exe": b"MZ",
    f"{FIRST}/scripts/network.bat": BAT.encode(),
}


def services() -> dict[str, Any]:
    return {
        "viostor": {
            "Type": 1,
            "Start": 0,
            "Group": "SCSI miniport",
            "ImagePath": expand_sz(r"system32\DRIVERS\viostor.sys"),
        },
        "v2v-firstboot": {"Type": 16, "Start": 2, "ImagePath": expand_sz(FirstBoot().image_path)},
    }


def system(version: int) -> dict[str, Any]:
    """Return the hive of a converted guest with two control sets: of Windows 7 or 10."""
    sets: dict[str, Any] = {f"ControlSet00{n}": {"Services": services(), "Control": {}} for n in (1, 2)}
    if version == 7:
        for control_set in sets.values():
            control_set["Control"]["CriticalDeviceDatabase"] = {
                device.replace("\\", "#").lower(): {"Service": "viostor", "ClassGUID": "{4d36e97b}"} for device in PCI
            }
        return sets
    package = {
        "Descriptors": {"PCI": {device[4:]: {"Configuration": "viostor_inst"} for device in PCI}},
        "Configurations": {"viostor_inst": {"Service": "viostor"}},
    }
    return sets | {
        "DriverDatabase": {
            "DriverInfFiles": {"oem5.inf": {"Active": Driver().package}},
            "DeviceIds": {"PCI": {device[4:]: {"oem5.inf": b"\1\xff\0\0"} for device in PCI}},
            "DriverPackages": {str(Driver().package): package},
        }
    }


class SimulatedReader:
    """A reader of the simulated guest's SYSTEM hive."""

    def __init__(self, guest: SimulatedGuest) -> None:
        self.root = guest.registry.store.hives[HiveName.SYSTEM]

    def values(self, path: str) -> dict[str, Content] | None:
        key = self.root.find(path)
        if key is None:
            return None
        found: dict[str, Content] = {}
        for name, (_, value) in key.values.items():
            content = value.text if value.number is None else value.number
            found[name] = value.data if content is None else content
        return found


def examined(hive: dict[str, Any], files: dict[str, bytes], expected: Expected = EXPECTED) -> tuple[Fact, ...]:
    guest = windows_guest(files, hive, default="ControlSet002", driver_database="DriverDatabase" in hive)
    return (*registry_facts(SimulatedReader(guest), guest, expected), *file_facts(guest, expected))


def failed(facts: tuple[Fact, ...]) -> list[Fact]:
    return [fact for fact in facts if fact.verdict is not Verdict.PASSED]


@pytest.mark.parametrize(("version", "count"), [(7, 16), (10, 15)])
def test_a_guest_as_it_must_be(version: int, count: int) -> None:
    facts = examined(system(version), FILES)
    assert failed(facts) == []
    assert len(facts) == count
    stop_on_failures(facts)


def first(hive: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = hive["ControlSet001"]["Services"]["viostor"]
    return found


def database(hive: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = hive["DriverDatabase"]
    return found


PACKAGE = str(Driver().package)

BROKEN_HIVES: list[tuple[int, Callable[[dict[str, Any]], Any], str, str]] = [
    (7, lambda h: first(h).update(Start=3), "viostor starts at boot in ControlSet001", "Start of .* is 3 and not 0"),
    (7, lambda h: first(h).update(Start="0"), "viostor starts at boot in ControlSet001", "is '0' and not 0"),
    (7, lambda h: first(h).update(Type=2), "viostor starts at boot in ControlSet001", "Type of .* is 2"),
    (7, lambda h: first(h).pop("Group"), "viostor starts at boot in ControlSet001", "has no Group"),
    (7, lambda h: first(h).update(ImagePath="x.sys"), "viostor starts at boot in ControlSet001", "ImagePath .*x.sys"),
    (
        10,
        lambda h: first(h).update(StartOverride={"0": 3}),
        "viostor starts at boot in ControlSet001",
        r"StartOverride has 0 = 3, which keeps it from starting",
    ),
    (
        7,
        lambda h: h["ControlSet002"]["Services"].pop("viostor"),
        "viostor starts at boot in ControlSet002",
        r"there is no key ControlSet002\\Services\\viostor",
    ),
    (
        7,
        lambda h: h["ControlSet002"]["Control"]["CriticalDeviceDatabase"].popitem(),
        "CriticalDeviceDatabase of ControlSet002 has viostor",
        r"there is no key .*PCI#VEN_1AF4&DEV_1042",
    ),
    (
        7,
        lambda h: h["ControlSet001"]["Control"]["CriticalDeviceDatabase"].update(
            {PCI[0].replace("\\", "#").lower(): {"Service": "other", "ClassGUID": "{4d36e97b}"}}
        ),
        "CriticalDeviceDatabase of ControlSet001 has viostor",
        "'other' and not 'viostor'",
    ),
    (
        10,
        lambda h: database(h)["DeviceIds"].clear(),
        "DriverDatabase has viostor",
        r"DeviceIds\\PCI\\VEN_1AF4&DEV_1001",
    ),
    (10, lambda h: database(h)["DriverInfFiles"].clear(), "DriverDatabase has viostor", r"no key .*oem5\.inf"),
    (
        10,
        lambda h: database(h)["DriverPackages"][PACKAGE]["Descriptors"].clear(),
        "DriverDatabase has viostor",
        "has no Configuration",
    ),
    (
        10,
        lambda h: database(h)["DriverPackages"][PACKAGE]["Configurations"]["viostor_inst"].update(Service="x"),
        "DriverDatabase has viostor",
        "'x' and not 'viostor'",
    ),
    (
        7,
        lambda h: h["ControlSet002"]["Services"]["v2v-firstboot"].update(Start=4),
        "the service v2v-firstboot starts in ControlSet002",
        "is 4 and not 2",
    ),
]


@pytest.mark.parametrize(("version", "damage", "name", "detail"), BROKEN_HIVES)
def test_a_broken_registry_is_named(
    version: int, damage: Callable[[dict[str, Any]], Any], name: str, detail: str
) -> None:
    hive = system(version)
    damage(hive)
    facts = examined(hive, FILES)
    (wrong,) = failed(facts)
    assert name in wrong.name
    assert re.search(detail, wrong.detail), wrong.detail
    with pytest.raises(ConversionError) as caught:
        stop_on_failures(facts)
    assert f"(1) {wrong.name}: {wrong.detail}" in caught.value.message


ARM = SYS.replace((0x8664).to_bytes(2, "little"), (0xAA64).to_bytes(2, "little"))

BROKEN_FILES: list[tuple[str, bytes | None, str, str]] = [
    (DRIVER, None, "file of the driver viostor.sys", "is missing"),
    (DRIVER, SYS[:-200], "file of the driver viostor.sys", r"\(370 bytes\) differs from its source"),
    (DRIVER, ARM, "file of the driver viostor.sys", "is for ARM64, and the guest is x64"),
    (DRIVER, b"", "file of the driver viostor.sys", "is no program"),
    ("/Windows/INF/oem5.inf", INF.replace(b"\r", b""), "the INF /Windows/INF/oem5.inf", "other line ends"),
    ("/Windows/INF/oem5.inf", INF.upper(), "the INF /Windows/INF/oem5.inf", "has other bytes"),
    (f"{FIRST}/v2v-firstboot.exe", None, "the files of the first boot", "v2v-firstboot.exe is missing"),
    (f"{FIRST}/v2v-firstboot.exe", b"", "the files of the first boot", "v2v-firstboot.exe is empty"),
    (
        f"{FIRST}/scripts/network.bat",
        BAT.replace("192.0.2.70 ", "192.0.2.71 ").encode(),
        "the address 192.0.2.70/24 to the NIC 52:54:00:00:00:02",
        "no script sets it",
    ),
    (
        f"{FIRST}/scripts/network.bat",
        BAT.replace("00-00-02", "00-00-03").encode(),
        "the address 192.0.2.70/24 to the NIC 52:54:00:00:00:02",
        "it is set on 52:54:00:00:00:03",
    ),
    (
        f"{FIRST}/scripts/network.bat",
        (BAT + 'netsh interface ipv4 add address name="%name%" address=192.0.2.70 mask=255.255.255.0').encode(),
        "the address 192.0.2.70/24 to the NIC 52:54:00:00:00:02",
        "it is set 2 times",
    ),
]


@pytest.mark.parametrize(("path", "content", "name", "detail"), BROKEN_FILES)
def test_a_broken_file_is_named(path: str, content: bytes | None, name: str, detail: str) -> None:
    files = {**FILES, path: content or b""}
    if content is None:
        del files[path]
    (wrong,) = failed(examined(system(10), files))
    assert name in wrong.name
    assert re.search(detail, wrong.detail), wrong.detail


def test_a_missing_catalogue_is_named() -> None:
    files = {path: content for path, content in FILES.items() if path != CAT}
    (wrong,) = failed(examined(system(10), files, replace(EXPECTED, files=EXPECTED.files[:1])))
    assert (wrong.name, wrong.detail) == ("the catalogue of the driver viostor is there", f"{CAT} is missing")


def test_a_boot_entry_to_nowhere_is_named() -> None:
    nowhere = Fact(
        name="the default boot entry", verdict=Verdict.FAILED, detail="it names a partition that no disk has"
    )
    facts = examined(system(10), FILES, replace(EXPECTED, boot_facts=lambda guest: (nowhere,)))
    with pytest.raises(ConversionError, match=r"1 of 15 facts: .*a partition that no disk has"):
        stop_on_failures(facts)


def test_files_of_the_first_boot_that_any_user_can_change_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = windows_guest(FILES, system(10))
    monkeypatch.setattr(guest.session.handle, "getxattr", lambda path, name: b"")
    (wrong,) = failed(tuple(file_facts(guest, EXPECTED)))
    assert wrong.name == "only administrators and the system can change the files of the first boot"
    assert f"{FIRST} can be changed by everyone" in wrong.detail


def test_a_driver_of_windows_itself_needs_no_entry() -> None:
    own = replace(Driver(), ids=(), inf=None, package=None, catalogue=None)
    hive = system(10)
    del hive["DriverDatabase"]
    assert failed(examined(hive, FILES, replace(EXPECTED, driver=own, files=()))) == []
