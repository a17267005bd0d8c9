# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o local``: what it makes, and that no unfinished file is ever visible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from v2v_core.api import Bus, Cpu, DestinationError, Display, NbdkitPlugin, QemuImage, Topology
from v2v_core.output_files import file_mode

MIB = 1024 * 1024
NewRun = Callable[..., Any]


class TestResult:
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_nothing_has_its_name_until_all_is_whole(self, new_run: NewRun, image_format: str) -> None:
        run = new_run(format=image_format)
        setup = run.setup()
        hidden = run.files()
        assert len(hidden) == 2
        for name, size in zip(hidden, (MIB, MIB), strict=True):
            assert name.startswith(".guest-sd")
            assert name.endswith(".partial")
            assert (run.storage / name).stat().st_mode & 0o777 == 0o600
            if image_format == "raw":
                assert (run.storage / name).stat().st_size == size
        assert setup.zeroed
        assert {type(disk) for disk in setup.disks} == {NbdkitPlugin if image_format == "raw" else QemuImage}
        os.umask(before := os.umask(0))
        result = run.finalize()
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert result.created == tuple(str(run.storage / name) for name in run.files())
        for name in run.files():
            assert (run.storage / name).stat().st_mode & 0o777 == 0o666 & ~before

    def test_libvirt_accepts_the_description(self, new_run: NewRun) -> None:
        run = new_run(name="zwölf & <mehr>")
        run.setup()
        description = Path(run.finalize().created[-1])
        root = etree.parse(str(description))
        assert [element.get("file") for element in root.iterfind("devices/disk/source")] == [
            str(run.storage / f"zwölf & <mehr>-sd{letter}") for letter in "ab"
        ]
        assert {element.get("type") for element in root.iterfind("devices/disk/driver")} == {"raw"}
        if shutil.which("virt-xml-validate") is not None:
            subprocess.run(["virt-xml-validate", description, "domain"], check=True, capture_output=True)

    def test_the_conversion_chooses_the_names_of_the_devices(self, new_run: NewRun) -> None:
        """Setup can come before the conversion: it knows neither buses nor devices."""
        run = new_run()
        run.setup()
        disks = [replace(disk, bus=Bus.SATA, device=f"sd{'ba'[disk.index - 1]}") for disk in run.target.disks]
        run.target = replace(run.target, disks=tuple(disks))
        root = etree.parse(run.finalize().created[-1])
        files = {
            disk.find("target").get("dev"): disk.find("source").get("file") for disk in root.iterfind("devices/disk")
        }
        assert files == {"sdb": str(run.storage / "guest-sda"), "sda": str(run.storage / "guest-sdb")}

    def test_what_libvirt_cannot_express_is_a_warning(self, new_run: NewRun) -> None:
        run = new_run()
        topology = Topology(sockets=2, cores=2, threads=2)
        run.target = replace(run.target, source=replace(run.target.source, cpu=Cpu(count=3, topology=topology)))
        run.setup()
        run.finalize()
        (warning,) = run.report.warnings
        assert "CPU topology" in warning

    def test_a_description_with_a_password_is_private(self, new_run: NewRun) -> None:
        run = new_run(display=Display(kind="vnc", password="secret"))
        run.setup()
        assert Path(run.finalize().created[-1]).stat().st_mode & 0o777 == 0o600
        assert "secret" not in run.report.said + repr(run.settings)

    def test_preallocated(self, new_run: NewRun) -> None:
        for image_format in ("raw", "qcow2"):
            run = new_run(allocation="preallocated", format=image_format)
            run.setup()
            for disk in run.state["disks"]:
                assert Path(disk["written"]).stat().st_blocks * 512 >= MIB

    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_no_space(self, new_run: NewRun, small_disk: Path, image_format: str) -> None:
        run = new_run(sizes=(MIB, 64 * MIB), allocation="preallocated", format=image_format)
        with pytest.raises(DestinationError, match=r"no space for .*guest-sdb: 67108864 bytes are needed, \d+ bytes"):
            run.setup()
        run.abort(state=False)
        assert run.files() == []

    def test_a_size_that_no_file_can_have(self, new_run: NewRun) -> None:
        run = new_run(sizes=(1 << 63,))
        with pytest.raises(DestinationError, match="cannot be made"):
            run.setup()

    def test_existing_files_are_replaced_at_the_end_only(self, new_run: NewRun) -> None:
        run = new_run(overwrite=True)
        (run.storage / "elsewhere").write_bytes(b"kept")
        (run.storage / "guest-sda").write_bytes(b"old")
        (run.storage / "guest-sdb").symlink_to(run.storage / "elsewhere")
        run.check()
        run.setup()
        run.write()
        assert (run.storage / "guest-sda").read_bytes() == b"old"
        run.finalize()
        assert run.files() == ["elsewhere", "guest-sda", "guest-sdb", "guest.xml"]
        assert (run.storage / "guest-sda").read_bytes()[:3] == b"new"
        assert not (run.storage / "guest-sdb").is_symlink()
        assert (run.storage / "elsewhere").read_bytes() == b"kept"

    def test_a_disk_that_only_the_replaced_guest_had_is_named_and_stays(self, new_run: NewRun) -> None:
        run = new_run(sizes=(MIB,), overwrite=True)
        for name in ("guest-sda", "guest-sdb"):
            (run.storage / name).write_bytes(b"old")
        run.check()
        run.setup()
        run.finalize()
        assert (run.storage / "guest-sdb").read_bytes() == b"old"
        (warning,) = run.report.warnings
        assert str(run.storage / "guest-sdb") in warning

    @pytest.mark.parametrize("name", ["a b", "..", "-rf", "ä" * 300, "a\x1b[31m", "x:y,z", "\udc80"])
    def test_real_files(self, new_run: NewRun, name: str) -> None:
        for image_format in ("raw", "qcow2"):
            run = new_run(name=name, format=image_format, overwrite=image_format == "qcow2")
            run.check()
            run.setup()
            assert len(run.finalize().created) == 3
        assert len(run.files()) == 3


