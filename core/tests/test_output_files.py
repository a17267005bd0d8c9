# SPDX-License-Identifier: GPL-2.0-or-later
"""Files at a destination: hidden until they are whole, published all or none, taken back if they are this run's.

``-o local`` has the tests with real guests' names, full file systems and block devices.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.api import (
    Bus,
    DestinationError,
    DiskFile,
    NbdkitPlugin,
    Publication,
    QemuImage,
    TargetDisk,
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


def publication(final: Path, content: bytes, ledger: FakeLedger) -> Publication:
    partial = hidden_name(final)
    write_partial(partial, content, ledger)
    return Publication(partial=partial, final=final, backup=hidden_name(final, "backup"), mode=0o640)


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=255))
def test_a_hidden_name_fits_beside_every_file(name: str) -> None:
    one, other = hidden_name(Path("/tmp") / name), hidden_name(Path("/tmp") / name)
    assert one.parent == Path("/tmp")
    assert one != other
    assert one.name.startswith(".")
    assert len(os.fsencode(one.name)) <= 255


def test_all_are_published_and_what_was_there_is_gone(place: Path, tmp_path: Path) -> None:
    ledger = FakeLedger()
    (place / "a").write_bytes(b"old")
    files = [publication(place / name, b"new", ledger) for name in ("a", "b")]
    assert contents(place)["a"] == b"old"
    publish(files, tmp_path, ledger)
    assert contents(place) == {"a": b"new", "b": b"new"}
    assert (place / "b").stat().st_mode & 0o777 == 0o640


def test_none_is_published_if_one_cannot_be(place: Path, tmp_path: Path) -> None:
    ledger = FakeLedger()
    (place / "a").write_bytes(b"old")
    (place / "b").mkdir()
    files = [publication(place / name, b"new", ledger) for name in ("a", "b")]
    with pytest.raises(DestinationError, match="b cannot get its name: there is a directory of that name"):
        publish(files, tmp_path, ledger)
    assert (place / "a").read_bytes() == b"old"
    report = FakeReporter()
    clear_away(ledger.owned(), tmp_path, report)
    assert sorted(path.name for path in place.iterdir()) == ["a", "b"]
    assert report.warnings == []


def test_only_what_the_ledger_names_is_cleared_away(place: Path, tmp_path: Path) -> None:
    ledger = FakeLedger()
    write_partial(hidden_name(place / "mine"), b"x", ledger)
    write_partial(hidden_name(place / "not mine"), b"x", FakeLedger())
    clear_away(ledger.owned(), tmp_path, FakeReporter())
    (left,) = place.iterdir()
    assert left.name.startswith(".not mine.")


def test_who_makes_a_file_can_be_given(place: Path) -> None:
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


@pytest.mark.parametrize(("compat", "said"), [(None, "1.1"), ("0.10", "0.10"), ("1.1", "1.1")])
@pytest.mark.parametrize("preallocated", [False, True])
def test_qcow2_has_the_compatibility_level_that_is_wanted(
    place: Path, compat: str | None, said: str, preallocated: bool
) -> None:
    disk = DiskFile(index=1, written=place / "d", final=place / "f", size=MIB, format="qcow2", compat=compat)
    make_disk(disk, FakeLedger(), preallocated=preallocated)
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", "-f", "qcow2", place / "d"]))
    assert info["format-specific"]["data"]["compat"] == said
    assert disk.service() == QemuImage(path=place / "d", format="qcow2")


@pytest.mark.parametrize(("name", "said"), [("nowhere", "does not exist"), ("file", "is not a directory")])
def test_directories_that_are_none(place: Path, name: str, said: str) -> None:
    (place / "file").touch()
    with pytest.raises(DestinationError, match=f"-os: .*{said}"):
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
