# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of the Red Hat family boot on virtio after their conversion: rpm, dracut, grub2, one file for each entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from described import convert_described
from guests.boot import BootResult, boot
from guests.build import disks
from guests.disk_images import overlay
from guests.look import Entry, difference, guest_tree_digest, installed_packages, read_files
from guests.networks import ADDRESS, NIC
from guests.recipe import Recipe, identity_of
from guests.recipes import RECIPES
from guests.rpm_recipes import DAILY_RPM_GUESTS, RPM_GUESTS
from runs import new_place

pytestmark = pytest.mark.timeout(3600)

MAC = "52:54:00:72:70:6d"

#: Seconds: on a busy machine without hardware virtualization.
BOOT_TIMEOUT = 900

_ENTRIES = "/boot/loader/entries/*.conf"

#: Some ten thousand files that a conversion has nothing to do with.
_ALL_THE_REST = ("/usr/*", "/var/cache/*", "/var/log/*", "/lost+found")


@dataclass
class Converted:
    """A guest before and after its conversion: the disks, their files, and the result of booting it."""

    recipe: Recipe
    source: Path
    disk: Path
    booted: BootResult

    @cached_property
    def before(self) -> dict[str, Entry]:
        """Return the digest of its files before the conversion."""
        return guest_tree_digest([self.source], exclude=_ALL_THE_REST)

    @cached_property
    def after(self) -> dict[str, Entry]:
        """Return the digest of its files after the conversion."""
        return guest_tree_digest([self.disk], exclude=_ALL_THE_REST)

    def files(self, *paths: str) -> dict[str, str]:
        """Return the contents of some of its files."""
        return {path: data.decode() for path, data in read_files([self.disk], paths).items()}

    def original(self, *paths: str) -> dict[str, str]:
        """Return the contents that some files had before."""
        return {path: data.decode() for path, data in read_files([self.source], paths).items()}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in DAILY_RPM_GUESTS else pytest.mark.zoo)
        for name in RPM_GUESTS
    ],
)
def converted(request: pytest.FixtureRequest) -> Iterator[Converted]:
    """Convert each of the guests, and boot it, once for all tests."""
    recipe = RECIPES[request.param]
    (source,) = disks(recipe)
    with new_place() as place:
        disk = overlay(source, place.root / "sda.qcow2")
        convert_described(place, [disk], mac=MAC)
        yield Converted(recipe, source, disk, boot([disk], nics=[MAC], timeout=BOOT_TIMEOUT))


@pytest.mark.zoo
def test_the_source_boots_where_it_comes_from_and_not_on_virtio(converted: Converted) -> None:
    controller = boot([converted.source], controller="pvscsi", timeout=BOOT_TIMEOUT)
    assert controller.reached, controller.tail()
    assert "cloud" not in controller.facts["kernel"]
    # dracut waits for its root filesystem for minutes before it says that it has none
    assert not boot([converted.source], timeout=150).reached


def test_it_boots(converted: Converted) -> None:
    booted, recipe = converted.booted, converted.recipe
    assert booted.reached, booted.tail()
    print(booted.facts, booted.network, f"{booted.seconds:.0f} s")
    assert booted.facts["failed"] == "0", booted.facts["units"]
    assert ("cloud" in booted.facts["kernel"]) == bool(recipe.own_kernel)
    renamed = {mountpoint: device.replace("/dev/sd", "/dev/vd") for mountpoint, device, _ in recipe.mounts}
    assert booted.mounts == renamed
    assert len(booted.facts["swap"].split(",")) == recipe.swaps


def test_its_nic_keeps_its_name_and_address(converted: Converted) -> None:
    assert converted.booted.network["addresses"] == f"{NIC}={ADDRESS}"
    assert converted.booted.network["links"].split(",") == [NIC, "lo"]


@pytest.mark.zoo
def test_the_default_is_a_kernel_that_virtio_has_drivers_for(converted: Converted) -> None:
    recipe = converted.recipe
    (block,) = read_files([converted.disk], ["/boot/grub2/grubenv"]).values()
    assert len(block) == 1024
    saved = dict(re.findall(r"^(\w+)=(.*)$", block.decode(), re.MULTILINE))["saved_entry"]
    if recipe.own_kernel:
        machine = identity_of(recipe, "machine").hex
        assert re.fullmatch(rf"{machine}-[0-9.-]+-cloud-amd64", saved)
    else:
        (menu,) = converted.files("/boot/grub2/grub.cfg").values()
        assert f"menuentry '{saved}'" in menu


@pytest.mark.zoo
def test_the_entries_of_its_menu(converted: Converted) -> None:
    entries = converted.files(_ENTRIES)
    assert len(entries) == (3 if converted.recipe.own_kernel else 0)
    # they name logical volumes, which have the names that they had
    assert entries == converted.original(_ENTRIES)


@pytest.mark.zoo
def test_no_old_name_of_a_disk_is_left(converted: Converted) -> None:
    paths = ["/etc/fstab", "/etc/default/grub", "/boot/grub2/grub.cfg", "/boot/grub2/device.map", "/etc/kernel/cmdline"]
    files = converted.files(*paths, _ENTRIES)
    assert {"/etc/fstab", "/etc/default/grub", "/boot/grub2/grub.cfg"} <= files.keys()
    for path, text in files.items():
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        assert not re.search(r"/dev/(sd|hd|xvd)[a-z]", "\n".join(lines)), path


@pytest.mark.zoo
def test_the_drivers_are_in_the_initramfs_and_stay_in_the_next_ones(converted: Converted) -> None:
    settings = "".join(converted.files("/etc/dracut.conf", "/etc/dracut.conf.d/*.conf").values())
    added = " ".join(re.findall(r"^\s*(?:add|force)_drivers\+=\"([^\"]*)\"", settings, re.MULTILINE)).split()
    assert {"virtio_blk", "virtio_pci"} <= set(added), settings
    changed = difference(converted.before, converted.after)
    flavour = "cloud-" if converted.recipe.own_kernel else ""
    assert [path for path in changed if re.fullmatch(rf"/boot/initramfs-[0-9.-]+-{flavour}amd64\.img", path)]
    # the system for rescues is left as it was
    assert not [path for path in changed if "rescue" in path]


@pytest.mark.zoo
def test_the_tools_of_vmware_are_gone(converted: Converted) -> None:
    installed = installed_packages([converted.disk])
    assert [name for name in installed_packages([converted.source]) if name.startswith("open-vm-tools")] == [
        "open-vm-tools",
        "open-vm-tools-desktop",
    ]
    assert not [name for name in installed if name.startswith("open-vm-tools")]
    # nothing else went with them
    assert {"bash", "systemd", "rpm", "dracut", "grub2-tools", "grub2-pc"} <= set(installed)
    assert [name for name in installed if name.startswith("kernel")]
    assert converted.files("/usr/bin/vmtoolsd", "/usr/lib/systemd/system/vmtoolsd.service") == {}


@pytest.mark.zoo
def test_a_file_that_is_changed_keeps_mode_owner_and_attributes(converted: Converted) -> None:
    changed = difference(converted.before, converted.after)
    print(*changed, sep="\n")
    for path, (before, after) in changed.items():
        if before is not None and after is not None:
            assert (before.kind, before.mode, before.owner, before.group, before.attributes) == (
                after.kind,
                after.mode,
                after.owner,
                after.group,
                after.attributes,
            ), path