class TestNothingHalfMade:
    @pytest.fixture
    def run(self, new_run: NewRun) -> Any:
        """Set up a conversion that will replace an older guest of the same name."""
        run = new_run(overwrite=True)
        for name in ("guest-sda", "guest-sdb", "guest.xml"):
            (run.storage / name).write_bytes(b"old")
        run.setup()
        run.write()
        return run

    def assert_old(self, run: Any) -> None:
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert {(run.storage / name).read_bytes() for name in run.files()} == {b"old"}
        assert not run.report.warnings

    @pytest.mark.parametrize("links", [True, False])
    @pytest.mark.parametrize("failing", ["guest-sda", "guest-sdb", "guest.xml"])
    def test_a_rename_that_fails_undoes_the_others(
        self, run: Any, monkeypatch: pytest.MonkeyPatch, failing: str, links: bool
    ) -> None:
        rename = Path.rename

        def fail(self: Path, target: Path) -> Path:
            if Path(target).name == failing and self.name.endswith(".partial"):
                raise OSError(5, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail)
        if not links:
            monkeypatch.setattr(os, "link", _no_links)
        with pytest.raises(DestinationError, match=f"{failing} cannot get its name: Input/output error"):
            run.finalize()
        monkeypatch.undo()
        run.abort()
        self.assert_old(run)

    @pytest.mark.parametrize("links", [True, False])
    @pytest.mark.parametrize("steps", range(12))
    def test_a_process_that_is_killed_leaves_nothing(
        self, run: Any, monkeypatch: pytest.MonkeyPatch, steps: int, links: bool
    ) -> None:
        """The process is killed before one of the changes that finalize makes to the directory."""
        left = steps

        def killed(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
            def perhaps(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                if name == "unlink":
                    raise KeyboardInterrupt  # everything is published
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return change(*arguments, **options)

            return perhaps

        monkeypatch.setattr(Path, "rename", killed("rename", Path.rename))
        monkeypatch.setattr(Path, "unlink", killed("unlink", Path.unlink))
        monkeypatch.setattr(os, "link", killed("link", os.link) if links else _no_links)
        with pytest.raises(KeyboardInterrupt):
            run.finalize()
        monkeypatch.undo()
        run.abort()
        run.abort()
        self.assert_old(run)

    def test_abort_does_not_touch_what_came_later(self, run: Any, new_run: NewRun, tmp_path: Path) -> None:
        run.finalize()
        later = new_run(overwrite=True)
        later.directory = tmp_path / "private2"
        later.directory.mkdir()
        later.setup()
        later.write(b"later")
        later.finalize()
        run.abort()
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert (run.storage / "guest-sda").read_bytes()[:5] == b"later"

    def test_without_the_journal_no_file_that_may_be_the_users_is_deleted(self, run: Any) -> None:
        run.finalize()
        (run.directory / "publication.json").unlink()
        run.abort()
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert len(run.report.warnings) == 3

    def test_what_cannot_be_deleted_is_named(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path, missing_ok: bool = False) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "unlink", refuse)
        left = run.abort()
        assert left == run.ledger.owned()
        assert len(run.report.warnings) == 2
        assert ".guest-sdb" in run.report.warnings[0]
        monkeypatch.undo()
        run.report.warnings.clear()
        assert run.abort(owned=left) == ()
        self.assert_old(run)

    def test_a_disk_that_is_gone_is_an_error_in_one_line(self, run: Any) -> None:
        Path(run.state["disks"][1]["written"]).unlink()
        with pytest.raises(DestinationError, match="guest-sdb cannot get its name"):
            run.finalize()
        run.abort()
        self.assert_old(run)

    def test_a_full_disk_at_the_end(self, new_run: NewRun, small_disk: Path) -> None:
        run = new_run(sizes=(MIB,))
        run.setup()
        run.write()
        with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(b"x" * 4096)
        with pytest.raises(DestinationError, match="No space"):
            run.finalize()
        run.abort()
        assert run.files() == ["filler"]


def _no_links(*_arguments: Any, **_options: Any) -> None:
    raise OSError(1, "Operation not permitted")


class TestBlockDevice:
    def test_a_device_is_written_directly_and_stays(self, new_run: NewRun, block_device: Path) -> None:
        run = new_run(sizes=(MIB,))
        (run.storage / "guest-sda").symlink_to(block_device)
        run.check()
        setup = run.setup()
        assert not setup.zeroed
        assert setup.disks == (NbdkitPlugin(name="file", parameters=(("file", str(run.storage / "guest-sda")),)),)
        assert run.ledger.owned() == ()
        root = etree.parse(run.finalize().created[-1])
        disk = root.find("devices/disk")
        assert disk is not None
        assert disk.get("type") == "block"
        run.abort()
        assert (run.storage / "guest-sda").is_symlink()
        assert block_device.exists()

    def test_a_device_that_is_too_small_or_in_use_is_refused(
        self, new_run: NewRun, tmp_path: Path, block_device: Path
    ) -> None:
        run = new_run(sizes=(3 * MIB,))
        (run.storage / "guest-sda").symlink_to(block_device)
        with pytest.raises(DestinationError, match="too small"):
            run.check()
        subprocess.run(["mke2fs", "-q", "-F", block_device], check=True, capture_output=True)
        (tmp_path / "mount").mkdir()
        subprocess.run(["mount", block_device, tmp_path / "mount"], check=True)
        try:
            with pytest.raises(DestinationError, match="in use"):
                run.check()
        finally:
            subprocess.run(["umount", tmp_path / "mount"], check=True)


def test_the_mode_of_new_files_follows_the_umask() -> None:
    before = os.umask(0o027)
    try:
        assert file_mode() == 0o640
    finally:
        os.umask(before)
