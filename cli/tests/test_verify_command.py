# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v verify``: real images against the hashes of a report."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_cli import v2v
from v2v_cli.render.report import report_as_json, report_as_text
from v2v_core.copying.hashes import ALGORITHM, BLOCK, GROUP, HashFile
from v2v_core.run_report import CopiedDisk, DiskHashes, Outcome, RunReport

MIB = 1024**2
SIZE = 18 * MIB
GROUP_BYTES = BLOCK * GROUP
pytestmark = pytest.mark.usefixtures("v2v_short_path")


def run(*words: str | Path) -> int:
    return v2v.main([str(word) for word in words])


def content(seed: int) -> bytes:
    disk = bytearray(SIZE)
    disk[MIB : 6 * MIB] = random.Random(seed).randbytes(5 * MIB)  # noqa: S311 - no secret
    disk[-512:] = b"x" * 512
    return bytes(disk)


def copied(tmp_path: Path, index: int, disk: bytes) -> CopiedDisk:
    hashes = HashFile(tmp_path / f"taken{index}", len(disk))
    hashes.take(0, memoryview(disk))
    tree = DiskHashes(
        algorithm=ALGORITHM,
        block=BLOCK,
        group=GROUP_BYTES,
        root=hashes.root(),
        groups={number: digest.hex() for number, digest in hashes.groups()},
    )
    hashes.close()
    return CopiedDisk(index=index, size=len(disk), copied=len(disk), hashes=tree)


def report_of(*disks: CopiedDisk) -> RunReport:
    return RunReport(outcome=Outcome.FINISHED, guest=None, target=None, changes=(), steps=(), copied=disks)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(report_as_json(report_of(*(copied(tmp_path, index, content(index)) for index in (1, 2)))))
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "guest-sda", tmp_path / "guest-sdb"]
    for number, image in enumerate(made, start=1):
        disk = content(number)
        with image.open("wb") as file:
            for offset in range(0, SIZE, MIB):
                if any(disk[offset : offset + MIB]):
                    file.seek(offset)
                    file.write(disk[offset : offset + MIB])
    return made


def change(image: Path, offset: int) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 1]))


def test_right_disks(report: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", report, *images) == 0
    out, err = capsys.readouterr()
    assert out == f"disk 1 ({images[0]}): right\ndisk 2 ({images[1]}): right\n"
    assert err == ""


def test_changed_bytes_are_found(report: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    # in data and beside it, in what was zeros, and in the last byte
    for offset in (5 * MIB, 9 * MIB, SIZE - 1):
        change(images[1], offset)
    assert run("verify", report, *images) == 7
    assert capsys.readouterr().out.splitlines() == [
        f"disk 1 ({images[0]}): right",
        f"disk 2 ({images[1]}): differs, somewhere in these ranges:",
        f"  byte {GROUP_BYTES} to {3 * GROUP_BYTES - 1}",
        f"  byte {4 * GROUP_BYTES} to {SIZE - 1}",
    ]


def test_json(report: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    change(images[1], 5 * MIB)
    assert run("verify", report, *images, "--json") == 7
    first, second = json.loads(capsys.readouterr().out)["disks"]
    assert first == {
        "disk": 1,
        "image": str(images[0]),
        "right": True,
        "size": SIZE,
        "expected_size": SIZE,
        "differs": [],
    }
    assert second["right"] is False
    assert second["differs"] == [{"offset": GROUP_BYTES, "length": GROUP_BYTES}]


def test_qcow2_is_compared_by_what_the_guest_sees(report: Path, images: list[Path]) -> None:
    for image in images:
        raw = image.rename(image.with_suffix(".raw"))
        subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, image], check=True)
    assert run("verify", report, *images) == 0
    assert run("verify", report, *images, "--format", "qcow2") == 0


def test_disks_of_a_server(report: Path, images: list[Path], tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    server = subprocess.Popen(["nbdkit", "-f", "-U", str(socket), "file", str(images[0])])
    try:
        while not socket.exists():
            time.sleep(0.01)
        assert run("verify", report, f"nbd+unix:///?socket={socket}", images[1]) == 0
    finally:
        server.kill()
        server.wait()


def test_exchanged_disks_are_not_right(report: Path, images: list[Path]) -> None:
    assert run("verify", report, *reversed(images)) == 7


def test_another_size(report: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with images[1].open("ab") as file:
        file.write(bytes(512))
    assert run("verify", report, *images) == 7
    assert f"has {SIZE + 512} bytes, and not {SIZE}" in capsys.readouterr().out


def test_nothing_is_changed(report: Path, images: list[Path]) -> None:
    before = [(image.read_bytes(), image.stat().st_mtime_ns) for image in images]
    assert run("verify", report, *images) == 0
    assert [(image.read_bytes(), image.stat().st_mtime_ns) for image in images] == before


def without_hashes() -> str:
    return report_as_json(report_of(CopiedDisk(index=1, size=SIZE)))


def bad_reports() -> Iterator[tuple[str, str]]:
    yield "", "is not a report with hashes"
    yield "[]", "is not a report with hashes"
    yield '{"format": "other", "copy": []}', "is not a report with hashes"
    yield report_as_text(report_of()), "is not a report with hashes"
    yield report_as_json(report_of()), "has no copied disks"
    yield without_hashes(), "has no hashes of disk 1"
    yield "[" * 100_000, "is not a report with hashes"
    damaged = json.loads(without_hashes())
    damaged["copy"][0]["hashes"] = {"algorithm": "md5", "block": 1, "group": 1, "root": "", "groups": {}}
    yield json.dumps(damaged), "is not a report with hashes"
    damaged["copy"][0]["hashes"] = 5
    yield json.dumps(damaged), "is not a report with hashes"


@pytest.mark.parametrize(("text", "message"), list(bad_reports()))
def test_reports_without_hashes_are_refused(
    tmp_path: Path, images: list[Path], text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "bad.json"
    report.write_text(text)
    assert run("verify", report, images[0]) == 2
    (error, hint) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"v2v: error: {report} {message}")
    assert hint.startswith("hint: ")


def test_one_image_for_each_disk(report: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", report, images[0]) == 2
    assert "the report is about 2 disks, and 1 images were named" in capsys.readouterr().err


def test_a_report_that_is_not_there(images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "/nowhere/report.json", images[0]) == 2
    assert "/nowhere/report.json cannot be read: No such file" in capsys.readouterr().err


def test_an_image_that_cannot_be_opened(report: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    images[1].unlink()
    assert run("verify", report, *images) == 4
    assert str(images[1]) in capsys.readouterr().err


@pytest.mark.usefixtures("choice")
@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_report_of_a_run_fits_what_it_has_made(
    images: list[Path], tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The converter is a fake, which changes a sector; everything else is real."""
    report, out = tmp_path / "run.json", tmp_path / "out"
    out.mkdir()
    words = ["--converter", "fake", "--output-storage", out, "--output-format", target, "--report", report, "--verify"]
    assert run("convert", *images, "--memory", "1G", "--vcpus", "1", "--nic", "none", *words) == 0
    disks = sorted(path for path in out.iterdir() if path.suffix != ".xml")
    assert len(disks) == 2
    copied_disks = json.loads(report.read_text())["copy"]
    assert [disk["verified"] for disk in copied_disks] == [True, True]
    assert all(0 < disk["copied"] < 7 * MIB for disk in copied_disks)
    assert run("verify", report, *disks, "--format", target) == 0
    assert disks[0].read_bytes() != images[0].read_bytes()
    assert run("verify", report, *images, "--format", "raw") == 7
    capsys.readouterr()
