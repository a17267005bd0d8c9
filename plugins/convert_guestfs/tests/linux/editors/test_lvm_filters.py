# SPDX-License-Identifier: GPL-2.0-or-later
"""The filters of lvm.conf are regular expressions: they accept the same disks under the new names."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.editors import devices_in, lvm_filters, lvm_patterns
from v2v_convert_guestfs.linux.editors.lvm_patterns import PatternError
from v2v_core.api import Bus, SourceDisk

SCSI = [SourceDisk(index=1, bus=Bus.SCSI), SourceDisk(index=2, bus=Bus.SCSI)]
NAMES = DeviceNames.of(SCSI, "vd")
WITH_VOLUME = replace(NAMES, volumes=("/dev/vda2",))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('[ "a|sda.*|", "r|.*|" ]', '[ "a|vda.*|", "r|.*|" ]'),
        ('[ "a/sd.*/", "r/.*/" ]', '[ "a/vd.*/", "r/.*/" ]'),
        ('[ "a|^/dev/(sda|sdb)|", "r|.*|" ]', '[ "a|^/dev/(vda|vdb)|", "r|.*|" ]'),
        ('[ "a|^/dev/sda[0-9]+$|", "r|.*|" ]', '[ "a|^/dev/vda[0-9]+$|", "r|.*|" ]'),
        ('[ "a(sda2)", "r{.*}" ]', '[ "a(vda2)", "r{.*}" ]'),
        ("[ 'a|/dev/s[dr]a2|', 'r|.*|' ]", "[ 'a|^/dev/(vda2)$|', 'r|.*|' ]"),
        ('[ "a|^/dev/cciss/c0d0p.*|", "r|.*|" ]', '[ "a|^/dev/(vda[0-9]+)$|", "r|.*|" ]'),
        ('[\n # "r|sda|"\n "a|sda|",\n "r|.*|" ]', '[\n # "r|sda|"\n "a|vda|",\n "r|.*|" ]'),
        # Only CD-ROM drives are called hdX in this guest.
        ('[ "r|/dev/hd.*|", "a|sd|", "r|.*|" ]', '[ "r|/dev/hd.*|", "a|vd|", "r|.*|" ]'),
        ('[ "r|/dev/sdb|" ]', '[ "r|/dev/vdb|" ]'),
        ('[ "r|^/dev/sr0$|", "a|.*|" ]',) * 2,
        ('[ "a|/dev/sda" ]',) * 2,
    ],
)
def test_filters_are_regular_expressions(old: str, new: str) -> None:
    assert devices_in.lvm_filters(f"filter = {old}\n".encode(), NAMES) == f"filter = {new}\n".encode()


@pytest.mark.parametrize(
    "before", ["\tglobal_filter=", "devices { filter = ", "devices/filter = ", "# x\n filter =\n  ", "a = 1\nfilter = "]
)
def test_filters_are_found(before: str) -> None:
    assert devices_in.lvm_filters(f'{before}[ "a|sda|" ]'.encode(), NAMES) == f'{before}[ "a|vda|" ]'.encode()


@pytest.mark.parametrize(
    "old", ['[ "a|^/dev/mapper/mpath.*|", "r|.*|" ]', '[ "a|/dev/disk/by-path/pci|", "r|.*|" ]', '"r|/dev/vd.*|"']
)
def test_the_physical_volumes_of_the_guest_are_accepted(old: str) -> None:
    (done,) = lvm_filters.filters(f"filter = {old}".encode(), WITH_VOLUME)
    assert "/dev/vda2" in done.in_front
    assert re.match(r'\[ "a\|\^/dev/\(vda(2|\[0-9\].*)\)\$\|", "[ar]\|', done.new)
    assert done.new.endswith(old.removeprefix("[").lstrip() if old[0] == "[" else f"{old} ]")
    once = devices_in.lvm_filters(f"filter = {old}".encode(), WITH_VOLUME)
    assert devices_in.lvm_filters(once, WITH_VOLUME) == once


def test_a_disk_may_have_had_several_names() -> None:
    unknown = DeviceNames.of([SourceDisk(index=1)], "vd")
    for name in ("hda2", "sda2", "nvme0n1p2", "xvda2"):
        old = f'filter = [ "a|^/dev/{name}$|", "r|.*|" ]'.encode()
        assert devices_in.lvm_filters(old, unknown) == b'filter = [ "a|^/dev/vda2$|", "r|.*|" ]'


def test_a_filter_of_a_san_is_reported_with_its_text(guest: Any) -> None:
    guest.add("/etc/lvm/lvm.conf", b'devices {\n  filter = [ "a|/dev/mapper/.*|",\n   "r|.*|" ]\n}\n')
    guest.add("/etc/lvm/lvmlocal.conf", b'devices {\n  global_filter = [ "a|sda2|", "r|.*|" ]\n}\n')
    block_devices.rename_devices(guest.session, guest.files, WITH_VOLUME)
    assert b'"a|^/dev/(vda2)$|", "a|/dev/mapper/.*|"' in guest.read("/etc/lvm/lvm.conf")
    assert b'[ "a|vda2|", "r|.*|" ]' in guest.read("/etc/lvm/lvmlocal.conf")
    (warning,) = guest.report.warnings
    assert '[ "a|/dev/mapper/.*|", "r|.*|" ]' in warning
    assert "/dev/vda2" in warning


def test_the_physical_volumes_are_those_below_mounted_file_systems(guest: Any) -> None:
    volumes = {"/dev/sda2": "a-1", "/dev/sdb1": "b-2", "/dev/sdb2": "c-3", "/dev/md0": "d-4"}
    guest.handle.is_lv = lambda device: device.count("/") == 3
    guest.handle.lvm_canonical_lv_name = lambda device: device
    guest.handle.vgpvuuids = lambda group: {"vg": ["a1", "c3", "d4"], "other": ["b2"]}[group]
    guest.handle.pvs = lambda: list(volumes)
    guest.handle.pvuuid = volumes.__getitem__
    mounted = (("/", "/dev/vg/root"), ("/home", "/dev/vg/home"), ("/boot", "/dev/sda1"))
    guest.session.found = replace(guest.session.found, mountpoints=mounted)
    assert block_devices.physical_volumes(guest.session, NAMES) == ("/dev/vda2", "/dev/vdb2")

    def fail(_group: str) -> list[str]:
        raise RuntimeError("vgs: no such volume group")

    guest.handle.vgpvuuids = fail
    assert block_devices.physical_volumes(guest.session, NAMES) == ()
    assert "no such volume group" in guest.report.warnings[0]


@pytest.mark.parametrize(
    ("expression", "name", "matches"),
    [
        ("a.c", "xabcx", True),
        ("^a.c$", "xabcx", False),
        ("a|b", "cb", True),
        ("(ab)+c", "ababc", True),
        ("(ab)+c", "c", False),
        ("[^a-c]x", "ax", False),
        ("[^a-c]x", "dx", True),
        (r"\.", "a", False),
        (r"\.", ".", True),
        ("{2}", "aa", False),
        ("", "a", True),
        ("a?$", "b", True),
        ("[]x]", "]", True),
    ],
)
def test_expressions(expression: str, name: str, matches: bool) -> None:
    assert lvm_patterns.matcher(expression)(name) is matches


@given(st.text(alphabet="ab.|()*+?[]^$\\", max_size=12), st.text(alphabet="ab", max_size=6))
def test_expressions_match_as_those_of_python_do(expression: str, name: str) -> None:
    try:
        found = lvm_patterns.matcher(expression)(name)
    except PatternError:
        return
    # Where Python reads the signs in another way, they are left out: (?x), a*?, a*+, [[ and escapes with a meaning.
    if re.search(r"\(\?|[*+?]{2}|\[|\\[ab]|[\^$(|][*+?]", expression):
        return
    assert found is bool(re.search(expression.replace("$", r"\Z"), name))


@pytest.mark.parametrize("expression", ["(a*)*" * 40 + "b", "((((((a*)*)*)*)*)*)*b", "(a|a)*" * 50 + "b"])
def test_no_expression_takes_long(expression: str) -> None:
    started = time.monotonic()
    assert not lvm_patterns.matcher(expression)("a" * 30)
    assert time.monotonic() - started < 2


def test_no_file_takes_long() -> None:
    started = time.monotonic()
    for data in (b"filter = [\n" * 90_000, b'filter = [ "' * 80_000, b"filter" * 160_000):
        assert devices_in.lvm_filters(data, NAMES) == data
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("expression", ["(", ")", "[a", "*a", "a|*", "\\", "(" * 20 + ")" * 20, "a" * 1000])
def test_damaged_expressions(expression: str) -> None:
    with pytest.raises(PatternError):
        lvm_patterns.matcher(expression)
