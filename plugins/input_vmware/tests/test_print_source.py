# SPDX-License-Identifier: GPL-2.0-or-later
"""``--print-source`` of OVA and VMX: the text that scripts written for virt-v2v compare, as the command prints it.

That of vCenter is in ``vcenter/test_plugin.py`` and ``vcenter/test_esxi.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ova_files import pack

EMPTY = "\N{SPACE}"

OVF = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
<References><File ovf:href="a.vmdk" ovf:id="f1"/><File ovf:href="b.vmdk" ovf:id="f2"/></References>
<DiskSection><Disk ovf:diskId="d1" ovf:fileRef="f1"/><Disk ovf:diskId="d2" ovf:fileRef="f2"/></DiskSection>
<VirtualSystem ovf:id="vm"><Name>Bücher 2</Name><VirtualHardwareSection>
<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
 <rasd:VirtualQuantity>4</rasd:VirtualQuantity><vmw:CoresPerSocket>2</vmw:CoresPerSocket></Item>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
 <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
<Item><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceType>5</rasd:ResourceType></Item>
<Item><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceType>20</rasd:ResourceType></Item>
<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:InstanceID>6</rasd:InstanceID><rasd:Parent>4</rasd:Parent>
 <rasd:ResourceType>15</rasd:ResourceType></Item>
<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:InstanceID>7</rasd:InstanceID>
 <rasd:ResourceType>14</rasd:ResourceType></Item>
<Item><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:InstanceID>8</rasd:InstanceID><rasd:Parent>3</rasd:Parent>
 <rasd:ResourceType>17</rasd:ResourceType></Item>
<Item><rasd:HostResource>/disk/d2</rasd:HostResource><rasd:InstanceID>9</rasd:InstanceID><rasd:Parent>5</rasd:Parent>
 <rasd:ResourceType>17</rasd:ResourceType></Item>
<Item><rasd:Address>00:50:56:01:02:03</rasd:Address><rasd:Connection>VM Network</rasd:Connection>
 <rasd:InstanceID>10</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
 <rasd:ResourceType>10</rasd:ResourceType></Item>
<Item><rasd:InstanceID>11</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType>
 <rasd:ResourceType>10</rasd:ResourceType></Item>
<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
</VirtualHardwareSection></VirtualSystem></Envelope>
"""

OVA_TEXT = f"""\
Source guest information (--print-source option):

    source name: Bücher 2
hypervisor type: vmware
       VM genid:{EMPTY}
         memory: 2147483648 (bytes)
       nr vCPUs: 4
     CPU vendor:{EMPTY}
      CPU model:{EMPTY}
   CPU topology: sockets: 2 cores/socket: 2 threads/core: 1
   CPU features:{EMPTY}
       firmware: uefi
UEFI secureboot: false
        display:{EMPTY}
          sound:{EMPTY}
disks:
\t0 [scsi]
\t1 [sata]
removable media:
\tCD-ROM [ide] in slot 0
\tFloppy in slot 0
NICs:
\tBridge "VM Network" mac: 00:50:56:01:02:03 [vmxnet3]
\tNetwork "eth1" [e1000]

"""

VMX = """\
.encoding = "UTF-8"
displayName = "with everything"
memSize = "4096"
numvcpus = "2"
firmware = "efi"
uefi.secureBoot.enabled = "TRUE"
vm.genid = "81985529216486895"
vm.genidX = "1234605616436508552"
sound.virtualDev = "hdaudio"
scsi0:0.fileName = "a.vmdk"
nvme0:0.fileName = "b.vmdk"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "VM Network"
ethernet0.generatedAddress = "00:0c:29:01:02:03"
ethernet1.connectionType = "bridged"
"""

VMX_TEXT = f"""\
Source guest information (--print-source option):

    source name: with everything
hypervisor type: vmware
       VM genid: 89abcdef-4567-0123-8877-665544332211
         memory: 4294967296 (bytes)
       nr vCPUs: 2
     CPU vendor:{EMPTY}
      CPU model:{EMPTY}
   CPU topology:{EMPTY}
   CPU features:{EMPTY}
       firmware: uefi
UEFI secureboot: true
        display:{EMPTY}
          sound: ich6
disks:
\t0 [scsi]
\t1 [nvme]
removable media:

NICs:
\tNetwork "VM Network" mac: 00:0c:29:01:02:03 [vmxnet3]
\tBridge "ethernet1"

"""

BARE = """\
displayName = "bare"
ide0:0.deviceType = "ata-hardDisk"
ide0:0.fileName = "a.vmdk"
"""

BARE_TEXT = f"""\
Source guest information (--print-source option):

    source name: bare
hypervisor type: vmware
       VM genid:{EMPTY}
         memory: 33554432 (bytes)
       nr vCPUs: 1
     CPU vendor:{EMPTY}
      CPU model:{EMPTY}
   CPU topology:{EMPTY}
   CPU features:{EMPTY}
       firmware: bios
UEFI secureboot: false
        display:{EMPTY}
          sound:{EMPTY}
disks:
\t0 [ide]
removable media:

NICs:


"""


def printed(*words: str | Path) -> str:
    """Run the command and return its output without the lines of the stages, which scripts skip by their ``[``."""
    program = Path(sys.executable).with_name("virt-v2v")
    done = subprocess.run([program, *words, "--print-source"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("["))


@pytest.fixture
def disks(tmp_path: Path) -> Path:
    """Create a directory with two disks."""
    directory = tmp_path / "guest"
    directory.mkdir()
    for name in ("a.vmdk", "b.vmdk"):
        argv = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicSparse", directory / name, "10M"]
        subprocess.run(argv, check=True)
    return directory


@pytest.mark.parametrize("suffix", ["", ".ova", ".gz", ".xz", ".zip"])
def test_ova(disks: Path, tmp_path: Path, suffix: str) -> None:
    (disks / "guest.ovf").write_text(OVF)
    assert printed("-i", "ova", pack(disks, tmp_path / f"guest{suffix}") if suffix else disks) == OVA_TEXT


@pytest.mark.parametrize(("text", "expected"), [(VMX, VMX_TEXT), (BARE, BARE_TEXT)])
def test_vmx(disks: Path, text: str, expected: str) -> None:
    (disks / "guest.vmx").write_text(text)
    assert printed("-i", "vmx", disks / "guest.vmx") == expected
