# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole conversion of a real guest, by what ``pip install 'v2v-cli[all]'`` has installed from the wheels."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from packaging_site import ROOT, Site
from runs import Fingerprint, Place

pytestmark = pytest.mark.slow

MAC = "00:50:56:01:02:03"
VMX = f"""\
.encoding = "UTF-8"
displayName = "from a vmx file"
memSize = "1024"
scsi0.present = "TRUE"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "guest.vmdk"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.addressType = "static"
ethernet0.address = "{MAC}"
"""


def test_nothing_of_the_checkout_is_used(site: Site) -> None:
    program = "import v2v_cli, v2v_core, v2v_convert_guestfs, v2v_input_vmware\n" + (
        "print(v2v_cli.__file__, v2v_core.__file__, v2v_convert_guestfs.__file__, v2v_input_vmware.__file__)"
    )
    files = site.succeed("python", "-c", program).split()
    assert len(files) == 4
    assert all(Path(file).is_relative_to(site.place / "venv") for file in files), files
    assert not Path(site.place).is_relative_to(ROOT)


def test_a_local_vmx_file_converts(site: Site, place: Place, unchanged_vmware_guest: Path) -> None:
    """The OVA of the same guest boots after its conversion: ``tests/conversions/test_vmware_inputs.py``."""
    directory, out = place.root / "guest", place.root / "out"
    directory.mkdir()
    out.mkdir()
    argv = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat"]
    subprocess.run([*argv, unchanged_vmware_guest, directory / "guest.vmdk"], check=True)
    (directory / "guest.vmx").write_text(VMX)
    before = Fingerprint.of(directory / "guest-flat.vmdk")
    said = site.succeed(
        *("virt-v2v", "-i", "vmx", str(directory / "guest.vmx"), "-o", "local", "-os", str(out), "-of", "qcow2"),
        **place.environment,
    )
    assert "Copying disk 1/1" in said
    assert Fingerprint.of(directory / "guest-flat.vmdk") == before
    assert sorted(path.name for path in out.iterdir()) == ["from a vmx file-sda", "from a vmx file.xml"]
    domain = ElementTree.parse(out / "from a vmx file.xml").getroot()  # noqa: S314 - our own output
    (mac,) = domain.iterfind("devices/interface/mac")
    assert mac.get("address") == MAC
    assert domain.findtext("memory") == str(1024 * 1024)
    disk = out / "from a vmx file-sda"
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", "-f", "qcow2", disk]))
    assert info["virtual-size"] == (directory / "guest-flat.vmdk").stat().st_size
    assert info["actual-size"] > 200 * 1024 * 1024
