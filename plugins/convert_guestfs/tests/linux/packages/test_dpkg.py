# SPDX-License-Identifier: GPL-2.0-or-later
"""dpkg's list of packages, even a damaged one, and the packages that it does not remove."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.packages.dpkg import installed_packages, pending_triggers, problems

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


#: What dpkg 1.21 writes.
REFUSAL = """\
dpkg: dependency problems prevent removal of open-vm-tools:
 acme depends on foo | open-vm-tools; however:
  Package foo is not installed.
  Package open-vm-tools is to be removed.
 beta pre-depends on vmtools; however:
  Package vmtools is not installed.
 gamma:i386 depends on open-vm-tools (>= 2:11).

dpkg: error processing package open-vm-tools (--remove):
 dependency problems - not removing
dpkg: dependency problems prevent removal of libx:amd64:
 open-vm-tools depends on libx.

dpkg: error processing package libx:amd64 (--remove):
 dependency problems - not removing
Errors were encountered while processing:
 open-vm-tools
 libx:amd64
"""


def test_the_problems_of_dpkg() -> None:
    assert problems("command: " + REFUSAL) == {"open-vm-tools": ("acme", "beta", "gamma"), "libx": ("open-vm-tools",)}
    assert problems("dpkg: error: dpkg frontend lock was locked by another process") == {}


@given(st.text(max_size=200))
def test_no_message_of_dpkg_is_a_traceback(text: str) -> None:
    problems(f"dpkg: dependency problems prevent removal of {text}:\n {text} depends on {text}\n")
