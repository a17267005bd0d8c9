# SPDX-License-Identifier: GPL-2.0-or-later
"""OVF descriptors: every field that is read, and contents that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_core.api import Bus, Cpu, Firmware, Guest, Nic, SourceDisk, SourceError, Topology
from v2v_core.testing import bounded
from v2v_input_vmware.ova.drives import OvfDisk
from v2v_input_vmware.ova.ovf import Descriptor, parse_ovf

_DISK = """
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource>
 <rasd:InstanceID>7</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
"""


def ovf(
    items: str = "",
    *,
    name: str = "<Name>guest</Name>",
    extra: str = "",
    files: str = '<File ovf:href="disk1.vmdk" ovf:id="f1" ovf:size="5"/>',
    disks: str = '<Disk ovf:capacity="10" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d1" ovf:fileRef="f1"/>',
    sections: str = "",
    disk: str = _DISK,
) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References>{files}</References><DiskSection>{disks}</DiskSection>{sections}
 <VirtualSystem ovf:id="vm">{name}
  <VirtualHardwareSection>{items}{disk}{extra}</VirtualHardwareSection>
 </VirtualSystem></Envelope>""".encode()


def item(kind: int, **values: str) -> str:
    texts = "".join(f"<rasd:{key}>{value}</rasd:{key}>" for key, value in values.items())
    return f"<Item>{texts}<rasd:ResourceType>{kind}</rasd:ResourceType></Item>"


def read(data: bytes) -> tuple[Descriptor, list[str]]:
    warnings: list[str] = []
    return parse_ovf(data, "from-file", warnings.append), warnings


def guest(data: bytes) -> Guest:
    found, warnings = read(data)
    assert warnings == []
    return found.guest


def test_defaults() -> None:
    found, warnings = read(ovf(name=""))
    assert found.guest == Guest(
        name="from-file",
        hypervisor="vmware",
        memory=1024 * 1024 * 1024,
        firmware=Firmware.UNKNOWN,
        disks=(SourceDisk(index=1, bus=Bus.SCSI, origin="disk1.vmdk", unit=0),),
    )
    assert found.disks == (
        OvfDisk(bus=Bus.SCSI, href="disk1.vmdk", label="disk1.vmdk", unit=0, size=5, capacity=10 * 1024 * 1024),
    )
    assert len(warnings) == 1


def test_what_the_descriptor_does_not_say_is_assumed() -> None:
    assert read(ovf())[0].assumed == ("memory", "cpu")
    assert read(ovf(item(4, VirtualQuantity="512")))[0].assumed == ("cpu",)
    assert read(ovf(item(4, VirtualQuantity="512") + item(3, VirtualQuantity="2")))[0].assumed == ()


def test_name() -> None:
    assert guest(ovf(name="<Name> a &amp; b </Name>")).name == "a & b"


@pytest.mark.parametrize(
    ("unit", "size"),
    [(None, 2**20), ("byte * 2^20", 2**20), ("byte * 2^30", 2**30), ("MegaBytes", 2**20), ("GigaBytes", 2**30)],
)
def test_memory(unit: str | None, size: int) -> None:
    units = {"AllocationUnits": unit} if unit else {}
    assert guest(ovf(item(4, VirtualQuantity="3", **units))).memory == 3 * size


def test_cpus() -> None:
    assert guest(ovf(item(3, VirtualQuantity="4"))).cpu == Cpu(count=4)
    cores = "<vmw:CoresPerSocket>2</vmw:CoresPerSocket>"
    with_cores = item(3, VirtualQuantity="4").replace("</Item>", f"{cores}</Item>")
    assert guest(ovf(with_cores)).cpu == Cpu(count=4, topology=Topology(sockets=2, cores=2, threads=1))


@pytest.mark.parametrize("cores", ["0", "5", "-1", "many"])
def test_wrong_cores_are_told(cores: str) -> None:
    text = item(3, VirtualQuantity="4").replace("</Item>", f"<vmw:CoresPerSocket>{cores}</vmw:CoresPerSocket></Item>")
    found, warnings = read(ovf(text))
    assert found.guest.cpu == Cpu(count=4)
    assert len(warnings) == 1


@pytest.mark.parametrize(("value", "firmware"), [("bios", Firmware.BIOS), ("efi", Firmware.UEFI)])
def test_firmware(value: str, firmware: Firmware) -> None:
    assert (
        guest(ovf(extra=f'<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{value}"/>')).firmware
        is firmware
    )


@pytest.mark.parametrize(("value", "enabled"), [("true", True), ("false", False)])
def test_secure_boot(value: str, enabled: bool) -> None:
    config = f'<vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="{value}"/>'
    assert guest(ovf(extra=config)).secure_boot is enabled
    assert not guest(ovf()).secure_boot


def test_tpm() -> None:
    assert guest(ovf(item(1, InstanceID="14", ResourceSubType="vmware.vtpm"))).tpm == "2.0"
    assert guest(ovf(item(1, InstanceID="14", ResourceSubType="vmware.vmci"))).tpm is None


