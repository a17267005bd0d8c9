# SPDX-License-Identifier: GPL-2.0-or-later
"""Edits of the registry are staged: same values are none, the last one wins, reads see the guest as it came."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.windows.registry.hives import Edit, HiveName
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE, binary, dword, expand_sz, multi_sz, sz
from v2v_core.api import Change, ChangeKind, ConversionError
from windows_guest import windows_guest

SYSTEM, SOFTWARE = HiveName.SYSTEM, HiveName.SOFTWARE
LSI = r"ControlSet001\Services\LSI_SAS"
HIVE = {
    "Select": {"Current": 1, "Default": 1},
    LSI: {"Start": 0, "Group": "SCSI miniport", "Parameters": {"BusType": 10}, "Owners": ["lsi_sas.inf"]},
}


def test_keys_and_values_are_found_in_any_capitals() -> None:
    registry = windows_guest(system=HIVE).registry
    key = registry.key(SYSTEM, r"controlset001\SERVICES\lsi_sas")
    assert key is not None
    assert (key.name, key.path) == ("LSI_SAS", LSI)
    assert key.value("start") == dword(0)
    assert key.value("ImagePath") is None
    assert key.values() == {"Start": dword(0), "Group": sz("SCSI miniport"), "Owners": multi_sz("lsi_sas.inf")}
    assert [below.path for below in key] == [rf"{LSI}\Parameters"]
    assert registry.key(SYSTEM, "ControlSet002") is None
    root = registry.key(SOFTWARE)
    assert root is not None
    assert root.path == ""


def test_edits_keep_the_spelling_of_the_hive_and_are_recorded_as_changes() -> None:
    guest = windows_guest(system=HIVE)
    registry = guest.registry
    registry.set(SYSTEM, LSI.upper(), "START", dword(3), why="w")
    registry.set(SYSTEM, rf"{LSI.lower()}\New\Sub", "", expand_sz(r"%SystemRoot%\x"), why="w")
    registry.set(SYSTEM, LSI, "group", sz("SCSI miniport"), why="the same value is no edit")
    registry.delete_value(SYSTEM, LSI, "OWNERS", why="w")
    registry.delete_key(SYSTEM, rf"{LSI}\parameters", why="w")
    registry.delete_value(SYSTEM, LSI, "missing", why="w")
    registry.delete_key(SYSTEM, r"ControlSet001\missing", why="w")
    assert registry.edits == [
        Edit(SYSTEM, LSI, "Start", dword(3), "w"),
        Edit(SYSTEM, rf"{LSI}\New\Sub", "", expand_sz(r"%SystemRoot%\x"), "w"),
        Edit(SYSTEM, LSI, "Owners", None, "w"),
        Edit(SYSTEM, rf"{LSI}\Parameters", None, None, "w"),
    ]
    after = registry.after()["ControlSet001"]["Services"]["LSI_SAS"]
    assert after == {
        "Start": dword(3),
        "Group": sz("SCSI miniport"),
        "New": {"Sub": {"": expand_sz(r"%SystemRoot%\x")}},
    }
    key = registry.key(SYSTEM, LSI)
    assert key is not None
    assert key.value("Start") == dword(0)

    registry.commit()
    path = rf"SYSTEM\{LSI}"
    assert guest.session.changes == [
        Change(path=path, what="set to 3 (REG_DWORD), was 0 (REG_DWORD)", why="w", kind=REGISTRY, value="Start"),
        Change(
            path=rf"{path}\New\Sub",
            what=r"set to '%SystemRoot%\\x' (REG_EXPAND_SZ)",
            why="w",
            kind=REGISTRY,
            value="",
        ),
        Change(path=path, what="deleted, was 'lsi_sas.inf' (REG_MULTI_SZ)", why="w", kind=REGISTRY, value="Owners"),
        Change(path=rf"{path}\Parameters", what="deleted with all below it", why="w", kind=REGISTRY),
    ]
    assert registry.edits == []
    assert registry.key(SYSTEM, rf"{LSI}\Parameters") is None


REGISTRY = ChangeKind.REGISTRY


def test_the_last_edit_of_a_value_wins() -> None:
    registry = windows_guest(system=HIVE).registry
    registry.set(SYSTEM, LSI, "Start", dword(4), why="one room")
    registry.set(SYSTEM, LSI.lower(), "sTart", dword(3), why="another room")
    assert registry.edits == [Edit(SYSTEM, LSI, "Start", dword(3), "another room")]
    registry.set(SYSTEM, LSI, "Start", dword(0), why="as it was")
    assert registry.edits == []
    registry.set(SYSTEM, r"ControlSet001\Services\New", "A", dword(1), why="w")
    registry.set(SYSTEM, r"ControlSet001\Services\NEW", "a", dword(2), why="w")
    registry.delete_value(SYSTEM, r"ControlSet001\services\new", "A", why="w")
    assert registry.edits == []


def test_a_key_that_is_deleted_can_be_made_again() -> None:
    registry = windows_guest(system=HIVE).registry
    registry.set(SYSTEM, LSI, "Start", dword(4), why="is forgotten")
    registry.delete_key(SYSTEM, LSI, why="w")
    registry.set(SYSTEM, LSI, "Start", dword(0), why="the old one is gone")
    registry.delete_value(SYSTEM, LSI, "Group", why="it is gone")
    assert registry.edits == [
        Edit(SYSTEM, LSI, None, None, "w"),
        Edit(SYSTEM, LSI, "Start", dword(0), "the old one is gone"),
    ]
    assert registry.after()["ControlSet001"]["Services"] == {"LSI_SAS": {"Start": dword(0)}}
    registry.delete_key(SYSTEM, LSI.lower(), why="again")
    assert registry.edits == [Edit(SYSTEM, LSI, None, None, "again")]


def test_the_hives_are_edited_each_for_itself() -> None:
    guest = windows_guest(system=HIVE, software={"Microsoft": {"Windows": {}}})
    guest.registry.set(SOFTWARE, r"microsoft\windows\CurrentVersion", "DevicePath", sz("x"), why="w")
    guest.registry.delete_key(SYSTEM, "Microsoft", why="not in this hive")
    assert guest.registry.after(SOFTWARE) == {"Microsoft": {"Windows": {"CurrentVersion": {"DevicePath": sz("x")}}}}
    assert guest.registry.value_after(SOFTWARE, r"MICROSOFT\Windows\currentversion", "devicepath") == sz("x")


@pytest.mark.parametrize(
    ("key", "name", "length"),
    [
        ("Key", "Name", LONGEST_VALUE + 1),
        ("K" * 256, "Name", 1),
        ("Key", "N" * 256, 1),
        ("", "Name", 1),
        (r"Key\\Sub", "Name", 1),
        ("Key", "Na\0me", 1),
    ],
)
def test_what_a_hive_cannot_have_is_refused_before_anything_is_staged(key: str, name: str, length: int) -> None:
    registry = windows_guest().registry
    with pytest.raises(ConversionError, match="cannot be set"):
        registry.set(SYSTEM, key, name, binary(bytes(length)), why="w")
    with pytest.raises(ConversionError, match="root of the hive"):
        registry.delete_key(SYSTEM, "", why="w")
    assert registry.edits == []


def test_very_many_keys_and_values_are_cut_with_a_warning() -> None:
    guest = windows_guest(
        system={"Many": {f"{number}\\": {} for number in range(5001)}, "More": {str(n): n for n in range(2001)}}
    )
    many, more = guest.registry.key(SYSTEM, "Many"), guest.registry.key(SYSTEM, "More")
    assert many is not None
    assert more is not None
    assert len(many.keys()) == 5000
    assert len(more.values()) == len(more.values()) == 2000
    assert guest.report.warnings == [
        r"SYSTEM\Many of the guest's registry: it has 5001 keys; only 5000 of them are read",
        r"SYSTEM\More of the guest's registry: it has 2001 values; only 2000 of them are read",
    ]
