# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest as an OVA, and as a VMX file on a host that is reached over ssh.

A local VMX file is converted by the installed wheels: ``tests/packaging/test_installed_conversion.py``.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from guests.boot import boot
from ova_files import descriptor, manifest, pack, stream_optimized
from runs import Fingerprint, Place, said
from v2v_core.testing import running_sshd

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


def converted(place: Place, *words: str | Path, name: str) -> Path:
    """Convert to a local guest, check its domain XML, and return its disk."""
    out = place.root / "out"
    out.mkdir(exist_ok=True)
    done = place.run("virt-v2v", *words, "-o", "local", "-os", out, "-of", "qcow2")
    assert done.returncode == 0, said(done)
    domain = ElementTree.parse(out / f"{name}.xml").getroot()  # noqa: S314 - our own output
    (mac,) = domain.iterfind("devices/interface/mac")
    assert mac.get("address") == MAC
    assert domain.findtext("memory") == str(1024 * 1024)
    disk = place.root / "disk.qcow2"
    disk.symlink_to(out / f"{name}-sda")
    return disk


def test_an_ova_converts_and_boots(place: Place, unchanged_vmware_guest: Path) -> None:
    packed = place.root / "packed"
    packed.mkdir()
    disk = stream_optimized(unchanged_vmware_guest, packed / "guest-disk1.vmdk")
    (packed / "guest.ovf").write_bytes(descriptor({disk.name: disk}, name="packed guest", mac=MAC))
    (packed / "guest.mf").write_text(manifest([packed / "guest.ovf", disk]))
    ova = pack(packed, place.root / "guest.ova")
    before = Fingerprint.of(ova)
    image = converted(place, "-i", "ova", ova, name="packed guest")
    assert Fingerprint.of(ova) == before
    booted = boot([image])
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
    assert booted.mounts["/"] == "/dev/vda1"


def test_a_vmx_file_over_ssh_converts(place: Place, unchanged_vmware_guest: Path) -> None:
    datastore = place.root / "datastore1" / "guest"
    datastore.mkdir(parents=True)
    (datastore / "guest.vmx").write_text(VMX)
    (datastore / "guest.vmdk").write_text("# Disk DescriptorFile\n")
    (datastore / "guest-flat.vmdk").symlink_to(unchanged_vmware_guest)
    with running_sshd(place.root / "sshd") as server:
        uri = server.uri(str(datastore / "guest.vmx"))
        converted(place, "-i", "vmx", "-it", "ssh", uri, *server.options, name="from a vmx file")
