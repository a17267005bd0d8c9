# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories of a guest whose names are in another encoding, or too many, or cannot be listed at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.inspection import _text_of_guest
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConvertRequest, ConvertSettings, Guest
from v2v_core.testing import FakeReporter

LATIN_1 = UnicodeDecodeError("utf-8", b"/etc/modprobe.d/caf\xe9.conf", 19, 20, "invalid continuation byte")


class Directory:
    """A directory as libguestfs lists it: its binding raises this error for a list with one such name."""

    def __init__(self, names: list[bytes], error: Exception | None = None) -> None:
        self.names, self.error = names, error

    def glob_expand(self, pattern: str) -> list[str]:
        if self.error is not None:
            raise self.error
        return [f"{pattern.rpartition('/')[0]}/{name.decode()}" for name in self.names]

    def ls0(self, _directory: str, target: str) -> None:
        Path(target).write_bytes(b"".join(name + b"\0" for name in self.names))


def files_of(directory: Directory, place: Path) -> tuple[GuestFiles, FakeReporter]:
    report = FakeReporter()
    request = ConvertRequest(
        directory=place,
        temporary=place,
        guest=Guest(name="x", memory=1),
        disks=(),
        settings=ConvertSettings(),
        report=report,
    )
    return GuestFiles(Session(request, directory)), report


def test_names_in_another_encoding_are_passed_over(tmp_path: Path) -> None:
    names = [b"b.conf", b"caf\xe9.conf", b".hidden.conf", b"a.conf", b"other", b"c.conf~"]
    files, report = files_of(Directory(names, LATIN_1), tmp_path)
    assert files.glob("/etc/modprobe.d/*.conf") == ["/etc/modprobe.d/a.conf", "/etc/modprobe.d/b.conf"]
    (warning,) = report.warnings
    assert "caf\\xe9.conf" in warning
    assert list(tmp_path.iterdir()) == []


def test_of_a_crowd_the_first_are_looked_at(tmp_path: Path) -> None:
    files, report = files_of(Directory([b"%04d.conf" % number for number in range(3000)]), tmp_path)
    found = files.glob("/etc/modprobe.d/*.conf")
    assert found[0] == "/etc/modprobe.d/0000.conf"
    assert len(found) == 500
    assert "3000 files" in report.warnings[0]


def test_a_list_that_libguestfs_cannot_send_is_a_warning(tmp_path: Path) -> None:
    files, report = files_of(Directory([], RuntimeError("glob_expand: message is too large")), tmp_path)
    assert files.glob("/boot/loader/entries/*.conf") == []
    assert "cannot be listed" in report.warnings[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [("Debian \x1b[31m12\n", "Debian  [31m12"), (LATIN_1, "/etc/modprobe.d/caf\ufffd.conf"), ("x" * 5000, "x" * 200)],
)
def test_what_a_guest_calls_itself_fits_into_xml(given: str | Exception, words: str) -> None:
    def ask(_root: str) -> str:
        if isinstance(given, Exception):
            raise given
        return given

    assert _text_of_guest(ask, "/dev/sda1") == words


class Links:
    """Links as the appliance shows them: they exist, wherever they lead; realpath fails if nothing is there."""

    def __init__(self, target: str | None) -> None:
        self.target = target

    def exists(self, _path: str) -> bool:
        return True

    def realpath(self, path: str) -> str:
        if self.target is None:
            raise RuntimeError(f"realpath: {path}: No such file or directory")
        return self.target

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        assert not followsymlinks
        return path.startswith("/usr/")


@pytest.mark.parametrize(
    ("target", "found", "warning"),
    [
        # the alias of a unit whose package was removed
        (None, None, ""),
        # a masked unit
        ("/dev/null", None, ""),
        ("/dev/sda", None, "it is not a regular file"),
        ("/usr/lib/systemd/system/x.service", "/usr/lib/systemd/system/x.service", ""),
    ],
)
def test_links_that_lead_to_no_file(tmp_path: Path, target: str | None, found: str | None, warning: str) -> None:
    links, report = Links(target), FakeReporter()
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="x", memory=1),
        disks=(),
        settings=ConvertSettings(),
        report=report,
    )
    assert GuestFiles(Session(request, links)).resolve("/etc/systemd/system/x.service") == found
    assert warning in "".join(report.warnings)
    assert len(report.warnings) == (1 if warning else 0)
