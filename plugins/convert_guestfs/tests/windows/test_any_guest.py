# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the registry of a guest holds: the rooms of the conversion stop with a reason, or do their work."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import drivers, guest_agent, network, tools_removal
from v2v_convert_guestfs.windows.checks import system as checks
from v2v_convert_guestfs.windows.firstboot.install import install
from v2v_convert_guestfs.windows.look import look_at
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE, Type, Value, expand_sz
from v2v_core.api import ConversionError, Guest, Nic
from virtio_win_tree import make_tree
from windows_guest import SimulatedGuest, windows_guest

ADAPTER = "{6AC3D5B3-1C44-4D2F-9C6C-7C9B4E2C1F11}"
NICS = "{4D36E972-E325-11CE-BFC1-08002BE10318}"
MICE = "{4D36E96F-E325-11CE-BFC1-08002BE10318}"
CONTROL_SET: dict[str, Any] = {
    r"Control\ProductOptions": {"ProductType": "WinNT"},
    r"Control\CrashControl": {"AutoReboot": 1},
    r"Control\Nls\CodePage": {"OEMCP": "850"},
    rf"Control\Class\{NICS}\0007": {"NetCfgInstanceId": ADAPTER, "DriverDesc": "Intel PRO/1000", "ComponentId": "pci"},
    rf"Control\Class\{MICE}": {"UpperFilters": ["vmmouse", "mouclass"]},
    rf"Control\Network\{NICS}\{ADAPTER}\Connection": {"Name": "LAN", "PnpInstanceID": r"PCI\VEN_8086&DEV_100F\1"},
    r"Enum\PCI\VEN_8086&DEV_100F\1": {"UINumber": 33, "LocationInformation": "PCI bus 2, device 1, function 0"},
    rf"Services\Tcpip\Parameters\Interfaces\{ADAPTER}": {
        "EnableDHCP": 0,
        "IPAddress": ["192.0.2.7", "192.0.2.8"],
        "SubnetMask": ["255.255.255.0", "255.255.255.0"],
        "DefaultGateway": ["192.0.2.1"],
        "DefaultGatewayMetric": ["0"],
        "NameServer": "192.0.2.2,192.0.2.3",
        "Domain": "example.com",
        "InterfaceMetric": 5,
        "MTU": 1400,
    },
    r"Services\Tcpip\Parameters\PersistentRoutes": {"198.51.100.0,255.255.255.0,192.0.2.9,1": ""},
    rf"Services\NetBT\Parameters\Interfaces\Tcpip_{ADAPTER}": {"NameServerList": ["192.0.2.4"], "NetbiosOptions": 2},
    r"Services\VMTools": {"Type": 16, "Start": 2, "ImagePath": expand_sz(r"C:\VMware\vmtoolsd.exe")},
    r"Services\vmmouse": {"Type": 1, "Start": 3, "ImagePath": expand_sz(r"system32\DRIVERS\vmmouse.sys")},
    r"Services\msahci": {"Type": 1, "Start": 3, "ImagePath": expand_sz(r"system32\DRIVERS\msahci.sys")},
    r"Services\partmgr\Parameters": {"SanPolicy": 3},
}
SYSTEM: dict[str, Any] = {
    "Select": {"Current": 1, "Default": 2},
    **{rf"ControlSet00{n}\{key}": values for n in (1, 2) for key, values in CONTROL_SET.items()},
}
SOFTWARE: dict[str, Any] = {
    r"Microsoft\Windows NT\CurrentVersion": {
        "CurrentVersion": "6.1",
        "CurrentBuildNumber": "7601",
        "ProductName": "Windows 7 Ultimate",
        "SystemRoot": r"C:\Windows",
    },
    r"Microsoft\Windows\CurrentVersion": {"DevicePath": expand_sz(r"%SystemRoot%\inf")},
    r"Microsoft\Windows\CurrentVersion\Run": {"VMware User Process": "vmtoolsd.exe"},
    r"Microsoft\Windows\CurrentVersion\Uninstall\{FE2F6A2C-196E-4210-9C04-2B1BC21F07EF}": {
        "DisplayName": "VMware Tools",
        "Publisher": "VMware, Inc.",
        "UninstallString": "MsiExec.exe /I{FE2F6A2C-196E-4210-9C04-2B1BC21F07EF}",
    },
}
TEXTS = st.text(max_size=30).map(lambda text: text.encode("utf-16-le", "surrogatepass") + b"\0\0")
DATA = st.one_of(
    st.binary(max_size=9), TEXTS, st.just(b"\xff\xff\xff\xff"), st.just(b"\0" * (LONGEST_VALUE + 1)), st.just(b"")
)
VALUES = st.builds(Value, st.sampled_from([*map(int, Type), 0xFFFF0005]), DATA)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("virtio-win"), systems=["w7", "w10"])


