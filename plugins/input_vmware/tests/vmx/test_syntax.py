# SPDX-License-Identifier: GPL-2.0-or-later
"""The syntax of VMX files, and arbitrary bytes in their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.api import Guest
from v2v_core.testing import bounded
from v2v_input_vmware.vmx.guest import VmxDisk, guest_of
from v2v_input_vmware.vmx.syntax import parse_vmx


def read(text: str | bytes) -> tuple[Guest, tuple[VmxDisk, ...], list[str]]:
    warnings: list[str] = []
    data = text if isinstance(text, bytes) else text.encode()
    guest, disks = guest_of(parse_vmx(data, warnings.append), "from-file", warnings.append)
    return guest, disks, warnings


def test_syntax() -> None:
    warnings: list[str] = []
    vmx = parse_vmx(
        b'#!/usr/bin/vmware\r\n\r\n  # comment\r\n.encoding = "UTF-8"\r\n'
        b'displayName = "a |22quoted|22 name |7C"\r\nMemSize="64"\r\nbad line\r\nunquoted = 5\r\n'
        b'commented = "a # b" # c\r\nplain = a b # c\r\nempty =\r\n'
        b'memsize = "65"\r\nscsi0:0.present = "FALSE"\r\nscsi0:0.fileName = "a.vmdk"\r\nscsi0:01.x = "kept"\r\n',
        warnings.append,
    )
    assert vmx.get("displayname") == 'a "quoted" name |'
    assert vmx.number("memSize") == 64
    assert vmx.get("scsi0:0.fileName") is None
    assert vmx.get("scsi0:01.x") == "kept"
    assert [vmx.get(name) for name in ("unquoted", "commented", "plain", "empty")] == ["5", "a # b", "a b", ""]
    assert [line.split(" of ")[0] for line in warnings] == ["line 7", "line 12"]


def test_values_without_quotes() -> None:
    """lamw/ghettoVCB#143 and os-autoinst/os-autoinst#2184: programs wrote values without quotes, which VMware took."""
    guest, disks, warnings = read(
        "displayName = My VM 2\nmemsize = 512\nscsi0.present = TRUE\nscsi0:0.present = TRUE\n"
        "scsi0:0.fileName = system.vmdk\nide1:0.present = FALSE\nide1:0.fileName = gone.vmdk\n"
    )
    assert warnings == []
    assert (guest.name, guest.memory) == ("My VM 2", 512 * 1024 * 1024)
    assert [disk.file for disk in disks] == ["system.vmdk"]


@pytest.mark.parametrize(
    "line", ["a = " + " " * 500_000 + '"', "a" * 500_000, "a" + " " * 500_000 + "b", "a = b" * 200_000, "\n" * 500_000]
)
def test_long_lines_take_no_long_time(line: str) -> None:
    with bounded():
        read(line)


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "shift_jis"])
def test_the_file_says_how_it_is_encoded(encoding: str) -> None:
    name = "テスト" if encoding == "shift_jis" else "Bücher"
    text = f'.encoding = "{encoding}"\ndisplayName = "{name}"\n'
    assert read(text.encode(encoding))[0].name == name


@given(st.binary(max_size=400))
def test_no_file_is_a_surprise(data: bytes) -> None:
    with bounded():
        guest, disks, _ = read(data)
    assert len(guest.disks) == len(disks)
    assert guest.memory > 0


@given(st.lists(st.sampled_from(
    ['scsi0:0.fileName = "a"', 'ide1:0.deviceType = "cdrom-raw"', "ethernet0.x", 'ethernet0.address = "', "|", '= "x"',
     'numvcpus = "0"', 'cpuid.coresPerSocket = "0"', 'memSize = "-1"', 'vm.genid = "99999999999999999999"',
     'ethernet99999999999999.present = "TRUE"', 'scsi0.present = "FALSE"', ".present = \"FALSE\"", "\x85\x1c"]
)))  # fmt: skip
def test_no_combination_of_lines_is_a_surprise(lines: list[str]) -> None:
    with bounded():
        guest, disks, _ = read("\n".join(lines))
    assert len(guest.disks) == len(disks)
    assert guest.memory > 0
