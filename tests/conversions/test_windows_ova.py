# SPDX-License-Identifier: GPL-2.0-or-later
"""The real Windows 7 as an OVA with two NICs and two disks: it keeps its static addresses, letters and order."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ova_files import descriptor, manifest, pack, stream_optimized
from runs import Place, said
from virtio_win_tree import make_tree
from windows_first_boot.wine import Answer, copied, new_prefix
from windows_images.build import disks
from windows_images.real_hives import NoHives
from windows_images.recipe import DataDisk
from windows_images.recipes import WINDOWS_7

pytestmark = pytest.mark.slow

TWO_DISKS = dataclasses.replace(WINDOWS_7, name="7-real-two-disks", data_disk=DataDisk())
#: Those that Windows remembers; the source has them in another order than Windows found them.
MACS = ("00:50:56:a5:12:69", "00:0c:29:77:d9:81")
OLD = {
    "{698E50A9-4F58-4D86-B61D-F42E58DCACF6}": "10.3.58.5",
    "{6AAFC9A9-0542-4DB2-8760-CCFFA953737C}": "192.168.1.123",
}
_SECOND_NIC = """\
   <Item><rasd:Address>{mac}</rasd:Address><rasd:Connection>Back</rasd:Connection>
    <rasd:InstanceID>91</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType>
    <rasd:ResourceType>10</rasd:ResourceType></Item>
  </VirtualHardwareSection>"""
_CARDS = (
    '"Local Area Connection 4","Red Hat VirtIO Ethernet Adapter #2","00-0C-29-77-D9-81","\\Device\\Tcpip_{2}"\n'
    '"Local Area Connection 3","Red Hat VirtIO Ethernet Adapter","00-50-56-A5-12-69","\\Device\\Tcpip_{1}"\n'
)
_SHOWN = (
    "    IP Address:                           10.3.58.5\n    IP Address:                           192.168.1.123\n"
)


def test_two_nics_and_two_disks(place: Place, tmp_path: Path) -> None:
    try:
        images = disks(TWO_DISKS)
    except NoHives as reason:
        pytest.skip(str(reason))
    out = place.root / "out"
    out.mkdir()
    done = place.run(
        *("virt-v2v", "-i", "ova", _package(images, place.root), "-o", "local", "-os", out),
        VIRTIO_WIN=str(make_tree(place.root / "virtio-win")),
    )
    assert done.returncode == 0, said(done)
    domain = ElementTree.parse(out / "seven.xml").getroot()  # noqa: S314 - our own output
    assert [mac.get("address") for mac in domain.iterfind("devices/interface/mac")] == list(MACS)
    assert [disk.get("dev") for disk in domain.iterfind("devices/disk[@device='disk']/target")] == ["vda", "vdb"]
    assert TWO_DISKS.data_disk is not None
    with _registry(*images) as (before, _), _registry(out / "seven-sda", out / "seven-sdb") as (after, first_boot):
        letters = _values(after, "MountedDevices")
        assert letters == _values(before, "MountedDevices")
        assert rf"\DosDevices\{TWO_DISKS.data_disk.letter}:" in letters
        for guid, address in OLD.items():
            interface = rf"ControlSet001\Services\Tcpip\Parameters\Interfaces\{guid}"
            assert _values(before, interface)["IPAddress"] == [address]
            left = _values(after, interface)
            assert left["EnableDHCP"] == 1
            assert not {"IPAddress", "SubnetMask", "DefaultGateway"} & set(left)
            assert left["NameServer"] == _values(before, interface)["NameServer"]
        (path,) = (first_boot / "scripts").glob("*network*.bat")
        script, names = path.read_bytes().decode("ascii"), (first_boot / "files/network-names.txt").read_bytes()
    assert names == b"1=Local Area Connection 2\r\n2=Local Area Connection\r\n"
    assert _calls(script, names, tmp_path) == [
        'interface ipv4 set address name="Local Area Connection 3" source=static address=10.3.58.5 '
        "mask=255.255.255.0 gateway=10.3.58.1",
        'interface ipv4 set dns name="Local Area Connection 3" source=static address=10.3.58.4 register=primary '
        "validate=no",
        'interface ipv4 set address name="Local Area Connection 4" source=static address=192.168.1.123 '
        "mask=255.255.255.0 gateway=192.168.1.1",
        'interface ipv4 set dns name="Local Area Connection 4" source=static address=192.168.1.112 register=primary '
        "validate=no",
        'interface set interface name="Local Area Connection 3" newname="virt-v2v 1"',
        'interface set interface name="Local Area Connection 4" newname="virt-v2v 2"',
        'interface set interface name="virt-v2v 1" newname="Local Area Connection 2"',
        'interface set interface name="virt-v2v 2" newname="Local Area Connection"',
    ]


def _package(images: tuple[Path, ...], root: Path) -> Path:
    """Return the disks as an OVA."""
    packed = root / "packed"
    packed.mkdir()
    vmdks = [stream_optimized(image, packed / f"seven-disk{number}.vmdk") for number, image in enumerate(images, 1)]
    described = descriptor({vmdk.name: vmdk for vmdk in vmdks}, name="seven", mac=MACS[0]).decode()
    described = described.replace("VmxNet3", "E1000")
    described = described.replace("  </VirtualHardwareSection>", _SECOND_NIC.format(mac=MACS[1]))
    (packed / "seven.ovf").write_text(described)
    (packed / "seven.mf").write_text(manifest([packed / "seven.ovf", *vmdks]))
    return pack(packed, root / "seven.ova")


@contextlib.contextmanager
def _registry(*images: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the hive SYSTEM of a guest, and the directory of its first boot."""
    from dissect.regf import RegistryHive
    from dissect.target import Target, container

    with contextlib.ExitStack() as stack:
        target = Target()
        for image in images:
            target.disks.add(stack.enter_context(contextlib.closing(container.open(image))))
        target.apply()
        volume = target.fs.path("sysvol")
        hive = stack.enter_context((volume / "Windows/System32/config/SYSTEM").open("rb"))
        yield RegistryHive(hive), volume / "Program Files/v2v-firstboot"


def _values(hive: Any, key: str) -> dict[str, Any]:
    return {value.name: value.value for value in hive.open(key).values()}


def _calls(script: str, names: bytes, tmp_path: Path) -> list[str]:
    """Return what the script changes with netsh."""
    template = new_prefix(tmp_path / "template")
    with copied(template, tmp_path / "windows") as windows:
        windows.stand_in("getmac", Answer(output=_CARDS))
        windows.stand_in("netsh", Answer("show address", output=_SHOWN))
        ran = windows.run_batch(script, {"network-names.txt": names})
        assert ran.code == 250, ran.output
        return [call for call in windows.calls("netsh") if " show " not in call]
