# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests are what they say, by readers that have nothing to do with their making."""

from __future__ import annotations

from pathlib import Path

import pytest

from windows_images.build import disks
from windows_images.look import HIVES, Hive, opened, read_hive, registry_differences
from windows_images.real_hives import NoHives
from windows_images.recipes import DAILY, RECIPES
from windows_images.regf import at, dword, edit_hive, merged, sz, write_hive

pytestmark = pytest.mark.slow

#: What dissect takes each for: product and version, processor, static addresses.
PRODUCTS = {
    "7-real": ("Windows 7 Ultimate (NT 6.1) 7601 Service Pack 1", "x86_32-win32", ("10.3.58.5", "192.168.1.123")),
    "10-real-system-made-software": ("Windows 10 Pro (NT 10.0) 19044.2000", "amd64-win64", ()),
    "xp-phony": ("Microsoft Windows XP (NT 5.1) 2600 Service Pack 3", "x86_32-win32", ("192.0.2.10",)),
    "2008-phony": (
        "Windows Server (R) 2008 Standard (NT 6.0) 6002 Service Pack 2",
        "amd64-win64",
        ("192.0.2.10",),
    ),
    "8.1-phony": ("Windows 8.1 Pro (NT 6.3) 9600", "amd64-win64", ()),
    "11-phony": ("Windows 11 Pro (NT 10.0) 22631.2000", "amd64-win64", ()),
    "2022-phony": ("Windows Server 2022 Standard (NT 10.0) 20348.2000", "amd64-win64", ("192.0.2.10",)),
    "2025-phony": ("Windows Server 2025 Datacenter (NT 10.0) 26100.2000", "amd64-win64", ("192.0.2.10",)),
    "2025-phony-bios": ("Windows Server 2025 Datacenter (NT 10.0) 26100.2000", "amd64-win64", ("192.0.2.10",)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DAILY else pytest.mark.zoo) for name in sorted(RECIPES)]
)
def test_a_forensic_reader_takes_it_for_the_right_windows(name: str) -> None:
    try:
        images = disks(RECIPES[name])
    except NoHives as reason:
        pytest.skip(str(reason))
    with opened(*images) as looked:
        product, architecture, addresses = PRODUCTS[name]
        assert looked.product == product
        assert looked.architecture == architecture
        assert set(looked.addresses) >= set(addresses)
        assert looked.files
        assert all(looked.hives.values())
        if RECIPES[name].driver_database:
            assert any(key.startswith("driverdatabase\\driverpackages\\") for key in looked.hives["SYSTEM"])
        else:
            assert any("criticaldevicedatabase\\pci#ven_1000" in key for key in looked.hives["SYSTEM"])


def test_the_comparison_of_hives_sees_what_came_what_went_and_what_changed(tmp_path: Path) -> None:
    import hivex

    path = tmp_path / "SYSTEM"
    write_hive(path, {"Gone": {"Below": {"x": sz("1")}}, "Kept": {"Same": dword(1), "Other": dword(1), "Lost": sz("")}})
    others: dict[str, Hive] = {name: {} for name in HIVES}
    before = others | {"SYSTEM": read_hive(path)}
    edit_hive(path, merged(at(r"Kept\New", {"": sz("value")}), {"Empty": {}}))
    hive = hivex.Hivex(str(path), write=True)
    hive.node_delete_child(hive.node_get_child(hive.root(), "Gone"))
    kept = hive.node_get_child(hive.root(), "Kept")
    hive.node_set_values(
        kept, [{"key": "Same", "t": 4, "value": b"\1\0\0\0"}, {"key": "Other", "t": 4, "value": bytes(4)}]
    )
    hive.commit(None)
    after = others | {"SYSTEM": read_hive(path)}
    found = [(each.key, each.name, each.gone) for each in registry_differences(before, after)]
    assert sorted(found, key=str) == [
        ("empty", None, False),
        ("gone", None, True),
        ("kept", "lost", True),
        ("kept", "other", False),
        ("kept\\new", "", False),
    ]