@st.composite
def damaged(draw: st.DrawFn, hive: dict[str, Any]) -> dict[str, Any]:
    """Return a hive in which some keys are missing, and some values have another type or content."""
    found = copy.deepcopy(hive)
    places = [(key, name) for key, values in hive.items() for name in values]
    for key, name in draw(st.lists(st.sampled_from(places), max_size=12)):
        if key not in found:
            continue
        match draw(st.integers(0, 9)):
            case 0:
                del found[key]
            case 1 | 2:
                found[key].pop(name, None)
            case _:
                found[key][name] = draw(VALUES)
    return found


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(system=damaged(SYSTEM), software=damaged(SOFTWARE))
def test_any_registry(
    monkeypatch: pytest.MonkeyPatch, tree: Path, system: dict[str, Any], software: dict[str, Any]
) -> None:
    monkeypatch.setenv("VIRTIO_WIN", str(tree))
    guest = guest_with(system, software)
    try:
        for _ in rooms(guest):
            pass
    except ConversionError as err:
        assert err.message.isprintable()
    assert all(warning.isprintable() for warning in guest.report.warnings)
    assert all(len(edit.value.data) <= LONGEST_VALUE for edit in guest.registry.edits if edit.value is not None)


def test_the_undamaged_guest_is_converted(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    monkeypatch.setenv("VIRTIO_WIN", str(tree))
    guest = guest_with(SYSTEM, SOFTWARE)
    assert list(rooms(guest)) == ["look", "checks", "drivers", "network", "tools", "first boot"]
    for number in (1, 2):
        start = guest.registry.value_after(HiveName.SYSTEM, rf"ControlSet00{number}\Services\viostor", "Start")
        assert start is not None
        assert start.number == 0
    assert b"192.0.2.8" in guest.files.contents["/Program Files/v2v-firstboot/scripts/network.bat"]


def guest_with(system: dict[str, Any], software: dict[str, Any]) -> SimulatedGuest:
    files = {"/Windows/System32/drivers/msahci.sys": b"MZ", "/Program Files/desktop.ini": b""}
    return windows_guest(
        files,
        system,
        software,
        arch="i386",
        version=(6, 1),
        build=7601,
        product_name="Windows 7 Ultimate",
        default="ControlSet002",
        guest=Guest(name="g", nics=(Nic(mac="00:50:56:aa:00:01"),)),
    )


def rooms(guest: SimulatedGuest) -> Iterator[str]:
    """Examine and change the guest, and yield the name of each room that was left."""
    hives = {name: f"/Windows/System32/config/{name}" for name in HiveName}
    blockers = Blockers()
    look_at(guest.session, guest.files, guest.registry, blockers, systemroot="/Windows", paths=hives)
    yield "look"
    checks.examine(guest, blockers)
    yield "checks"
    plan = drivers.examine(guest, blockers)
    wanted, tools = network.examine(guest, blockers), tools_removal.examine(guest, blockers)
    drivers.change(guest, plan)
    guest_agent.change(guest, plan)
    yield "drivers"
    network.change(guest, wanted)
    yield "network"
    tools_removal.change(guest, tools)
    yield "tools"
    install(guest)
    yield "first boot"
