# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of a Windows guest are found in any capitals, and written beside before they replace the old ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_core.api import ConversionError
from windows_guest import windows_guest

FILES = {"/Windows/System32/drivers/LSI_SAS.SYS": b"MZ", "/Windows/inf/oem1.inf": b"[Version]\r\n"}


def test_paths_in_any_capitals() -> None:
    files = windows_guest(FILES).files
    assert files.find("/WINDOWS/system32/Drivers/lsi_sas.sys") == "/Windows/System32/drivers/LSI_SAS.SYS"
    assert files.find("/windows/nowhere/x") is None
    assert files.is_file("/windows/INF/OEM1.inf")
    assert not files.is_file("/windows/INF")
    assert files.names("/windows/inf") == ("oem1.inf",)
    assert files.names("/windows/inf/oem1.inf") == ()
    assert files.size("/windows/inf/OEM1.INF") == 11
    assert files.read("/windows/inf/OEM1.INF") == b"[Version]\r\n"
    assert files.read_start("/windows/inf/OEM1.INF", 4) == b"[Ver"


def test_a_file_that_is_too_long_is_left_alone() -> None:
    guest = windows_guest(FILES)
    assert guest.files.read("/Windows/inf/oem1.inf", limit=10) is None
    assert "11 bytes are too many" in guest.report.warnings[0]


def test_files_are_created_and_replaced(tmp_path: Path) -> None:
    guest = windows_guest(FILES, place=tmp_path)
    source = tmp_path / "viostor.sys"
    source.write_bytes(b"driver")
    guest.files.create("/windows/system32/DRIVERS/viostor.sys", source, why="w")
    guest.files.create("/Windows/Drivers/VirtIO/netkvm.inf", b"x" * 3_000_000, why="w")
    guest.files.create("/Windows/INF/OEM1.INF", b"new", why="w")
    assert guest.files.written == {
        "/Windows/System32/drivers/viostor.sys": b"driver",
        "/Windows/Drivers/VirtIO/netkvm.inf": b"x" * 3_000_000,
        "/Windows/inf/oem1.inf": b"new",
    }
    assert [(change.path, change.what) for change in guest.session.changes] == [
        ("/Windows/System32/drivers/viostor.sys", "created"),
        ("/Windows/Drivers/VirtIO/netkvm.inf", "created"),
        ("/Windows/inf/oem1.inf", "replaced"),
    ]


def test_what_cannot_be_written_is_named_and_leaves_nothing() -> None:
    guest = windows_guest(FILES)
    before = guest.files.contents
    with pytest.raises(ConversionError, match=r"/Windows/inf in the guest cannot be written: it is not a regular file"):
        guest.files.create("/Windows/inf", b"x", why="w")
    with pytest.raises(ConversionError, match=r"/Windows/x.sys in the guest cannot be written: .*missing.sys"):
        guest.files.create("/Windows/x.sys", Path("/missing.sys"), why="w")
    assert guest.files.contents == before
    assert guest.session.changes == []


def test_files_and_directories_are_removed() -> None:
    guest = windows_guest(FILES)
    assert guest.files.remove("/windows/INF", why="w")
    assert not guest.files.remove("/windows/INF", why="w")
    assert not guest.files.remove("/", why="w")
    assert guest.files.removed == ["/Windows/inf/oem1.inf"]
