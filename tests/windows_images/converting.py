# SPDX-License-Identifier: GPL-2.0-or-later
"""Convert a Windows guest, and compare what came of it with what the report says."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guests.build import digest, kept
from runs import Fingerprint, Place, said
from windows_images.look import Looked, file_differences, registry_differences


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted guest: its disks, its domain, and the report."""

    disks: tuple[Path, ...]
    xml: Path
    report: dict[str, Any]
    words: str


def virtio_win() -> Path:
    """Return a directory with a tree like virtio-win's (``tree``) and the ISO made of it (``virtio-win.iso``)."""
    import virtio_win_catalogue
    import virtio_win_tree

    sources = [Path(str(module.__file__)).read_bytes() for module in (virtio_win_catalogue, virtio_win_tree)]

    def make(work: Path) -> None:
        virtio_win_tree.make_iso(virtio_win_tree.make_tree(work / "tree"), work / "virtio-win.iso")

    return kept("virtio-win", digest(*sources, b"with the tree"), make)


def convert(
    place: Place, images: Sequence[Path], *options: str | Path, nics: Sequence[str] = (), drivers: Path | None = None
) -> Converted:
    """Convert a guest to a local directory, and check that its own disks have not changed.

    :param nics: the MAC addresses of the network cards that the guest has. :param drivers: None for the whole ISO.
    """
    before = [Fingerprint.of(image) for image in images]
    done = _run(place, images, *options, nics=nics, drivers=drivers)
    assert done.returncode == 0, said(done)
    assert [Fingerprint.of(image) for image in images] == before
    out = place.root / "out"
    disks = tuple(sorted(path for path in out.iterdir() if path.suffix != ".xml"))
    assert len(disks) == len(images)
    report = json.loads((place.root / "report.json").read_text())
    return Converted(disks, out / "guest.xml", report, done.stdout + done.stderr)


def refused(place: Place, images: Sequence[Path], *options: str | Path, drivers: Path | None = None) -> str:
    """Try to convert a guest that cannot be; return what was said, and check that nothing was changed or made."""
    before = [Fingerprint.of(image) for image in images]
    done = _run(place, images, *options, drivers=drivers)
    assert done.returncode != 0, said(done)
    assert [Fingerprint.of(image) for image in images] == before
    assert not list((place.root / "out").iterdir())
    assert "Traceback" not in done.stderr
    return done.stderr


def _run(
    place: Place, images: Sequence[Path], *options: str | Path, nics: Sequence[str] = (), drivers: Path | None = None
) -> subprocess.CompletedProcess[str]:
    out = place.root / "out"
    out.mkdir()
    cards = [word for mac in nics for word in ("--nic", f"network=default,mac={mac}")]
    report: list[str | Path] = ["--report", place.root / "report.json"]
    argv: list[str | Path] = ["v2v", "convert", "-i", "disk", *images, *cards, "-o", "local", "-os", out]
    return place.run(
        *argv, "-on", "guest", *report, *options, VIRTIO_WIN=str(drivers or virtio_win() / "virtio-win.iso")
    )


def see_that_the_report_is_complete(converted: Converted, before: Looked, after: Looked) -> None:
    """Check that what differs in whole hives and whole file systems is what the report lists, no more and no less."""
    changes = converted.report["changes"]
    differences = registry_differences(before.hives, after.hives)
    found = {(f"{one.hive}\\{one.key}".casefold(), one.name) for one in differences}
    reported = {
        (change["path"].casefold(), None if change["value"] is None else change["value"].casefold())
        for change in changes
        if change["subject"] == "registry"
    }
    assert found == reported, {"not reported": found - reported, "not done": reported - found}
    paths = {change["path"].strip("/").casefold() for change in changes if change["subject"] == "file"}
    files = {
        path
        for path in file_differences(before.files, after.files)
        # a directory that went is reported as one
        if not any(path.startswith(f"{above}/") for above in paths)
    }
    assert files <= paths, {"not reported": files - paths}
    # what is on the EFI system partition is not on C:
    not_done = {path for path in paths - files if not path.startswith("efi/") and path in before.files}
    unchanged = {path for path in not_done if before.files[path] == after.files.get(path)}
    assert not unchanged, {"not done": unchanged}


def see_that_the_examination_passed(converted: Converted) -> None:
    """Check that the result was examined, and that no fact failed."""
    facts = converted.report["facts"]
    assert len(facts) > 3
    assert [fact for fact in facts if fact["verdict"] == "failed"] == []


def see_that_libvirt_accepts(converted: Converted) -> None:
    """Check the domain against libvirt's schema."""
    argv = ["virt-xml-validate", str(converted.xml), "domain"]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
