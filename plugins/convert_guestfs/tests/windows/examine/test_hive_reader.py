# SPDX-License-Identifier: GPL-2.0-or-later
"""The other reader of hives: what it reads, and that a damaged hive is a fact that is not known."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from boot_guest import make_hive
from v2v_convert_guestfs.windows.examine.hive_reader import RegipyReader
from v2v_convert_guestfs.windows.examine.verdicts import UnknownError
from v2v_convert_guestfs.windows.registry.values import binary, dword, expand_sz, multi_sz, qword, sz

KEY = r"ControlSet001\Services\viostor"


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    values = {
        "Start": dword(0),
        "Big": qword(2**40),
        "Group": sz("SCSI miniport"),
        "ImagePath": expand_sz(r"System32\drivers\viostor.sys"),
        "Owners": multi_sz("oem5.inf", "b\u00e4"),
        "Data": binary(b"\1\xff\0\0"),
        "": sz("default"),
    }
    services = {f"Service{number:03}": {"Start": dword(3)} for number in range(200)}
    content = {"ControlSet001": {"Services": {"viostor": values, **services}}}
    return make_hive(tmp_path_factory.mktemp("hive"), content)


def test_values_of_all_types(hive: bytes, tmp_path: Path) -> None:
    file = tmp_path / "SYSTEM"
    file.write_bytes(hive)
    reader = RegipyReader(file)
    assert reader.values(KEY.upper()) == {
        "start": 0,
        "big": 2**40,
        "group": "SCSI miniport",
        "imagepath": r"System32\drivers\viostor.sys",
        "owners": ("oem5.inf", "b\u00e4"),
        "data": b"\1\xff\0\0",
        "": "default",
    }
    assert reader.values(r"controlset001\services\SERVICE199") == {"start": 3}
    assert reader.values(r"ControlSet001\Services") == {}
    assert reader.values(r"ControlSet002\Services\viostor") is None


def test_the_root_is_the_key_that_the_header_names(hive: bytes, tmp_path: Path) -> None:
    """Programs other than Windows write hives whose first cell is not the root."""
    changed = bytearray(hive)
    name = hive.index(b"ControlSet001")
    node = hive.rindex(b"nk", 0, name)
    changed[36:40] = (node - 4 - 4096).to_bytes(4, "little")
    file = tmp_path / "SYSTEM"
    file.write_bytes(changed)
    assert RegipyReader(file).values(r"Services\Service000") == {"start": 3}
    assert RegipyReader(file).values(r"ControlSet001\Services") is None


def test_a_damaged_hive_is_a_fact_that_is_not_known(hive: bytes, tmp_path: Path) -> None:
    chance = random.Random(13)  # noqa: S311 - the same damage each time
    file, unknown = tmp_path / "SYSTEM", 0
    for _ in range(150):
        damaged = bytearray(hive)
        for _ in range(chance.choice((1, 10, 100))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
        file.write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
        try:
            RegipyReader(file).values(KEY)
        except UnknownError as err:
            assert "cannot be read" in str(err)
            unknown += 1
    assert 10 < unknown < 150
