# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o local``: what it refuses, what it makes, and that nothing half-made is ever seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from v2v_core.api import (
    Bus,
    Capabilities,
    DestinationError,
    Display,
    Firmware,
    Guest,
    Inspection,
    NbdkitPlugin,
    OptionValues,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    QemuImage,
    SourceDisk,
    TargetDisk,
    TargetGuest,
    UsageError,
    file_mode,
    hidden_name,
)
from v2v_core.metadata import libvirt_domain, write_source, write_target
from v2v_core.testing import FakeLedger, FakeReporter
from v2v_output_local.local import LocalOutput
from v2v_output_local.names import OutputNames
from v2v_output_local.null import NullOutput

MIB = 1024 * 1024


class Run:
    """One conversion, as the plugin sees it."""

    def __init__(self, tmp_path: Path, sizes: tuple[int, ...] = (MIB, MIB), **settings: Any) -> None:
        self.storage = tmp_path / "out"
        self.storage.mkdir(exist_ok=True)
        self.directory = tmp_path / "private"
        self.directory.mkdir(exist_ok=True)
        display = settings.pop("display", None)
        options = {key: (value,) for key, value in settings.pop("options", {}).items()}
        self.settings = OutputSettings(
            **{"name": "guest", "storage": str(self.storage), **settings}, options=OptionValues(values=options)
        )
        self.ledger = FakeLedger()
        self.report = FakeReporter()
        self.plugin = LocalOutput()
        guest = Guest(
            name="guest",
            disks=tuple(SourceDisk(index=i, size=size) for i, size in enumerate(sizes, start=1)),
            display=display,
        )
        self.target = TargetGuest(
            source=guest,
            inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
            capabilities=Capabilities(),
            firmware=Firmware.BIOS,
            disks=tuple(
                TargetDisk(index=disk.index, bus=Bus.VIRTIO_BLK, device=f"vd{chr(96 + disk.index)}", size=disk.size)
                for disk in guest.disks
            ),
        )
        self.state: dict[str, Any] = {}

    def check(self) -> None:
        self.plugin.v2v_output_check(
            OutputCheckRequest(
                directory=self.directory, settings=self.settings, guest=self.target.source, report=self.report
            )
        )

    def setup(self) -> OutputSetup:
        made = self.plugin.v2v_output_setup(
            OutputSetupRequest(
                directory=self.directory,
                settings=self.settings,
                target=self.target,
                ledger=self.ledger,
                report=self.report,
            )
        )
        self.state = json.loads(json.dumps(dict(made.state)))
        return made

    def write(self, word: bytes = b"new") -> None:
        for disk in self.state["disks"]:
            with Path(disk["written"]).open("r+b") as file:
                file.write(word)

    def finalize(self) -> OutputResult:
        write_source(self.directory / "in", self.target.source)
        write_target(self.directory / "out", self.directory / "in", self.target)
        return self.plugin.v2v_output_finalize(
            OutputFinalizeRequest(
                directory=self.directory,
                settings=self.settings,
                target=self.target,
                state=self.state,
                domain_xml=libvirt_domain(self.directory / "out", name=self.settings.name),
                ledger=self.ledger,
                report=self.report,
            )
        )

    def abort(self, *, state: bool = True) -> None:
        self.plugin.v2v_output_abort(
            OutputAbortRequest(
                directory=self.directory,
                settings=self.settings,
                owned=self.ledger.owned(),
                state=self.state if state else {},
                report=self.report,
            )
        )

    def files(self) -> list[str]:
        return sorted(entry.name for entry in self.storage.iterdir())


