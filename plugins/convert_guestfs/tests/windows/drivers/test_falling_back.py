# SPDX-License-Identifier: GPL-2.0-or-later
"""A Windows guest for which there are no virtio drivers gets hardware that Windows itself has drivers for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.drivers import DriversPlan, change, examine
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import dword, expand_sz, sz
from v2v_core.api import Bus
from virtio_win_tree import make_tree, program
from windows_guest import SimulatedGuest, windows_guest

_HDC = "{4D36E96A-E325-11CE-BFC1-08002BE10318}"
_XP: dict[str, Any] = {"version": (5, 1), "build": 2600, "arch": "i386"}
_SEVEN: dict[str, Any] = {"version": (6, 1), "build": 7601, "arch": "i386"}


def _drivers(*names: str, machine: str = "x86") -> dict[str, bytes]:
    return {f"/Windows/System32/drivers/{name}.sys": program(machine, name, (5, 1)) for name in names}


def _without(guest: SimulatedGuest, environment: dict[str, str] | None = None) -> tuple[DriversPlan, list[str]]:
    """Convert without virtio-win; return the plan and the blockers."""
    blockers = Blockers()
    plan = examine(guest, blockers, environment=environment or {}, installed=())
    if not blockers.reasons:
        change(guest, plan)
    return plan, [f"{reason} - {remedy}" for reason, remedy in blockers.reasons]


def _value(guest: SimulatedGuest, key: str, name: str) -> object:
    return guest.registry.value_after(HiveName.SYSTEM, key, name)


def test_windows_10_gets_sata_and_what_keeps_its_driver_from_starting_is_gone() -> None:
    services = {
        "storahci": {"Start": 0, "ImagePath": expand_sz(r"System32\drivers\storahci.sys"), "StartOverride": {"0": 3}},
        "other": {"StartOverride": {"0": 3}},
    }
    guest = windows_guest(system={r"ControlSet001\Services": services}, files=_drivers("storahci", machine="amd64"))
    plan, blockers = _without(guest)
    assert blockers == []
    assert (plan.block_bus, plan.machine, plan.net_model) == (Bus.SATA, "q35", "e1000e")
    assert plan.boot_driver is not None
    assert (plan.boot_driver.service, plan.boot_driver.own) == ("storahci", True)
    assert not guest.registry.has_key_after(HiveName.SYSTEM, r"ControlSet001\Services\storahci\StartOverride")
    assert guest.registry.has_key_after(HiveName.SYSTEM, r"ControlSet001\Services\other\StartOverride")
    (warning,) = guest.report.warnings
    assert warning.startswith(
        "The guest gets SATA disks and network cards of the model e1000e, which are slow: there is no"
    )
    assert "set VIRTIO_WIN" in warning
    assert guest.files.written == {}
    assert guest.first_boot.scripts == []


def test_windows_7_gets_sata_and_its_driver_starts_in_both_control_sets() -> None:
    service = {"Start": 3, "Type": 1, "ImagePath": expand_sz(r"\SystemRoot\system32\drivers\msahci.sys")}
    guest = windows_guest(
        system={r"ControlSet001\Services\msahci": service, r"ControlSet002\Services\MSAHCI": service},
        files=_drivers("msahci"),
        default="ControlSet002",
        **_SEVEN,
    )
    plan, blockers = _without(guest)
    assert blockers == []
    assert (plan.block_bus, plan.machine) == (Bus.SATA, "q35")
    for control_set in ("ControlSet001", "ControlSet002"):
        assert _value(guest, rf"{control_set}\Services\msahci", "Start") == dword(0)
        key = rf"{control_set}\Control\CriticalDeviceDatabase\PCI#CC_010601"
        assert (_value(guest, key, "Service"), _value(guest, key, "ClassGUID")) == (sz("msahci"), sz(_HDC))


def test_xp_gets_ide() -> None:
    services = {"atapi": {"Start": 0}, "intelide": {"Start": 4}, "pciide": {"Start": 0}}
    guest = windows_guest(
        system={r"ControlSet001\Services": services}, files=_drivers("atapi", "intelide", "pciide"), **_XP
    )
    plan, blockers = _without(guest)
    assert blockers == []
    assert (plan.block_bus, plan.machine, plan.net_model) == (Bus.IDE, "i440fx", "rtl8139")
    assert _value(guest, r"ControlSet001\Services\intelide", "Start") == dword(0)
    database = r"ControlSet001\Control\CriticalDeviceDatabase"
    assert _value(guest, rf"{database}\PCI#VEN_8086&DEV_7010", "Service") == sz("intelide")
    for channel in ("Primary_IDE_Channel", "Secondary_IDE_Channel", "*PNP0600"):
        assert _value(guest, rf"{database}\{channel}", "Service") == sz("atapi")


@pytest.mark.parametrize(
    ("files", "services"),
    [
        (_drivers("atapi"), {"atapi": {"Start": 0}, "intelide": {"Start": 0}}),
        (_drivers("intelide"), {"atapi": {"Start": 0}, "intelide": {"Start": 0}}),
        (_drivers("atapi", "intelide"), {"intelide": {"Start": 0}}),
        (_drivers("atapi", "intelide", machine="amd64"), {"atapi": {"Start": 0}, "intelide": {"Start": 0}}),
    ],
)
def test_a_guest_that_has_no_driver_for_any_disk_is_a_blocker(
    files: dict[str, bytes], services: dict[str, Any]
) -> None:
    guest = windows_guest(system={r"ControlSet001\Services": services}, files=files, **_XP)
    plan, (blocker,) = _without(guest)
    assert plan.boot_driver is None
    assert "can boot neither from virtio disks nor from SATA or IDE disks" in blocker


def test_windows_10_without_a_driver_for_sata_gets_ide() -> None:
    guest = windows_guest(
        system={
            r"ControlSet001\Services": {"atapi": {"Start": 0}, "intelide": {"Start": 0, "StartOverride": {"0": 3}}}
        },
        files=_drivers("atapi", "intelide", machine="amd64"),
    )
    plan, blockers = _without(guest)
    assert (blockers, plan.block_bus, plan.machine) == ([], Bus.IDE, "i440fx")
    assert not guest.registry.has_key_after(HiveName.SYSTEM, r"ControlSet001\Services\intelide\StartOverride")


def test_a_driver_that_the_appliance_cannot_read_is_believed_in() -> None:
    """A Windows that is compressed (CompactOS) shows its files to nobody else."""
    guest = windows_guest(
        system={r"ControlSet001\Services\storahci": {"Start": 0}}, files={"/Windows/System32/drivers/storahci.sys": b""}
    )
    plan, blockers = _without(guest)
    assert (blockers, plan.block_bus) == ([], Bus.SATA)
    assert plan.boot_driver is not None
    assert plan.boot_driver.sha256 == ""


def test_the_guests_own_virtio_drivers_are_enabled() -> None:
    services = {"viostor": {"Start": 3, "StartOverride": {"0": 3}, "Group": "SCSI miniport"}, "netkvm": {"Start": 3}}
    guest = windows_guest(
        system={r"ControlSet001\Services": services}, files=_drivers("viostor", "netkvm", machine="amd64")
    )
    plan, blockers = _without(guest)
    assert blockers == []
    assert (plan.block_bus, plan.net_model, plan.machine) == (Bus.VIRTIO_BLK, "virtio", "q35")
    assert plan.boot_driver is not None
    assert (plan.boot_driver.own, plan.boot_driver.group) == (True, "SCSI miniport")
    assert _value(guest, r"ControlSet001\Services\viostor", "Start") == dword(0)
    assert not guest.registry.has_key_after(HiveName.SYSTEM, r"ControlSet001\Services\viostor\StartOverride")
    assert guest.report.warnings == []


@pytest.mark.parametrize(
    ("infs", "facts", "model"),
    [
        ({"nete1e3e.inf": r"%D% = a, PCI\VEN_8086&DEV_10D3"}, _SEVEN, "e1000e"),
        ({"nete1g3e.inf": r"%D% = a, PCI\VEN_8086&DEV_100E&SUBSYS_1"}, _SEVEN, "e1000"),
        ({"netrtl.inf": r"%D% = a, pci\ven_10ec&dev_8139"}, {}, "rtl8139"),
        ({"NETE1.INF": r"%D% = a, PCI\VEN_8086&DEV_100E", "other.inf": r"PCI\VEN_8086&DEV_10D3"}, {}, "e1000"),
        ({}, {}, "e1000e"),
        ({}, _XP, "rtl8139"),
        ({}, {"version": (5, 2), "build": 3790}, "e1000"),
        ({}, {"version": (6, 0), "build": 6002}, "e1000"),
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_the_network_card_is_one_that_an_inf_of_the_guest_names(
    infs: dict[str, str], facts: dict[str, Any], model: str, encoding: str
) -> None:
    machine = "x86" if facts.get("arch") == "i386" else "amd64"
    files = {f"/Windows/inf/{name}": text.encode(encoding) for name, text in infs.items()}
    names = ("atapi", "intelide")
    guest = windows_guest(
        system={r"ControlSet001\Services": {name: {"Start": 0} for name in names}},
        files={**files, **_drivers(*names, machine=machine)},
        **facts,
    )
    plan, blockers = _without(guest)
    assert (blockers, plan.net_model) == ([], model)


def test_virtio_win_without_drivers_for_this_windows_is_one_warning_with_what_is_lacking(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, systems=["w10"])
    guest = windows_guest(
        system={r"ControlSet001\Services\msahci": {"Start": 3}},
        files=_drivers("msahci"),
        product_name="Windows 7 Ultimate",
        **_SEVEN,
    )
    plan, blockers = _without(guest, {"VIRTIO_WIN": str(tree)})
    assert (blockers, plan.block_bus) == ([], Bus.SATA)
    (warning,) = guest.report.warnings
    assert f"virtio-win ({tree}) has no drivers for Windows 7 Ultimate (i386)" in warning


def test_virtio_win_without_the_driver_of_the_network_gives_virtio_disks_alone(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, systems=["w10"], drivers=["viostor"])
    guest = windows_guest(software={r"Microsoft\Windows\CurrentVersion": {}})
    plan, blockers = _without(guest, {"VIRTIO_WIN": str(tree)})
    assert (blockers, plan.block_bus, plan.net_model) == ([], Bus.VIRTIO_BLK, "e1000e")
    (warning,) = guest.report.warnings
    assert warning.startswith(
        "The guest gets network cards of the model e1000e, which are slow: virtio-win has no driver"
    )


@pytest.mark.parametrize("content", [None, b"", b"not an ISO\n" * 10_000])
def test_a_virtio_win_that_the_user_names_and_that_cannot_be_used_is_a_blocker(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "virtio-win.iso").write_bytes(content)
    guest = windows_guest(
        system={r"ControlSet001\Services\storahci": {"Start": 0}}, files=_drivers("storahci", machine="amd64")
    )
    _, (blocker,) = _without(guest, {"VIRTIO_WIN": str(tmp_path / "virtio-win.iso")})
    assert f"{tmp_path}/virtio-win.iso, which VIRTIO_WIN names," in blocker


def test_a_guest_for_arm_needs_virtio_drivers() -> None:
    _, (blocker,) = _without(windows_guest(arch="aarch64", build=22631))
    assert "ARM64" in blocker


@pytest.mark.parametrize("start", [sz("zero"), expand_sz(""), [""], b"\0", 7])
def test_values_of_the_wrong_type_are_put_right(start: Any) -> None:
    service = {"Start": start, "ImagePath": 5, "Group": b"x", "Owners": "text"}
    guest = windows_guest(
        system={r"ControlSet001\Services\storahci": service}, files=_drivers("storahci", machine="amd64")
    )
    plan, blockers = _without(guest)
    assert (blockers, plan.block_bus) == ([], Bus.SATA)
    assert _value(guest, r"ControlSet001\Services\storahci", "Start") == dword(0)


@pytest.mark.parametrize(
    ("image", "place"),
    [
        (r"\SystemRoot\System32\drivers\storahci.sys", "System32/drivers/storahci.sys"),
        (r"%systemroot%\system32\DRIVERS\storahci.sys", "System32/drivers/storahci.sys"),
        (r"\??\C:\WINDOWS\System32\drivers\storahci.sys", "System32/drivers/storahci.sys"),
        ("", "System32/drivers/storahci.sys"),
        (r"System32\DriverStore\FileRepository\x\storahci.sys", "System32/DriverStore/FileRepository/x/storahci.sys"),
    ],
)
def test_a_driver_is_found_where_its_service_says(image: str, place: str) -> None:
    guest = windows_guest(
        system={r"ControlSet001\Services\storahci": {"Start": 0, "ImagePath": expand_sz(image)}},
        files={f"/Windows/{place}": program("amd64", "storahci", (10, 0))},
    )
    plan, blockers = _without(guest)
    assert blockers == []
    assert plan.boot_driver is not None
    assert plan.boot_driver.path == f"/Windows/{place}"


@pytest.mark.parametrize(
    "image", [r"..\evil\storahci.sys", r"\??\D:\other\storahci.sys", "\\", "\\??\\", "%systemroot%"]
)
def test_a_service_whose_file_is_elsewhere_is_no_driver(image: str) -> None:
    guest = windows_guest(
        system={r"ControlSet001\Services\storahci": {"Start": 0, "ImagePath": expand_sz(image)}},
        files={"/evil/storahci.sys": program("amd64", "storahci", (10, 0)), **_drivers("storahci", machine="amd64")},
    )
    _, blockers = _without(guest)
    assert len(blockers) == 1


def test_intels_driver_starts_at_boot_as_well() -> None:
    services = {"msahci": {"Start": 3}, "iaStorV": {"Start": 4}}
    guest = windows_guest(system={r"ControlSet001\Services": services}, files=_drivers("msahci", "iastorv"), **_SEVEN)
    plan, blockers = _without(guest)
    assert (blockers, plan.block_bus) == ([], Bus.SATA)
    assert _value(guest, r"ControlSet001\Services\iaStorV", "Start") == dword(0)


def test_the_driver_starts_from_the_same_file_in_every_control_set() -> None:
    image = expand_sz(r"\SystemRoot\System32\drivers\storahci.sys")
    services = {
        r"ControlSet001\Services\storahci": {"Start": 0, "Type": 1, "Group": "SCSI Miniport", "ImagePath": image},
        r"ControlSet002\Services\storahci": {"Start": 3, "Type": 2, "ImagePath": expand_sz(r"System32\other.sys")},
    }
    guest = windows_guest(system=services, files=_drivers("storahci", machine="amd64"), current="ControlSet002")
    plan, blockers = _without(guest)
    assert blockers == []
    first = r"ControlSet001\Services\storahci"
    assert [edit for edit in guest.registry.edits if edit.key.startswith(first)] == []
    expected = {"Start": dword(0), "Type": dword(1), "Group": sz("SCSI Miniport"), "ImagePath": image}
    for name, value in expected.items():
        assert _value(guest, r"ControlSet002\Services\storahci", name) == value
    assert plan.boot_driver is not None
    assert plan.boot_driver.image_path == image.text
