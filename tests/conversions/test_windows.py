# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole conversions of Windows guests: the real Windows 7, a real SYSTEM hive of Windows 10, and phony ones.

No Windows boots here. What a conversion did is compared, by a reader that has nothing to do with it, with what it says
that it did: whole hives, and every file.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from runs import Place
from windows_images.build import disks
from windows_images.converting import (
    Converted,
    convert,
    see_that_libvirt_accepts,
    see_that_the_examination_passed,
    see_that_the_report_is_complete,
    virtio_win,
)
from windows_images.look import Looked, opened
from windows_images.real_hives import NoHives
from windows_images.recipe import Windows
from windows_images.recipes import DAILY, RECIPES

pytestmark = pytest.mark.slow

#: The MAC addresses that the real Windows 7 remembers, of the NICs with its two static addresses.
_NICS = {"7-real": ("00:50:56:a5:12:69", "00:0c:29:77:d9:81")}


def images_of(recipe: Windows) -> tuple[Path, ...]:
    """Return the disks of a guest, or skip the test where the real hives are not."""
    try:
        return disks(recipe)
    except NoHives as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DAILY else pytest.mark.zoo) for name in sorted(RECIPES)]
)
def test_a_windows_guest(place: Place, name: str) -> None:
    recipe = RECIPES[name]
    images = images_of(recipe)
    converted = convert(place, images, nics=_NICS.get(name, tuple(nic.mac for nic in recipe.nics)))
    with opened(*images) as before, opened(*converted.disks) as after:
        assert after.product == before.product
        see_that_no_address_is_lost(recipe, before, after)
        see_that_the_report_is_complete(converted, before, after)
        see_the_boot_driver(recipe, after)
        see_that_nothing_is_gone(recipe, before, after)
    see_that_the_examination_passed(converted)
    see_that_libvirt_accepts(converted)
    see_the_hardware(recipe, converted)


def see_that_no_address_is_lost(recipe: Windows, before: Looked, after: Looked) -> None:
    """Check that each static address has left its old network card, and is set by a script of the first boot."""
    scripts = [after.read(path) for path in after.files if path.startswith("program files/v2v-firstboot/")]
    for address in static_addresses(recipe, before):
        assert address not in static_addresses(recipe, after)
        assert any(address.encode() in script for script in scripts), address


def static_addresses(recipe: Windows, looked: Looked) -> set[str]:
    """Return the static addresses in the control set that starts next."""
    interfaces = rf"controlset{recipe.default:03}\services\tcpip\parameters\interfaces" + "\\"
    found: set[str] = set()
    for key, values in looked.hives["SYSTEM"].items():
        if key.startswith(interfaces) and "ipaddress" in values:
            found |= set(values["ipaddress"][1].decode("utf-16-le").split("\0"))
    return found - {"", "0.0.0.0"}  # noqa: S104 - what Windows writes where there is none


def see_the_boot_driver(recipe: Windows, after: Looked) -> None:
    """Check what Windows needs to reach a virtio disk, in each control set that may start."""
    machine = "x86" if recipe.arch == "i386" else "amd64"
    content = (virtio_win() / "tree" / "viostor" / _directory(recipe) / machine / "viostor.sys").read_bytes()
    assert after.files["windows/system32/drivers/viostor.sys"] == hashlib.sha256(content).hexdigest()
    system = after.hives["SYSTEM"]
    for number in {recipe.current, recipe.default}:
        service = system[rf"controlset{number:03}\services\viostor"]
        assert service["type"] == (4, b"\1\0\0\0")
        assert service["start"] == (4, b"\0\0\0\0")
        assert service["group"][1].decode("utf-16-le").rstrip("\0").casefold() == "scsi miniport"
        assert (
            service["imagepath"][1]
            .decode("utf-16-le")
            .rstrip("\0")
            .casefold()
            .endswith(r"system32\drivers\viostor.sys")
        )
        if not recipe.driver_database:
            critical = rf"controlset{number:03}\control\criticaldevicedatabase\pci#ven_1af4&dev_"
            found = {key for key, values in system.items() if key.startswith(critical) and "service" in values}
            assert any("dev_1001" in key for key in found)
            assert any("dev_1042" in key for key in found)
    if recipe.driver_database:
        for device in ("1001", "1042"):
            keys = [key for key in system if key.startswith(rf"driverdatabase\deviceids\pci\ven_1af4&dev_{device}")]
            assert any(system[key] for key in keys), device


def _directory(recipe: Windows) -> str:
    """Return the directory of virtio-win with the drivers for a guest."""
    if recipe.build >= 22000 and recipe.kind == "WinNT":
        return "w11"
    servers = {6002: "2k8", 20348: "2k22", 26100: "2k25"}
    clients = {2600: "xp", 7601: "w7", 9600: "w8.1", 19044: "w10"}
    return (servers | clients)[recipe.build]


def see_that_nothing_is_gone(recipe: Windows, before: Looked, after: Looked) -> None:
    """Check that no key of a hive is gone but those of the tools of the old hypervisor."""
    for hive, keys in before.hives.items():
        gone = sorted(keys.keys() - after.hives[hive].keys())
        others = [
            key for key in gone if not any(word in key for word in ("vmware", "vmtools", "vmci", "vmdebug", "vmx"))
        ]
        assert others == [], hive


def see_the_hardware(recipe: Windows, converted: Converted) -> None:
    """Check what the virtual machine has."""
    domain = ElementTree.parse(converted.xml).getroot()  # noqa: S314 - our own output
    for disk in domain.iterfind("devices/disk[@device='disk']/target"):
        assert disk.get("bus") == "virtio"
    assert {nic.get("type") for nic in domain.iterfind("devices/interface/model")} == {"virtio"}
    machine = str(domain.find("os/type").get("machine"))  # type: ignore[union-attr]
    assert ("q35" in machine) == recipe.vista, machine
    if recipe.build >= 22000 and recipe.kind == "WinNT":
        assert domain.find("devices/tpm") is not None
        assert domain.find("os").get("firmware") == "efi" or domain.find("os/loader") is not None  # type: ignore[union-attr]


@pytest.mark.zoo
def test_windows_7_without_drivers_gets_hardware_that_it_has_drivers_for(place: Place) -> None:
    from virtio_win_tree import make_tree

    images = images_of(RECIPES["7-real"])
    others = make_tree(place.root / "drivers", systems=["w10"])
    converted = convert(place, images, nics=_NICS["7-real"], drivers=others)
    domain = ElementTree.parse(converted.xml).getroot()  # noqa: S314 - our own output
    assert {disk.get("bus") for disk in domain.iterfind("devices/disk[@device='disk']/target")} == {"sata"}
    assert {nic.get("type") for nic in domain.iterfind("devices/interface/model")} == {"e1000e"}
    told = [warning["text"] for warning in converted.report["warnings"] if "virtio" in warning["text"]]
    assert len(told) == 1, told
    see_that_libvirt_accepts(converted)


@pytest.mark.zoo
def test_two_control_sets_that_can_start_both_get_the_driver(place: Place) -> None:
    recipe = dataclasses.replace(RECIPES["8.1-phony"], name="8.1-phony-other-default", current=1, default=2)
    images = images_of(recipe)
    converted = convert(place, images, nics=[nic.mac for nic in recipe.nics])
    with opened(*images) as before, opened(*converted.disks) as after:
        see_that_the_report_is_complete(converted, before, after)
        see_the_boot_driver(recipe, after)
    see_that_the_examination_passed(converted)
