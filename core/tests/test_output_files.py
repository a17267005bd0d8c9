# SPDX-License-Identifier: GPL-2.0-or-later
"""Files at a destination: hidden until they are whole, published all or none, undone if this run created them.

The tests of ``-o local`` cover names of guests, full file systems and block devices.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core import output_files
from v2v_core.api import (
    AbortResult,
    Bus,
    Capabilities,
    DestinationError,
    Firmware,
    Guest,
    Inspection,
    NbdkitPlugin,
    OutputCheckResult,
    OutputResult,
    OutputSettings,
    QemuImage,
    SourceDisk,
    TargetDisk,
    TargetGuest,
)
from v2v_core.metadata import write_source, write_target
from v2v_core.output_files import (
    DiskFile,
    Publication,
    check_output_directory,
    clear_away,
    hidden_name,
    make_disk,
    open_new,
    publish,
    write_partial,
)
from v2v_core.testing import FakeLedger, FakeReporter

MIB = 1024 * 1024


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def publication(final: Path, content: bytes, ledger: FakeLedger, *, overwrite: bool = True) -> Publication:
    partial = hidden_name(final)
    write_partial(partial, content, ledger)
    return Publication(
        partial=partial, final=final, backup=hidden_name(final, "backup"), mode=0o640, overwrite=overwrite
    )


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


file_names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=255)


@given(file_names.filter(lambda name: name not in {".", ".."}))
def test_a_hidden_name_fits_beside_every_file(name: str) -> None:
    one, other = hidden_name(Path("/tmp") / name), hidden_name(Path("/tmp") / name)
    assert one.parent == Path("/tmp")
    assert one != other
    assert one.name.startswith(".")
    assert len(os.fsencode(one.name)) <= 255


def test_all_files_are_published_and_old_ones_are_replaced(place: Path, tmp_path: Path) -> None:
    ledger = FakeLedger()
    (place / "a").write_bytes(b"old")
    files = [publication(place / name, b"new", ledger) for name in ("a", "b")]
    assert contents(place)["a"] == b"old"
    publish(files, tmp_path, ledger)
    assert contents(place) == {"a": b"new", "b": b"new"}
    assert (place / "b").stat().st_mode & 0o777 == 0o640


def test_no_file_is_published_if_one_cannot_be(place: Path, tmp_path: Path) -> None:
    ledger = FakeLedger()
    (place / "a").write_bytes(b"old")
    (place / "b").mkdir()
    files = [publication(place / name, b"new", ledger) for name in ("a", "b")]
    with pytest.raises(DestinationError, match="b cannot get its name: there is a directory of that name"):
        publish(files, tmp_path, ledger)
    assert (place / "a").read_bytes() == b"old"
    report = FakeReporter()
    assert clear_away(ledger.owned(), tmp_path, report) == ()
    assert sorted(path.name for path in place.iterdir()) == ["a", "b"]
    assert report.warnings == []


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_file_that_appears_in_the_last_moment_is_not_replaced(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    ledger = FakeLedger()
    files = [publication(place / name, b"new", ledger, overwrite=False) for name in ("a", "b")]
    (place / "b").write_bytes(b"another run's")
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    with pytest.raises(DestinationError, match="b cannot get its name: a file of that name exists") as refused:
        publish(files, tmp_path, ledger)
    assert "--overwrite" in (refused.value.hint or "")
    assert clear_away(ledger.owned(), tmp_path, FakeReporter()) == ()
    assert contents(place) == {"b": b"another run's"}


def test_of_two_publications_at_the_same_moment_one_succeeds(place: Path, tmp_path: Path) -> None:
    start = threading.Barrier(8)
    results: list[str] = []

    def one(number: int) -> None:
        directory = tmp_path / f"private{number}"
        directory.mkdir()
        ledger, content = FakeLedger(), f"{number}".encode()
        files = [publication(place / name, content, ledger, overwrite=False) for name in ("a", "b")]
        start.wait(timeout=30)
        try:
            publish(files, directory, ledger)
            results.append(f"{number}")
        except DestinationError:
            assert clear_away(ledger.owned(), directory, FakeReporter()) == ()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = results
    assert contents(place) == {"a": winner.encode(), "b": winner.encode()}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("steps", range(4))
def test_new_names_of_a_process_that_is_killed_are_taken_back(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, links: bool
) -> None:
    ledger = FakeLedger()
    files = [publication(place / name, b"new", ledger, overwrite=False) for name in ("a", "b")]
    left = steps if links else steps // 2

    def perhaps_killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def change_or_die(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return change(*arguments, **options)

        return change_or_die

    monkeypatch.setattr(os, "link", perhaps_killed(os.link) if links else _no_links)
    monkeypatch.setattr(Path, "unlink", perhaps_killed(Path.unlink))
    monkeypatch.setattr(Path, "rename", perhaps_killed(Path.rename) if not links else Path.rename)
    with pytest.raises(KeyboardInterrupt):
        publish(files, tmp_path, ledger)
    monkeypatch.undo()
    for _ in range(2):
        assert clear_away(ledger.owned(), tmp_path, FakeReporter()) == ()
    assert contents(place) == {}


def _no_links(*_arguments: object, **_options: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_only_files_in_the_ledger_are_cleared_away(place: Path, tmp_path: Path) -> None:
    ledger = FakeLedger()
    write_partial(hidden_name(place / "mine"), b"x", ledger)
    write_partial(hidden_name(place / "not mine"), b"x", FakeLedger())
    clear_away(ledger.owned(), tmp_path, FakeReporter())
    (left,) = place.iterdir()
    assert left.name.startswith(".not mine.")


def test_what_cannot_be_cleared_away_is_returned_and_can_be_cleared_away_later(place: Path, tmp_path: Path) -> None:
    ledger, report = FakeLedger(), FakeReporter()
    stuck, gone = hidden_name(place / "stuck"), hidden_name(place / "gone")
    for path in (stuck, gone):
        write_partial(path, b"x", ledger)
    # not even root can unlink a directory
    stuck.unlink()
    stuck.mkdir()
    left = clear_away(ledger.owned(), tmp_path, report)
    assert [thing.identity for thing in left] == [str(stuck)]
    (warning,) = report.warnings
    assert str(stuck) in warning
    stuck.rmdir()
    assert clear_away(left, tmp_path, report) == ()
    assert len(report.warnings) == 1


def test_published_files_are_left_if_the_journal_is_lost(place: Path, tmp_path: Path) -> None:
    ledger, report = FakeLedger(), FakeReporter()
    publish([publication(place / "a", b"new", ledger)], tmp_path, ledger)
    (tmp_path / "publication.json").unlink()
    (left,) = clear_away(ledger.owned(), tmp_path, report)
    assert left.identity == str(place / "a")
    assert contents(place) == {"a": b"new"}
    assert "the journal" in report.warnings[0]


@pytest.fixture
def example() -> dict[str, Any]:
    """Run the example in the docstring of the toolkit, and return the functions that it defines."""
    code = textwrap.dedent((output_files.__doc__ or "").partition("::\n")[2])
    assert "def abort(request)" in code
    functions: dict[str, Any] = {}
    exec(code, functions)  # noqa: S102 - our own documentation
    return functions


@pytest.fixture
def request_of_example(place: Path, tmp_path: Path) -> SimpleNamespace:
    guest = Guest(name="web", disks=(SourceDisk(index=1, size=MIB), SourceDisk(index=2, size=2 * MIB)))
    target = TargetGuest(
        source=guest,
        inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
        capabilities=Capabilities(),
        firmware=Firmware.BIOS,
        disks=tuple(TargetDisk(index=i, bus=Bus.VIRTIO_BLK, device=f"vd{'ab'[i - 1]}") for i in (1, 2)),
    )
    write_source(tmp_path / "metadata.in", guest)
    write_target(tmp_path / "metadata.out", tmp_path / "metadata.in", target)
    settings = OutputSettings(name="web", storage=str(place))
    return SimpleNamespace(
        directory=tmp_path, settings=settings, guest=guest, disks=guest.disks, ledger=FakeLedger(),
        report=FakeReporter(), metadata=tmp_path / "metadata.out",
    )  # fmt: skip


def test_the_example_of_the_toolkit(example: dict[str, Any], request_of_example: SimpleNamespace, place: Path) -> None:
    request = request_of_example
    (place / "disk1").write_bytes(b"old")
    with pytest.raises(DestinationError, match="disk1 exists already"):
        example["check"](request)
    request.settings = OutputSettings(name="web", storage=str(place), overwrite=True)
    assert example["check"](request) == OutputCheckResult(claims=(place / "guest.xml",))
    setup = example["setup"](request)
    assert [service.format for service in setup.disks] == ["qcow2", "qcow2"]
    assert contents(place)["disk1"] == b"old"
    # between two steps, the state is JSON
    request.state = json.loads(json.dumps(setup.state))
    finalized = example["finalize"](request)
    names = [str(place / name) for name in ("disk1", "disk2", "guest.xml")]
    assert finalized == OutputResult(created=tuple(names))
    assert sorted(contents(place)) == ["disk1", "disk2", "guest.xml"]
    assert contents(place)["disk1"].startswith(b"QFI\xfb")
    assert b"<name>web</name>" in contents(place)["guest.xml"]


def test_the_example_of_the_toolkit_undoes_everything(
    example: dict[str, Any], request_of_example: SimpleNamespace, place: Path
) -> None:
    request = request_of_example
    request.state = json.loads(json.dumps(example["setup"](request).state))
    request.owned = request.ledger.owned()
    assert len(contents(place)) == 2
    assert example["abort"](request) == AbortResult()
    assert contents(place) == {}


def test_an_output_can_create_its_files_itself(place: Path) -> None:
    made: list[Path] = []

    def opener(path: Path) -> int:
        made.append(path)
        return open_new(path)

    write_partial(place / "file", b"x", FakeLedger(), opener=opener)
    disk = DiskFile(index=1, written=place / "disk", final=place / "final", size=MIB, format="raw")
    make_disk(disk, FakeLedger(), preallocated=False, opener=opener)
    assert made == [place / "file", place / "disk"]

    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(DestinationError, match="final cannot be made: Permission denied"):
        make_disk(disk, FakeLedger(), preallocated=False, opener=refuse)


def test_a_disk_is_recorded_before_it_is_made(place: Path) -> None:
    seen: list[bool] = []
    ledger = FakeLedger(on_record=lambda thing: seen.append(Path(thing.identity).exists()))
    disk = DiskFile(index=1, written=place / "disk", final=place / "final", size=MIB, format="raw")
    make_disk(disk, ledger, preallocated=True)
    assert seen == [False]
    assert (place / "disk").stat().st_blocks * 512 >= MIB
    assert (place / "disk").stat().st_mode & 0o777 == 0o600
    assert disk.service() == NbdkitPlugin(name="file", parameters=(("file", str(place / "disk")),))


@pytest.mark.parametrize(("compat", "expected"), [(None, "1.1"), ("0.10", "0.10"), ("1.1", "1.1")])
@pytest.mark.parametrize("preallocated", [False, True])
def test_qcow2_has_the_compatibility_level_of_the_request(
    place: Path, compat: str | None, expected: str, preallocated: bool
) -> None:
    disk = DiskFile(index=1, written=place / "d", final=place / "f", size=MIB, format="qcow2", compat=compat)
    make_disk(disk, FakeLedger(), preallocated=preallocated)
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", "-f", "qcow2", place / "d"]))
    assert info["format-specific"]["data"]["compat"] == expected
    assert disk.service() == QemuImage(path=place / "d", format="qcow2")


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "does not exist"), ("file", "is not a directory")])
def test_output_directories_that_cannot_be_used(place: Path, name: str, reason: str) -> None:
    (place / "file").touch()
    with pytest.raises(DestinationError, match=f"-os: .*{reason}"):
        check_output_directory(place / name, "-os")


def test_disk_is_written_beside_its_final_name(place: Path) -> None:
    target = TargetDisk(index=1, bus=Bus.VIRTIO_BLK, device="vda", size=MIB)
    disk = DiskFile.beside(place / "guest-sda", target, form="qcow2", compat="0.10")
    assert (disk.index, disk.size, disk.format, disk.compat, disk.device) == (1, MIB, "qcow2", "0.10", False)
    assert disk.final == place / "guest-sda"
    assert disk.written.parent == place
    assert disk.written.name.startswith(".")


def test_disk_of_unknown_size_is_not_written(place: Path) -> None:
    with pytest.raises(DestinationError, match=r"^the size of disk 2 is not known$"):
        DiskFile.beside(place / "guest-sdb", TargetDisk(index=2, bus=Bus.VIRTIO_BLK, device="vdb"), form="raw")