def as_nobody(function: Callable[[], None]) -> int:
    """Call a function in a process of a user without rights; 0 if it did not raise."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a file system of 4 MiB."""
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=20", "tmpfs", tmp_path / "out"],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    yield tmp_path / "out"
    subprocess.run(["umount", "-l", tmp_path / "out"], check=True)


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[Path]:
    """Give a loop device of 2 MiB."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xff" * (2 * MIB))
    done = subprocess.run(["losetup", "-f", "--show", backing], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no loop devices here")
    yield Path(done.stdout.strip())
    subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)


class TestCheck:
    @pytest.mark.parametrize(
        "settings",
        [
            {"storage": None},
            {"format": "vmdk"},
            {"allocation": "dense"},
            {"options": {"compressed": "true"}},
            {"password_file": Path("/x")},
        ],
    )
    def test_options_that_make_no_sense(self, tmp_path: Path, settings: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="-o local"):
            Run(tmp_path, **settings).check()

    @pytest.mark.parametrize(
        ("storage", "said"),
        [("/no/such/place", "does not exist"), ("/dev/null", "not a directory"), ("/tmp/\udc80", "UTF-8")],
    )
    def test_directories_that_are_none(self, tmp_path: Path, storage: str, said: str) -> None:
        with pytest.raises(DestinationError, match=said):
            Run(tmp_path, storage=storage).check()

    def test_a_directory_that_cannot_be_written(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        for place in (run.storage, *run.storage.parents[:-2]):
            place.chmod(0o755)
        run.storage.chmod(0o555)

        def refused() -> None:
            with pytest.raises(DestinationError, match="no files can be made"):
                run.check()

        assert as_nobody(refused) == 0

    def test_a_directory_at_a_final_name(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        (run.storage / "guest-sdb").mkdir()
        with pytest.raises(DestinationError, match="guest-sdb is a directory"):
            run.check()

    def test_a_pipe_at_the_name_of_the_description(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        os.mkfifo(run.storage / "guest.xml")
        with pytest.raises(DestinationError, match="neither a file"):
            run.check()

    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_missing_programs_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_format: str
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DestinationError, match="not installed") as caught:
            Run(tmp_path, format=image_format).check()
        assert caught.value.hint is not None
        assert "install" in caught.value.hint

    def test_space(self, tmp_path: Path, small_disk: Path) -> None:
        Run(tmp_path, sizes=(1 << 40,)).check()
        Run(tmp_path, allocation="preallocated").check()
        with pytest.raises(DestinationError, match="not enough space"):
            Run(tmp_path, sizes=(3 * MIB, 3 * MIB), allocation="preallocated").check()
        (small_disk / "filler").write_bytes(b"x" * (4 * MIB - 65536))
        with pytest.raises(DestinationError, match="not enough space"):
            Run(tmp_path).check()

    def test_inodes(self, tmp_path: Path, small_disk: Path) -> None:
        for i in range(19):
            (small_disk / str(i)).touch()
        with pytest.raises(DestinationError, match="inodes"):
            Run(tmp_path).check()


class TestResult:
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_nothing_has_its_name_until_all_is_whole(self, tmp_path: Path, image_format: str) -> None:
        run = Run(tmp_path, format=image_format)
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

    def test_libvirt_accepts_the_description(self, tmp_path: Path) -> None:
        run = Run(tmp_path, name="zwölf & <mehr>")
        run.setup()
        description = Path(run.finalize().created[-1])
        root = etree.parse(str(description))
        assert [element.get("file") for element in root.iterfind("devices/disk/source")] == [
            str(run.storage / f"zwölf & <mehr>-sd{letter}") for letter in "ab"
        ]
        assert {element.get("type") for element in root.iterfind("devices/disk/driver")} == {"raw"}
        if shutil.which("virt-xml-validate") is not None:
            subprocess.run(["virt-xml-validate", description, "domain"], check=True, capture_output=True)

    def test_a_description_with_a_password_is_private(self, tmp_path: Path) -> None:
        run = Run(tmp_path, display=Display(kind="vnc", password="secret"))
        run.setup()
        assert Path(run.finalize().created[-1]).stat().st_mode & 0o777 == 0o600
        assert "secret" not in run.report.said + repr(run.settings)

    def test_preallocated(self, tmp_path: Path) -> None:
        for image_format in ("raw", "qcow2"):
            run = Run(tmp_path, allocation="preallocated", format=image_format)
            run.setup()
            for disk in run.state["disks"]:
                assert Path(disk["written"]).stat().st_blocks * 512 >= MIB

    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_no_space(self, tmp_path: Path, small_disk: Path, image_format: str) -> None:
        run = Run(tmp_path, sizes=(MIB, 64 * MIB), allocation="preallocated", format=image_format)
        with pytest.raises(DestinationError, match=r"no space for .*guest-sdb: 67108864 bytes are needed, \d+ bytes"):
            run.setup()
        run.abort(state=False)
        assert run.files() == []

    def test_a_size_that_no_file_can_have(self, tmp_path: Path) -> None:
        run = Run(tmp_path, sizes=(1 << 63,))
        with pytest.raises(DestinationError, match="cannot be made"):
            run.setup()

    def test_existing_files_are_replaced_at_the_end_only(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
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


class TestNothingHalfMade:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Run:
        """Give a conversion over an older guest of that name."""
        run = Run(tmp_path)
        for name in ("guest-sda", "guest-sdb", "guest.xml"):
            (run.storage / name).write_bytes(b"old")
        run.setup()
        run.write()
        return run

    def assert_old(self, run: Run) -> None:
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert {(run.storage / name).read_bytes() for name in run.files()} == {b"old"}
        assert not run.report.warnings

    @pytest.mark.parametrize("links", [True, False])
    @pytest.mark.parametrize("failing", ["guest-sda", "guest-sdb", "guest.xml"])
    def test_a_rename_that_fails_takes_the_others_back(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, failing: str, links: bool
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
        self, run: Run, monkeypatch: pytest.MonkeyPatch, steps: int, links: bool
    ) -> None:
        """Killed before one of the changes that finalize makes to the directory."""
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

    def test_abort_does_not_touch_what_came_later(self, run: Run, tmp_path: Path) -> None:
        run.finalize()
        later = Run(tmp_path)
        later.directory = tmp_path / "private2"
        later.directory.mkdir()
        later.setup()
        later.write(b"later")
        later.finalize()
        run.abort()
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert (run.storage / "guest-sda").read_bytes()[:5] == b"later"

    def test_without_the_journal_nothing_that_may_be_the_users_is_deleted(self, run: Run) -> None:
        run.finalize()
        (run.directory / "publication.json").unlink()
        run.abort()
        assert run.files() == ["guest-sda", "guest-sdb", "guest.xml"]
        assert len(run.report.warnings) == 3

    def test_what_cannot_be_deleted_is_named(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path, missing_ok: bool = False) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "unlink", refuse)
        run.abort()
        assert len(run.report.warnings) == 2
        assert ".guest-sdb" in run.report.warnings[0]

    def test_a_disk_that_is_gone_is_an_error_in_one_line(self, run: Run) -> None:
        Path(run.state["disks"][1]["written"]).unlink()
        with pytest.raises(DestinationError, match="guest-sdb cannot get its name"):
            run.finalize()
        run.abort()
        self.assert_old(run)

    def test_a_full_disk_at_the_end(self, tmp_path: Path, small_disk: Path) -> None:
        run = Run(tmp_path, sizes=(MIB,))
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
    def test_it_is_written_directly_and_stays(self, tmp_path: Path, block_device: Path) -> None:
        run = Run(tmp_path, sizes=(MIB,))
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

    def test_one_that_is_too_small_or_in_use_is_refused(self, tmp_path: Path, block_device: Path) -> None:
        run = Run(tmp_path, sizes=(3 * MIB,))
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


class TestNames:
    @given(st.text(st.characters(), max_size=400) | st.sampled_from(["..", ".", "-rf", "/", "ä" * 300, "", "\n"]))
    def test_every_name_becomes_one_that_a_file_can_have(self, name: str) -> None:
        names = OutputNames.of_guest(Path("/tmp"), name)
        for path in (names.disk(1), names.disk(27), names.metadata(), hidden_name(names.disk(1))):
            assert path.parent == Path("/tmp")
            assert len(os.fsencode(path.name)) <= 255
            assert not set(path.name) & {"/", "\0", "\n", "\x1b", "\x9b"}
            path.name.encode("utf-8")

    @pytest.mark.parametrize("name", ["a b", "'\"", "日本", "-rf", ".hidden", "..", "x" * 240])
    def test_what_a_file_can_be_called_is_kept(self, name: str) -> None:
        names = OutputNames.of_guest(Path("/tmp"), name)
        assert names.disk(1).name == f"{name}-sda"
        assert names.disk(27).name == f"{name}-sdaa"

    def test_slashes(self) -> None:
        assert OutputNames.of_guest(Path("/tmp"), "a/../b").metadata() == Path("/tmp/a_.._b.xml")

    def test_long_names_that_begin_alike_stay_different(self) -> None:
        one, other = (OutputNames.of_guest(Path("/tmp"), "ä" * 300 + end).stem for end in "12")
        assert one != other

    @pytest.mark.parametrize("name", ["a b", "..", "-rf", "ä" * 300, "a\x1b[31m", "x:y,z", "\udc80"])
    def test_real_files(self, tmp_path: Path, name: str) -> None:
        for image_format in ("raw", "qcow2"):
            run = Run(tmp_path, name=name, format=image_format)
            run.check()
            run.setup()
            assert len(run.finalize().created) == 3
        assert len(run.files()) == 3


class TestNull:
    @pytest.mark.parametrize(
        "settings",
        [
            {"allocation": "preallocated"},
            {"connection": "x"},
            {"format": "qcow2", "format_given": True},
            {"password_file": Path("/x")},
            {"options": {"x": "1"}},
            {"storage": "/tmp"},
        ],
    )
    def test_options_without_effect_are_refused(self, tmp_path: Path, settings: dict[str, Any]) -> None:
        run = Run(tmp_path, **{"storage": None, **settings})
        run.plugin = NullOutput()  # type: ignore[assignment]
        with pytest.raises(UsageError, match="-o null"):
            run.check()


def test_the_mode_of_new_files_follows_the_umask() -> None:
    before = os.umask(0o027)
    try:
        assert file_mode() == 0o640
    finally:
        os.umask(before)
