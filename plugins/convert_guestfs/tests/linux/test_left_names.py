# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that name disks and are not edited: a warning names their lines."""

from __future__ import annotations

from typing import Any

import pytest

from disk_guest import renamed, with_disks
from v2v_core.api import Bus


@pytest.mark.parametrize(
    ("path", "text", "line", "named"),
    [
        # google/oracle-toolkit#41 and oravirt/ansible-oracle#592.
        ("/etc/sysconfig/oracleasm", b'A=1\nORACLEASM_SCANORDER="dm sd"\n', 2, "ORACLEASM_SCANORDER=dm sd"),
        ("/etc/udev/rules.d/99-oracle.rules", b'# sdb\nKERNEL=="sd?1", OWNER="grid"\n', 2, "sd?1"),
        ("/etc/udev/rules.d/60-raw.rules", b'ACTION=="add", KERNEL=="sdb1", RUN+="raw /dev/raw/raw1 %N"\n', 1, "sdb1"),
        (
            "/etc/udev/rules.d/55.rules",
            b'ENV{ID_SERIAL}=="36000c29", SYMLINK+="asm"\n',
            1,
            'ENV{ID_SERIAL}=="36000c29"',
        ),
        ("/etc/sysconfig/rawdevices", b"\n/dev/raw/raw1 /dev/sda3\n", 2, "/dev/sda3"),
        ("/etc/auto.data", b"x -fstype=ext4 :/dev/sda3\n", 1, "/dev/sda3"),
        ("/etc/rc.local", b"#!/bin/sh\nblockdev --setra 4096 /dev/sd*\n", 2, "/dev/sd*"),
        ("/etc/drbd.d/r0.res", b"disk /dev/sda7;\n", 1, "/dev/sda7"),
    ],
)
def test_other_files_are_reported_with_the_line(guest: Any, path: str, text: bytes, line: int, named: str) -> None:
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4"})
    guest.add(path, text)
    renamed(guest)
    assert guest.read(path) == text
    (warning,) = guest.report.warnings
    assert warning.startswith(f"{path} in the guest, line {line} (")
    assert named in warning
    assert "check it by hand" in warning


def test_other_files_without_disks_are_not_reported(guest: Any) -> None:
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4"})
    guest.add("/etc/sysconfig/oracleasm", b'ORACLEASM_SCANORDER=""\nORACLEASM_SCANEXCLUDE=""\n')
    guest.add("/etc/udev/rules.d/70-net.rules", b'SUBSYSTEM=="net", KERNEL=="eth*", NAME="eth0"\n')
    guest.add("/etc/rc.local", b"#!/bin/sh\n# hdparm /dev/sda\nexit 0\n")
    renamed(guest)
    assert guest.report.warnings == []
