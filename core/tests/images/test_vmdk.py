# SPDX-License-Identifier: GPL-2.0-or-later
"""VMDK descriptors: lines that VMware's programs write, other lines, and how qemu reads both."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.images.vmdk import Descriptor, Extent, parse_descriptor


@pytest.mark.parametrize(
    ("line", "extent"),
    [
        ('RW 4192256 SPARSE "disk-s001.vmdk"', Extent("disk-s001.vmdk", sparse=True)),
        ('RW 63 FLAT "disk-flat.vmdk" 0', Extent("disk-flat.vmdk", sparse=False)),
        ('RW 63 VMFS "a name-flat.vmdk"\r', Extent("a name-flat.vmdk", sparse=False)),
        ('\tRW  63  VMFSSPARSE\t"x-delta.vmdk" ', Extent("x-delta.vmdk", sparse=True)),
        ('RW 63 SESPARSE "x-sesparse.vmdk"', Extent("x-sesparse.vmdk", sparse=True)),
    ],
)
def test_extents(line: str, extent: Extent) -> None:
    text = f'# Disk DescriptorFile\nversion=1\n# Extent description\n{line}\nddb.adapterType = "lsilogic"\n'
    assert parse_descriptor(text.encode()).extents == (extent,)


@pytest.mark.parametrize(
    "line",
    [
        "RW 2 ZERO",
        'RW 2 VMFSRDM "lun-rdmp.vmdk"',
        'RW 2 VMFSRAW "lun"',
        'RDONLY 2 FLAT "a" 0',
        'NOACCESS 2 FLAT "a" 0',
        'RW +2 FLAT "a" 0',
        'RW 2FLAT "a" 0',
        'RW 2 FLAT "a',
        'RW 2 FLAT a" 0',
        "RW",
        f'RW 2 FLAT "{"a" * 512}" 0',
    ],
)
def test_extents_that_qemu_leaves_out_or_reads_otherwise(line: str) -> None:
    """Without an error, a part of the disk would be missing in the converted guest."""
    with pytest.raises(ValueError, match=r"extent|descriptor"):
        parse_descriptor(f"version=1\n{line}\n".encode())


def test_what_comes_after_the_first_nul_is_not_read() -> None:
    assert parse_descriptor(b'version=1\n\0RW 2 FLAT "a" 0\n') == Descriptor()


def test_an_embedded_descriptor_names_its_own_file() -> None:
    """Programs write any name and access mode into the descriptors of stream-optimized disks."""
    assert parse_descriptor(b'RDONLY 2 SPARSE "call-me-stream.vmdk"\n', embedded=True) == Descriptor()
    with pytest.raises(ValueError, match="one of the 2 extents"):
        parse_descriptor(b'RW 2 SPARSE "a"\nRW 2 SPARSE "b"\n', embedded=True)


_SPACES = st.sampled_from([" ", " ", " ", "\t", "  ", "", "\n", "\r", "\v", "\x1c"])
_LINES = st.tuples(
    st.sampled_from(["", "", " ", "\v", "#"]),
    st.sampled_from(["RW", "RW", "RDONLY", "rw", "RW="]),
    _SPACES,
    st.sampled_from(["2", "2", "+2", "-1", "0x2", "", "\u0662"]),
    _SPACES,
    st.sampled_from(["FLAT", "FLAT", "SPARSE", "VMFS", "ZERO", "flat", ""]),
    _SPACES,
    st.sampled_from(['"a"', '"/etc/hostname"', '"', '"a', "a", f'"{"b" * 511}"', f'"{"c" * 512}"', '"\xa0"', '""']),
    _SPACES,
    st.sampled_from(["0", "0", "", "0 x", "+1", '"']),
    st.sampled_from(["\n", "\n", "\r\n", "", "\0"]),
).map("".join)


@given(st.lists(_LINES, max_size=4))
def test_every_file_that_qemu_opens_is_found(lines: list[str]) -> None:
    """Compare with sscanf(3), by which qemu finds the extents (vmdk_parse_extents)."""
    data = "".join(lines).encode()
    opened = opened_by_qemu(data)
    try:
        found = [extent.name.encode() for extent in parse_descriptor(data).extents]
    except ValueError:
        return
    assert set(opened) <= set(found)


def opened_by_qemu(data: bytes) -> list[bytes]:
    """Return the file names that qemu reads from a descriptor."""
    sscanf = ctypes.CDLL(None).sscanf
    opened = []
    lines = data.split(b"\0")[0].split(b"\n")
    for number in range(len(lines)):
        access, kind, name = (ctypes.create_string_buffer(size) for size in (11, 11, 512))
        sectors, offset = ctypes.c_int64(), ctypes.c_int64(-1)
        pointers = [ctypes.byref(sectors), kind, name, ctypes.byref(offset)]
        rest = b"\n".join(lines[number:])
        matches = sscanf(rest, b'%10s %ld %10s "%511[^\n\r"]" %ld', access, *pointers)
        kinds = {b"FLAT": 5, b"SPARSE": 4, b"VMFS": 4}
        if matches >= 4 and access.value == b"RW" and sectors.value > 0 and kinds.get(kind.value) == matches:
            opened.append(name.value)
    return opened
