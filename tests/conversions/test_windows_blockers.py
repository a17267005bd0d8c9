# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows guests that cannot be converted: everything is told at once, with what to do, and nothing is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs import Place
from windows_images import variants
from windows_images.build import build_in
from windows_images.converting import refused
from windows_images.real_hives import NoHives
from windows_images.recipe import Windows
from windows_images.recipes import SERVER_2022, WINDOWS_7, WINDOWS_8_1

pytestmark = pytest.mark.slow


def images_of(recipe: Windows, place: Place, variant: variants.Variant) -> list[Path]:
    """Make the disks of a guest in that state; they are of no use for another test."""
    work = place.root / "guest"
    work.mkdir()
    changed = variant(recipe)
    try:
        build_in(changed, work)
    except NoHives as reason:
        pytest.skip(str(reason))
    return [work / name for name in changed.disk_names]


def test_two_reasons_on_the_real_windows_7_are_told_together(place: Place) -> None:
    both = variants.several(variants.half_updated, variants.no_new_devices)
    said = refused(place, images_of(WINDOWS_7, place, both))
    assert "half installed" in said
    assert "finish its updates" in said
    assert "forbids it to install virtio" in said
    assert "lift the device installation restrictions" in said


#: Words of the reason, and words of the remedy.
_REASONS: dict[str, tuple[Windows, variants.Variant, tuple[str, ...]]] = {
    "hibernated and dirty": (
        *(WINDOWS_7, variants.several(variants.hibernated, variants.marked_dirty)),
        ("hiberfil.sys", "powercfg", "dirty", "chkdsk"),
    ),
    "dirty hives": (
        *(WINDOWS_7, variants.several(variants.dirty_system_hive, variants.dirty_software_hive)),
        ("SYSTEM", "SOFTWARE", "shut"),
    ),
    "dirty hive and policy": (
        *(SERVER_2022, variants.several(variants.dirty_software_hive, variants.in_setup)),
        ("SOFTWARE", "shut", "setup"),
    ),
    "dynamic disk": (WINDOWS_8_1, variants.dynamic_disk, ("LDM", "basic disk")),
    "setup and updates": (
        *(SERVER_2022, variants.several(variants.in_setup, variants.half_updated)),
        ("SystemSetupInProgress", "half installed"),
    ),
    "domain controller and cluster": (
        *(SERVER_2022, variants.several(variants.running_domain_controller, variants.cluster_node)),
        ("domain controller", "failover cluster", "Remove-ClusterNode"),
    ),
    "no room": (WINDOWS_8_1, variants.full, ("space", "free")),
}


@pytest.mark.zoo
@pytest.mark.parametrize("state", sorted(_REASONS))
def test_why_not_and_what_to_do(place: Place, state: str) -> None:
    recipe, variant, words = _REASONS[state]
    said = refused(place, images_of(recipe, place, variant))
    for word in words:
        assert word in said, said


@pytest.mark.zoo
def test_a_boot_driver_for_another_processor_and_a_policy(place: Place) -> None:
    from virtio_win_tree import make_tree

    drivers = make_tree(place.root / "virtio-win", systems=("w7",))
    for directory in ("viostor/w7", "i386/w7", "amd64/w7"):
        wrong = (drivers / "viostor/w7/amd64/viostor.sys").read_bytes()
        for path in (drivers / directory).rglob("viostor.sys"):
            path.write_bytes(wrong)
    said = refused(place, images_of(WINDOWS_7, place, variants.no_new_devices), drivers=drivers)
    assert "viostor" in said
    assert "processor" in said or "machine" in said or "64-bit" in said, said
    assert "forbids it to install virtio" in said
