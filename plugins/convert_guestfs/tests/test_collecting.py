# SPDX-License-Identifier: GPL-2.0-or-later
"""``--collect``: files of the guest in an archive, which leads nowhere out of itself."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.collecting import collect, member_name
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.settings import Collect
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, Guest, Inspection
from v2v_core.testing.fakes import FakeReporter


@pytest.mark.parametrize(
    ("name", "inside", "expected"),
    [
        ("", "./etc/passwd", "etc/passwd"),
        ("logs", "./a", "logs/a"),
        ("logs", "/etc/a", "logs/etc/a"),
        ("", "./", "."),
        ("logs", "../../a", None),
        ("logs", "../a", "a"),
        ("", "../a", None),
        ("", "..", None),
    ],
)
def test_names_in_the_archive(name: str, inside: str, expected: str | None) -> None:
    assert member_name(name, inside) == expected


@given(st.text(max_size=40))
def test_no_name_leads_out_of_the_archive(inside: str) -> None:
    found = member_name("logs", inside)
    assert found is None or (not found.startswith("/") and ".." not in found.split("/"))


class Host:
    """As much of libguestfs as collecting takes, on a directory of the host; its tar is the real one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def is_dir(self, path: str, *, followsymlinks: bool) -> bool:
        return (self.root / path.lstrip("/")).is_dir()

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        return (self.root / path.lstrip("/")).is_file()

    def realpath(self, path: str) -> str:
        return path

    def tar_out(self, path: str, target: str) -> None:
        if path == "/broken":
            raise RuntimeError("tar_out: it broke")
        with Path(target).open("wb") as stream:
            subprocess.run(["tar", "-C", self.root / path.lstrip("/"), "-c", "."], stdout=stream, check=True)

    def download(self, path: str, target: str) -> None:
        Path(target).write_bytes((self.root / path.lstrip("/")).read_bytes())


def collected(tmp_path: Path, *wanted: tuple[str, str], output: str = "out.tar.xz") -> tuple[Path, FakeReporter]:
    """Collect from a directory, and give the archive."""
    report, path = FakeReporter(), tmp_path / output
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=report,
    )
    session = Session(request=request, handle=Host(tmp_path / "root"))
    session.found = Inspection(root="/dev/sda", os_type="linux", distro="debian", arch="x86_64")
    collect(session, Collect(wanted, path))
    return path, report


def test_a_directory_goes_through_a_pipe_and_a_broken_one_is_only_a_warning(tmp_path: Path) -> None:
    for path in ("etc/deep", "broken"):
        (tmp_path / "root" / path).mkdir(parents=True)
    (tmp_path / "root/etc/deep/file").write_bytes(b"x" * 3_000_000)
    (tmp_path / "root/etc/deep/file").chmod(0)
    (tmp_path / "root/one").write_bytes(b"one")
    path, report = collected(tmp_path, ("/etc", "a/b"), ("/broken", ""), ("/one", "c"), ("/nowhere", ""))
    with tarfile.open(path) as archive:
        sizes = {member.name: (member.size, member.mode) for member in archive if member.isfile()}
    assert sizes == {"a/b/deep/file": (3_000_000, 0o600), "c/one": (3, 0o600)}
    assert report.warnings == [
        "/broken in the guest is not collected, or not all of it: it broke",
        "/nowhere does not exist in the guest: it is not collected",
    ]


def test_an_archive_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/file").write_bytes(b"x")

    def full(*_args: object, **_options: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(ConversionError, match=r"cannot be written to .*: no space left"):
        collected(tmp_path, ("/etc", ""))
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


@pytest.mark.slow
def test_files_of_a_guest(tmp_path: Path, serve_blank: Callable[[int], DiskEndpoint]) -> None:
    report, output = FakeReporter(), tmp_path / "out" / "collected.tar.xz"
    output.parent.mkdir()
    places = (("/etc", "settings"), ("/var/log", ""), ("/etc/hostname", "one"), ("/link", "two"), ("/missing", ""))
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="phony"),
        disks=(serve_blank(64 * 1024 * 1024),),
        settings=ConvertSettings(emulation=True),
        report=report,
    )
    with Appliance(request) as appliance:
        handle = appliance.handle
        handle.mkfs("ext4", "/dev/sda")
        handle.mount("/dev/sda", "/")
        for path in ("/etc/ssh", "/var/log", "/outside"):
            handle.mkdir_p(path)
        handle.write("/etc/hostname", b"phony\n")
        handle.write("/etc/ssh/key", b"secret")
        handle.chmod(0o4000, "/etc/ssh/key")
        handle.ln("/etc/hostname", "/etc/other-name")
        handle.ln_s("/outside", "/etc/symbolic")
        handle.mknod_c(0o666, 1, 5, "/etc/zero")
        handle.mkfifo(0o666, "/etc/pipe")
        handle.write("/var/log/messages", b"line\n" * 100_000)
        handle.write("/outside/file", b"outside")
        handle.ln_s("/outside", "/link")
        session = Session(request=request, handle=handle)
        session.found = Inspection(root="/dev/sda", os_type="linux", distro="debian", arch="x86_64")
        collect(session, Collect(places, output))
        with pytest.raises(ConversionError, match="cannot be written"):
            collect(session, Collect(places, tmp_path / "nowhere" / "file"))
        handle.umount_all()
    with tarfile.open(output) as archive:
        members = {member.name: member for member in archive.getmembers()}
        contents = {
            name: file.read()
            for name, member in members.items()
            if member.isfile() and (file := archive.extractfile(member))
        }
        linked = archive.extractfile(members["settings/hostname"]), archive.extractfile(members["settings/other-name"])
        assert [file.read() for file in linked if file] == [b"phony\n", b"phony\n"]
    assert contents["settings/ssh/key"] == b"secret"
    assert members["settings/ssh/key"].mode == 0o600
    assert contents["messages"] == b"line\n" * 100_000
    assert contents["one/hostname"] == b"phony\n"
    assert contents["two/file"] == b"outside"
    assert members["settings/symbolic"].issym()
    assert not {"settings/zero", "settings/pipe"} & members.keys()
    assert [path.name for path in output.parent.iterdir()] == ["collected.tar.xz"]
    assert output.stat().st_mode & 0o777 == 0o600
    assert report.warnings == ["/missing does not exist in the guest: it is not collected"]
