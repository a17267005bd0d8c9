# SPDX-License-Identifier: GPL-2.0-or-later
"""The readers of drivers (PE) and of catalogues, on real drivers and on damaged ones."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.windows.virtio_win.catalogue import Trust, read_catalogue
from v2v_convert_guestfs.windows.virtio_win.programs import NATIVE, file_digest, read_program
from v2v_core.testing import bounded
from virtio_win_catalogue import Signer, authenticode_digest, catalogue
from virtio_win_tree import DRIVER, driver_files, program

_FILES = driver_files(DRIVER["viostor"], "w10", "amd64")


@pytest.mark.parametrize(("name", "machine"), [("x86", 0x14C), ("amd64", 0x8664), ("ARM64", 0xAA64)])
@pytest.mark.parametrize("version", [(5, 1), (6, 1), (10, 0)])
def test_a_driver_says_its_machine_and_windows(name: str, machine: int, version: tuple[int, int]) -> None:
    found = read_program(program(name, "x", version))
    assert found is not None
    assert (found.machine, found.version, found.subsystem) == (machine, version, NATIVE)
    assert found.complete
    assert not found.signed


def test_a_driver_that_was_cut_off_is_not_complete() -> None:
    data = _FILES["viostor.sys"]
    for size in (len(data) - 1, 1024):
        found = read_program(data[:size])
        assert found is None or not found.complete


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_the_hash_of_a_driver_leaves_its_checksum_and_signature_out(algorithm: str) -> None:
    data = bytearray(_FILES["viostor.sys"])
    digest = file_digest(bytes(data), algorithm)
    assert digest == authenticode_digest(bytes(data), algorithm)
    head = int.from_bytes(data[0x3C:0x40], "little")
    data[head + 24 + 64] ^= 0xFF
    assert file_digest(bytes(data), algorithm) == digest
    data[-1] ^= 0xFF
    assert file_digest(bytes(data), algorithm) != digest


def test_the_hash_of_a_driver_is_that_of_osslsigncode(tmp_path: Path) -> None:
    """Another reader (osslsigncode) computes the same hash, and finds it in the catalogue."""
    if (tool := shutil.which("osslsigncode")) is None:
        pytest.fail("osslsigncode is not installed; ./setup-system installs it")
    for name, data in _FILES.items():
        (tmp_path / name).write_bytes(data)
    words = [tool, "verify", "-catalog", str(tmp_path / "viostor.cat"), "-in", str(tmp_path / "viostor.sys")]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    assert f"Calculated message digest : {file_digest(_FILES['viostor.sys'], 'sha256').hex().upper()}" in said
    assert "File is signed in catalog" in said


@pytest.mark.parametrize(
    ("signer", "trust", "name"),
    [
        (Signer.MICROSOFT, Trust.MICROSOFT, "Microsoft Windows Hardware Compatibility Publisher"),
        (Signer.VENDOR, Trust.CROSS_SIGNED, "Red Hat, Inc."),
        (Signer.TEST, Trust.TEST, "WDKTestCert builder,132654"),
    ],
)
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_catalogue_says_who_signed_what(signer: Signer, trust: Trust, name: str, algorithm: str) -> None:
    files = {"a.sys": _FILES["viostor.sys"], "a.inf": b"[Version]\r\n"}
    found = read_catalogue(catalogue(files, signer, algorithm, issued=2014))
    assert found is not None
    assert (found.trust, found.signer, found.digest) == (trust, name, algorithm)
    assert found.issued is not None
    assert found.issued.year == 2014
    assert found.members == {file_digest(data, algorithm) for data in files.values()}
    assert found.algorithms == {algorithm}


def test_the_members_of_a_long_catalogue_are_read_in_time() -> None:
    files = {f"{number}.sys": str(number).encode() for number in range(3000)}
    data = catalogue(files, Signer.MICROSOFT)
    with bounded():
        found = read_catalogue(data)
    assert found is not None
    assert len(found.members) == 3000


@given(st.binary(max_size=500))
def test_any_content_reads_as_no_driver_and_no_catalogue(data: bytes) -> None:
    with bounded():
        assert read_catalogue(data) is None
        assert read_program(data) is None or data.startswith(b"MZ")
        file_digest(data, "sha256")


@given(st.data())
def test_damaged_ones_are_read_or_refused(data: st.DataObject) -> None:
    for name in ("viostor.sys", "viostor.cat"):
        content = bytearray(_FILES[name])
        limit = min(len(content), 600) if name.endswith("sys") else len(content)
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, limit - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(content)))
        with bounded():
            for damaged in (bytes(content), bytes(content[:cut])):
                read_program(damaged)
                file_digest(damaged, "sha1")
                found = read_catalogue(damaged)
                assert found is None or all(len(member) in {20, 32} for member in found.members)
