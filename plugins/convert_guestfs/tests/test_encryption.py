# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys: which device each is for, and what is refused without showing the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.encryption import Key, mapper_name, parse_key, why_locked
from v2v_core.api import (
    ConversionError,
    SourceDisk,
)


@pytest.mark.parametrize(
    ("identity", "device", "uuid", "fits"),
    [
        ("all", "/dev/sda2", "", True),
        ("/dev/sda2", "/dev/sda2", "", True),
        ("/dev/sda2", "/dev/sda3", "", False),
        ("UUID=AB-1", "/dev/sda2", "ab-1", True),
        ("ab-1", "/dev/sda2", "ab-1", True),
        ('UUID="ab-1"', "/dev/sda2", "ab-1", True),
        ("UUID=", "/dev/sda2", "", False),
        ("/dev/mapper/my--vg-root", "/dev/my-vg/root", "", True),
        ("/dev/my-vg/root", "/dev/my-vg/root", "", True),
        ("/dev/nvme0n1p2", "/dev/sda2", "", True),
        ("/dev/vdb1", "/dev/sdb1", "", True),
    ],
)
def test_what_a_key_is_for(identity: str, device: str, uuid: str, fits: bool) -> None:
    names = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "sd")
    assert Key(identity, "secret").fits(device, uuid, names) is fits


def test_keys_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"s3cret\xff\xfe")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "nul").write_bytes(b"s3cret\0x")
    for selector in ("/dev/sda2:clevis", *(f"all:file:{tmp_path}/{name}" for name in ("binary", "empty", "nul", "no"))):
        with pytest.raises(ConversionError) as caught:
            parse_key(selector)
        assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    (tmp_path / "key").write_bytes(b" two words \n")
    assert parse_key(f"UUID=1:file:{tmp_path}/key") == Key("UUID=1", " two words ")


def test_mapper_names() -> None:
    assert mapper_name("/dev/a-b/c-d") == "/dev/mapper/a--b-c--d"
    assert mapper_name("/dev/sda1") == "/dev/sda1"


def test_keys(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert parse_key(f"/dev/sda2:file:{tmp_path}/key").secret == "s3cret"
    assert parse_key("all:key:a:key:b").secret == "a:key:b"
    assert "s3cret" not in repr(parse_key("all:key:s3cret"))
    with pytest.raises(ConversionError) as caught:
        parse_key("s3cret")
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        ("cryptsetup: Not enough available memory to open a keyslot.", "--memsize 4096"),
        ("cryptsetup: killed by signal 9", "--memsize 4096"),
        ("Unmet LUKS2 requirements detected.", "newer cryptsetup"),
        ("Check that kernel supports aes-adiantum-plain64 cipher", "newer cryptsetup"),
        ("Activation of partially decrypted BITLK device is not supported.", "resume BitLocker at the source"),
        ("No key available with this passphrase.", "check the key"),
    ],
)
def test_a_limit_of_the_appliance_is_not_told_as_a_wrong_key(failure: str, hint: str) -> None:
    """See apptainer/singularity#4162 and agama-project/agama#2907: keys of LUKS2 that need 1 GB, on a small machine."""
    reason, remedy = why_locked("/dev/sda2", failure)
    assert reason.startswith("the encrypted device /dev/sda2 cannot be opened")
    assert failure in reason
    assert hint in remedy
    assert ("with the keys given" in reason) is (hint == "check the key")
