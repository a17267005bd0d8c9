# SPDX-License-Identifier: GPL-2.0-or-later
"""dpkg's list of packages, even a damaged one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.packages.dpkg import installed_packages, pending_triggers

STATUS = b"""\
Package: open-vm-tools
Status: install ok installed
Version: 1

Package: man-db
Status: install ok triggers-pending

Package: gone
Status: deinstall ok config-files

Package: kept
Status: hold ok installed
"""


def test_packages() -> None:
    assert installed_packages(STATUS) == {"open-vm-tools", "man-db", "kept"}
    assert pending_triggers(STATUS) == {"man-db"}


@given(st.binary(max_size=200))
def test_a_damaged_list_of_packages_is_no_traceback(data: bytes) -> None:
    assert installed_packages(STATUS + b"\n" + data) >= {"open-vm-tools"}
