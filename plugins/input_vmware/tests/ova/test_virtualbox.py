# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the section of VirtualBox says: name, firmware, MAC addresses, TPM (libguestfs/virt-v2v#18)."""

from __future__ import annotations

import pytest

from v2v_core.api import Firmware, Guest
from v2v_input_vmware.ova.ovf import parse_ovf
from v2v_input_vmware.ova.virtualbox import mac_address

_NIC = (
    "<Item><Connection>NAT</Connection><ResourceSubType>E1000</ResourceSubType><ResourceType>10</ResourceType></Item>"
)
_ADAPTER = '<Adapter slot="{}" enabled="{}" MACAddress="{}" type="82540EM"><NAT/></Adapter>'


def read(
    machine: str, *, nics: int = 0, name: str = "", namespace: str = "http://www.virtualbox.org/ovf/machine"
) -> Guest:
    warnings: list[str] = []
    text = f"""<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:vbox="{namespace}" xmlns:vmw="http://www.vmware.com/schema/ovf">
<References><File ovf:id="f" ovf:href="a.vmdk"/></References>
<DiskSection><Disk ovf:diskId="d" ovf:fileRef="f"/></DiskSection>
<VirtualSystem ovf:id="x">{name}<VirtualHardwareSection>
<Item><InstanceID>3</InstanceID><ResourceType>20</ResourceType></Item>
<Item><HostResource>/disk/d</HostResource><Parent>3</Parent><ResourceType>17</ResourceType></Item>{_NIC * nics}
</VirtualHardwareSection>{machine}</VirtualSystem></Envelope>"""
    guest = parse_ovf(text.encode(), "file", warnings.append).guest
    assert len(warnings) == (guest.name == "file")
    return guest


def machine(hardware: str, more: str = "") -> str:
    return f'<vbox:Machine name="course" OSType="Ubuntu_64">{more}<Hardware>{hardware}</Hardware></vbox:Machine>'


def test_name_and_system() -> None:
    guest = read(machine(""))
    assert (guest.name, guest.os) == ("course", "Ubuntu_64")
    assert read(machine(""), name="<Name>better</Name>").name == "better"
    identifier = "<VirtualSystemIdentifier>plain</VirtualSystemIdentifier>"
    assert read("", name=f"<Other>{identifier}</Other>").name == "plain"
    assert read("").name == "file"


@pytest.mark.parametrize(
    ("hardware", "firmware"),
    [
        ('<Firmware type="EFI"/>', Firmware.UEFI),
        ('<Firmware type="EFI64"/>', Firmware.UEFI),
        ('<Firmware type="BIOS"/>', Firmware.BIOS),
        ("", Firmware.BIOS),
    ],
)
def test_firmware(hardware: str, firmware: Firmware) -> None:
    assert read(machine(hardware)).firmware is firmware


def test_without_the_section_the_firmware_is_unknown() -> None:
    assert read("").firmware is Firmware.UNKNOWN
    assert read(machine('<Firmware type="EFI"/>'), namespace="urn:of-another-vendor").firmware is Firmware.UNKNOWN


def test_the_hardware_of_snapshots_does_not_count() -> None:
    snapshot = '<Snapshot name="old"><Hardware><Firmware type="EFI"/></Hardware></Snapshot>'
    assert read(machine('<Firmware type="BIOS"/>', snapshot)).firmware is Firmware.BIOS


@pytest.mark.parametrize(("version", "tpm"), [("v1_2", "1.2"), ("v2_0", "2.0"), ("None", None), ("Host", None)])
def test_tpm(version: str, tpm: str | None) -> None:
    assert read(machine(f'<TrustedPlatformModule type="{version}"/>')).tpm == tpm


def test_macs_of_enabled_adapters_in_the_order_of_their_slots() -> None:
    adapters = "".join(
        _ADAPTER.format(*each)
        for each in ((3, "true", "080027AABB03"), (0, "true", "080027AABB00"), (1, "false", "080027AABB01"))
    )
    found = read(machine(f"<Network>{adapters}</Network>"), nics=2)
    assert [nic.mac for nic in found.nics] == ["08:00:27:aa:bb:00", "08:00:27:aa:bb:03"]
    assert [nic.model for nic in found.nics] == ["e1000", "e1000"]


@pytest.mark.parametrize("nics", [1, 3])
def test_macs_are_not_guessed(nics: int) -> None:
    adapters = "".join(_ADAPTER.format(slot, "true", f"080027AABB0{slot}") for slot in range(2))
    found = read(machine(f"<Network>{adapters}</Network>"), nics=nics)
    assert [nic.mac for nic in found.nics] == [None] * nics


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("080027AABB01", "08:00:27:aa:bb:01"),
        ("08-00-27-AA-BB-01", "08:00:27:aa:bb:01"),
        ("00:50:56:AB:cd:01", "00:50:56:AB:cd:01"),
        ("7", None),
        ("", None),
        ("00:50:56:ab:cd", None),
        ("ethernet adapter", None),
    ],
)
def test_forms_of_mac_addresses(text: str, mac: str | None) -> None:
    assert mac_address(text) == mac
