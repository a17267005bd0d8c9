# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests of whole conversions: real guests, built once; a place for each run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guests.build import disks
from guests.recipes import RECIPES
from runs import Fingerprint, Place, new_place


@pytest.fixture
def place() -> Iterator[Place]:
    """Give a place for runs, and see at the end that they left nothing."""
    with new_place() as made:
        yield made


@pytest.fixture(scope="session")
def vmware_guest() -> Path:
    """Give the disk of a Debian 12 guest as an administrator left it on VMware; it does not boot on virtio."""
    (image,) = disks(RECIPES["debian12-vmware"])
    return image


@pytest.fixture
def unchanged_vmware_guest(vmware_guest: Path) -> Iterator[Path]:
    """Give the same disk, and see at the end that nobody touched it."""
    before = Fingerprint.of(vmware_guest)
    yield vmware_guest
    assert Fingerprint.of(vmware_guest) == before


@pytest.fixture(scope="session")
def two_disk_guest() -> tuple[Path, Path]:
    """Give the two disks of a guest with GPT, a separate /boot, swap, and a data disk."""
    name = next(name for name in RECIPES if name.endswith("two-disks"))
    first, second = disks(RECIPES[name])
    return first, second


@pytest.fixture(scope="session")
def static_address_guest() -> Path:
    """Give the disk of a guest with a static address on ens192, the name that its NIC has on VMware."""
    (image,) = disks(RECIPES["debian12-static-address"])
    return image
