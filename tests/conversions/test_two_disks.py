# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with two disks in two formats, several partitions, swap and resume, and an awkward name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from guests.boot import boot
from runs import Place, said

pytestmark = pytest.mark.slow

NAME = "Bücher & \"Söhne\" 'alt'/neu"


def test_two_disks_of_two_formats_and_an_awkward_name(place: Place, two_disk_guest: tuple[Path, Path]) -> None:
    sources = [place.root / "erste platte.qcow2", place.root / "zweite.vmdk"]
    for image, source, image_format in zip(two_disk_guest, sources, ("qcow2", "vmdk"), strict=True):
        subprocess.run(["qemu-img", "convert", "-O", image_format, image, source], check=True)
    out = place.root / "out dir"
    out.mkdir()
    done = place.run(
        *("virt-v2v", "-i", "disk", *sources, "-o", "local", "-os", out, "-on", NAME),
        *("-of", "qcow2", "-oo", "compressed", "--parallel", "2"),
    )
    assert done.returncode == 0, said(done)
    assert "Copying disk 2/2" in done.stdout
    assert len(list(out.iterdir())) == 3, list(out.iterdir())
    (xml,) = out.glob("*.xml")
    checked = subprocess.run(["virt-xml-validate", xml, "domain"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    domain = ElementTree.parse(xml).getroot()  # noqa: S314 - our own output
    assert domain.findtext("name") == NAME.replace("/", "_")
    disks = [Path(source.get("file", "")) for source in domain.iterfind("devices/disk/source")]
    assert [disk.parent for disk in disks] == [out, out]
    for disk in disks:
        info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", disk]))
        assert info["format"] == "qcow2"
        assert "backing-filename" not in info
    # by these names the boot harness knows the format
    named = [place.root / f"disk{number}.qcow2" for number in range(len(disks))]
    for name, disk in zip(named, disks, strict=True):
        name.symlink_to(disk)
    booted = boot(named)
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
    assert booted.mounts["/"].startswith("/dev/vda")
    assert booted.mounts["/boot"].startswith("/dev/vda")
    assert booted.mounts["/srv/data"] == "/dev/vdb1"
    assert booted.facts["swap"] == "/dev/vda4"
