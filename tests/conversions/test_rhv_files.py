# SPDX-License-Identifier: GPL-2.0-or-later
"""One converted guest is written twice: to an export domain of oVirt over NFS, raw, and for VDSM, as qcow2.

The kernel may have no NFS client: ``mount -t nfs`` is simulated then as always, by a program that binds a directory.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree

from export_domains import DOMAIN_ID, FOREIGN_IMAGE, SERVER, as_root, make_domain, simulate_mount, tree
from guests.boot import boot
from runs import Fingerprint, new_place, said

pytestmark = [pytest.mark.slow, as_root]

IMAGES = ("11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002")
VOLUMES = ("22222222-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")
MACHINE = "33333333-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Written:
    """Where the two outputs wrote, and what their finalize commands printed."""

    exported: Path
    foreign: dict[str, object]
    created: list[str]
    mount_arguments: list[str]
    vdsm: Path
    vdsm_created: list[str]

    def in_domain(self, created: str) -> Path:
        """Return the path of a created file on the file server."""
        return self.exported / created.removeprefix(f"{SERVER}/")


@pytest.fixture(scope="module")
def written(vmware_guest: Path) -> Iterator[Written]:
    """Convert once and write twice; each step is a process of its own."""
    before = Fingerprint.of(vmware_guest)
    with new_place() as place:
        second = place.root / "second.img"
        second.write_bytes(b"the second disk".ljust(4096, b"\0") + bytes(1024 * 1024 - 4096))
        exported, data_center = place.root / "exported", place.root / "data-center"
        make_domain(exported)
        foreign = tree(exported)
        domain = make_domain(data_center)
        for image in IMAGES:
            (domain / "images" / image).mkdir()
            os.chown(domain / "images" / image, 36, 36)
        ovfs = place.root / "ovfs"
        ovfs.mkdir()
        log = simulate_mount(place.root / "bin", exported)
        path = f"{place.root / 'bin'}:{os.environ['PATH']}"
        run = place.root / "run"

        def step(*argv: str | Path) -> list[str]:
            done = place.run(argv[0], *argv[1:], PATH=path)
            assert done.returncode == 0, said(done)
            # the last lines say what was created, and those before them what is going on
            return [line for line in done.stdout.splitlines() if line.startswith((SERVER, "/"))]

        step("helper-v2v-input-disk", "--dir", run, vmware_guest, second)
        step("helper-v2v-convert", "--dir", run)
        step("helper-v2v-output-rhv", "setup", "--dir", run, "-os", SERVER, "-on", "über & <oVirt>")
        step("helper-v2v-copy", "--dir", run)
        created = step("helper-v2v-output-rhv", "final", "--dir", run)
        options = [f"vdsm-image-uuid={image}" for image in IMAGES] + [f"vdsm-vol-uuid={volume}" for volume in VOLUMES]
        options += [f"vdsm-vm-uuid={MACHINE}", f"vdsm-ovf-output={ovfs}", "vdsm-ovf-flavour=ovirt", "vdsm-compat=0.10"]
        words = [word for option in options for word in ("-oo", option)]
        step("helper-v2v-output-vdsm", "setup", "--dir", run, "-os", domain, "-of", "qcow2", *words)
        step("helper-v2v-copy", "--dir", run)
        vdsm_created = step("helper-v2v-output-vdsm", "final", "--dir", run)
        step("helper-v2v-cleanup", "--dir", run)
        assert not run.exists()
        assert Fingerprint.of(vmware_guest) == before
        yield Written(exported, foreign, created, log.read_text().splitlines(), domain, vdsm_created)


def test_what_is_in_the_export_domain(written: Written) -> None:
    found = tree(written.exported)
    new = sorted(found.keys() - written.foreign.keys())
    assert {name: found[name] for name in written.foreign} == written.foreign
    assert FOREIGN_IMAGE in str(written.foreign)
    first, second, ovf = (written.in_domain(created) for created in written.created)
    files = [first, first.with_name(f"{first.name}.meta"), second, second.with_name(f"{second.name}.meta"), ovf]
    directories = [first.parent, second.parent, ovf.parent]
    assert new == sorted(str(path.relative_to(written.exported)) for path in [*files, *directories])
    for path in [*files, *directories]:
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (36, 36), path
    assert ovf == written.exported / DOMAIN_ID / "master" / "vms" / ovf.stem / f"{ovf.stem}.ovf"


def test_how_it_was_mounted(written: Written) -> None:
    *options, place = written.mount_arguments
    assert options == ["-t", "nfs", "-o", "nosuid,nodev,noexec", SERVER]
    assert place.endswith("/run/output/export-domain")


def test_the_disk_in_the_export_domain_boots(written: Written, tmp_path: Path) -> None:
    # by this name the boot harness knows the format
    (tmp_path / "disk.raw").symlink_to(written.in_domain(written.created[0]))
    booted = boot([tmp_path / "disk.raw"])
    assert booted.reached, booted.tail()
    assert booted.facts["root"] == "/dev/vda1"


def test_the_ovf_describes_it(written: Written) -> None:
    root = etree.parse(str(written.in_domain(written.created[2]))).getroot()
    assert root.findtext("Content/Name") == "über & <oVirt>"
    assert root.findtext("Content/Section/Description") == "debian_7"
    disks = [dict(disk.attrib) for disk in root.iterfind("Section/Disk")]
    assert len(disks) == 2
    for disk, created in zip(disks, written.created, strict=False):
        values = {etree.QName(name).localname: value for name, value in disk.items()}
        image = written.in_domain(created)
        assert values["fileRef"] == f"{image.parent.name}/{image.name}"
        assert int(values["capacity"]) == image.stat().st_size
        assert int(values["actual_size"]) == -(-image.stat().st_blocks * 512 // 1024**3)


def test_what_vdsm_got(written: Written) -> None:
    volumes = [written.vdsm / "images" / IMAGES[i] / VOLUMES[i] for i in (0, 1)]
    assert written.vdsm_created[:2] == [str(volume) for volume in volumes]
    assert written.vdsm_created[2].endswith(f"/{MACHINE}.ovf")
    for volume, created in zip(volumes, written.created, strict=False):
        info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", "-f", "qcow2", volume]))
        assert info["format-specific"]["data"]["compat"] == "0.10"
        assert (volume.stat().st_uid, volume.stat().st_gid) == (36, 36)
        assert "FORMAT=COW\n" in volume.with_name(f"{volume.name}.meta").read_text()
        # the same disk as the one that boots
        compared = ["qemu-img", "compare", "-f", "qcow2", "-F", "raw", volume, written.in_domain(created)]
        assert subprocess.run(compared, check=False, capture_output=True).returncode == 0
    assert etree.parse(written.vdsm_created[2]).getroot().findtext("VirtualSystem/Name") is not None


def test_nothing_is_mounted_any_more(written: Written) -> None:
    assert str(written.exported.parent) not in Path("/proc/self/mountinfo").read_text()