def test_operating_system() -> None:
    section = '<OperatingSystemSection ovf:id="94" vmw:osType="ubuntu64Guest"><Info/></OperatingSystemSection>'
    assert guest(ovf().replace(b"<VirtualHardwareSection>", section.encode() + b"<VirtualHardwareSection>")).os == (
        "ubuntu64Guest"
    )
    assert guest(ovf()).os is None


def test_boot_order() -> None:
    files = "".join(f'<File ovf:href="{name}.vmdk" ovf:id="f{name}"/>' for name in "abc")
    disks = "".join(f'<Disk ovf:diskId="d{name}" ovf:fileRef="f{name}"/>' for name in "abc")
    drives = item(6, InstanceID="3") + "".join(
        item(17, InstanceID=str(number), Parent="3", HostResource=f"ovf:/disk/d{name}")
        for number, name in enumerate("abc", 7)
    )
    data = ovf(files=files, disks=disks, disk=drives)
    assert [disk.boot_order for disk in guest(data).disks] == [None, None, None]
    order = "".join(
        f'<vmw:BootOrderSection vmw:instanceId="{number}" vmw:type="{kind}"><Info/></vmw:BootOrderSection>'
        for number, kind in ((4, "cdrom"), (9, "disk"), (7, "disk"), (9, "disk"))
    )
    ordered = guest(data.replace(b"</VirtualSystem>", order.encode() + b"</VirtualSystem>"))
    assert [(disk.origin, disk.boot_order) for disk in ordered.disks] == [
        ("a.vmdk", 2),
        ("b.vmdk", None),
        ("c.vmdk", 1),
    ]
    assert ordered.boot_sequence == (3, 1, 2)


def test_unknown_firmware_is_refused() -> None:
    with pytest.raises(SourceError, match="firmware 'coreboot'"):
        read(ovf(extra='<vmw:Config vmw:key="firmware" vmw:value="coreboot"/>'))


def test_nics() -> None:
    nics = item(10, Connection="VM Network", ResourceSubType="VmxNet3", Address="00:50:56:00:00:01") + item(
        10, ResourceSubType="E1000"
    )
    assert guest(ovf(nics)).nics == (
        Nic(network="VM Network", kind="bridge", mac="00:50:56:00:00:01", model="vmxnet3"),
        Nic(network="eth1", kind="network", model="e1000"),
    )


def test_the_default_deployment_counts() -> None:
    sections = (
        '<DeploymentOptionSection><Configuration ovf:id="small"/><Configuration ovf:id="big" ovf:default="true"/>'
        "</DeploymentOptionSection>"
    )
    items = "".join(
        f'<Item ovf:configuration="{which}"><rasd:ResourceType>4</rasd:ResourceType>'
        f"<rasd:VirtualQuantity>{megabytes}</rasd:VirtualQuantity></Item>"
        for which, megabytes in (("small", 512), ("big", 4096))
    )
    assert guest(ovf(items, sections=sections)).memory == 4096 * 2**20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<Envelope",
        b"<Envelope/>",
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Envelope>&a;</Envelope>',
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Envelope>&b;</Envelope>',
        ovf(files='<File ovf:href="d" ovf:id="f1" ovf:compression="zip"/>'),
        ovf(files='<File ovf:id="f1"/>'),
        ovf(files=""),
        ovf(disks=""),
        ovf(disk=""),
        ovf(disk=item(17, HostResource="/etc/passwd")),
        ovf(item(10) * 1001),
        ovf().replace(b"</Envelope>", b"<VirtualSystem/></Envelope>"),
    ],
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        read(data)
    assert caught.value.hint or "OVF" in caught.value.message


_PIECES = st.sampled_from(
    [
        "<rasd:ResourceType>17</rasd:ResourceType>",
        "<rasd:VirtualQuantity>9999999999999999999999</rasd:VirtualQuantity>",
        "<Item>",
        "</Item>",
        "<VirtualSystem>",
        "</VirtualSystem>",
        "<rasd:Parent>3</rasd:Parent>",
        "&#0;",
        "&lt;",
        "<a/>",
        '<vmw:Config vmw:key="firmware"/>',
        "<rasd:AllocationUnits>byte * 2^99</rasd:AllocationUnits>",
        "\x7f",
        "<!-- -->",
    ]
)


@settings(max_examples=200)
@given(st.lists(_PIECES, max_size=12), st.binary(max_size=20), st.integers(0, 2000))
def test_no_descriptor_is_a_surprise(pieces: list[str], noise: bytes, at: int) -> None:
    for data in (ovf("".join(pieces)), ovf()[:at] + noise + ovf()[at:]):
        try:
            with bounded():
                found, _ = read(data)
        except SourceError as err:
            assert "\n" not in err.message
            continue
        assert found.disks
        assert len(found.guest.disks) == len(found.disks)
        assert found.guest.memory > 0
