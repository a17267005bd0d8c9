# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests of whole conversions: real guests, built once; a place for each run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from described import NIC_ADDRESS, ConvertedInPlace, convert_described
from guests.build import disks
from guests.disk_images import overlay
from guests.look import read_files
from guests.recipes import RECIPES
from runs import Fingerprint, Place, new_place


@pytest.fixture
def place() -> Iterator[Place]:
    """Yield a place for runs, and check at the end that they left nothing."""
    with new_place() as made:
        yield made


@pytest.fixture(scope="session")
def vmware_guest() -> Path:
    """Return the disk of a Debian 12 guest as an administrator left it on VMware; it does not boot on virtio."""
    (image,) = disks(RECIPES["debian12-vmware"])
    return image


@pytest.fixture
def unchanged_vmware_guest(vmware_guest: Path) -> Iterator[Path]:
    """Yield the same disk, and check at the end that it was not changed."""
    before = Fingerprint.of(vmware_guest)
    yield vmware_guest
    assert Fingerprint.of(vmware_guest) == before


@pytest.fixture(scope="session")
def two_disk_guest() -> tuple[Path, Path]:
    """Return the two disks of a guest with GPT, a separate /boot, swap, and a data disk."""
    name = next(name for name in RECIPES if name.endswith("two-disks"))
    first, second = disks(RECIPES[name])
    return first, second


@pytest.fixture(scope="session")
def static_address_guest() -> Path:
    """Return the disk of a guest with a static address on ens192, the name that its NIC has on VMware."""
    (image,) = disks(RECIPES["debian12-static-address"])
    return image


@pytest.fixture(scope="session")
def converted_in_place(static_address_guest: Path) -> Iterator[ConvertedInPlace]:
    """Convert an overlay on the guest with a static address, once for all tests that look at the result."""
    before = Fingerprint.of(static_address_guest)
    with new_place() as place:
        disk = overlay(static_address_guest, place.root / "disk.qcow2")
        metadata = convert_described(place, [disk], mac=NIC_ADDRESS.upper())
        assert Fingerprint.of(static_address_guest) == before
        paths = ["/etc/fstab", "/etc/network/interfaces", "/etc/systemd/network/*.link"]
        yield ConvertedInPlace(disk, metadata, read_files([disk], paths))


@pytest.fixture(scope="session")
def lvm_filter_guest() -> Path:
    """Return the disk of a guest in a volume group, with a filter of LVM that names the disks of its source."""
    (image,) = disks(RECIPES["debian13-lvm-filter"])
    return image
