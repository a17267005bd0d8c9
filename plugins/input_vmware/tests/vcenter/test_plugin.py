# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter`` with govmomi's simulator: the contract, the metadata, finding machines, names, sessions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from v2v_cli.render.print_source import print_source
from v2v_core.api import Bus, Cpu, Firmware, Removable, SourceError, Topology, UsageError
from v2v_core.testing import InputExample, InputPluginContract
from v2v_input_vmware.vcenter.address import parse_address
from v2v_input_vmware.vcenter.datastore import folder_path
from v2v_input_vmware.vcenter.inventory import datacenter_of, find_vm, path_of, properties
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_input import served, setup
from vcenter_simulator import USER, Vcenter, running_vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"datastore" * 65536 + b"\0" * 448 * 1024
CONTENT = CONTENT[: len(CONTENT) // 1024 * 1024]


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine with two disks and return its moref."""
    from pyVmomi import vim

    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    return vcenter.add_vm(
        "my guest",
        [image, image],
        memoryMB=512,
        numCPUs=4,
        numCoresPerSocket=2,
        firmware="efi",
        guestId="debian11_64Guest",
        devices=[vim.vm.device.VirtualTPM(key=11000)],
        bootOptions=vim.vm.BootOptions(
            efiSecureBootEnabled=True,
            bootOrder=[
                vim.vm.BootOptions.BootableDiskDevice(deviceKey=2001),
                vim.vm.BootOptions.BootableDiskDevice(deviceKey=2000),
            ],
        ),
        extraConfig=[
            vim.option.OptionValue(key="vm.genid", value="81985529216486895"),
            vim.option.OptionValue(key="vm.genidX", value="1234605616436508552"),
        ],
    )


class TestContract(InputPluginContract):
    plugin_class = VcenterInput
    in_place = False

    @pytest.fixture
    def example(self, vcenter: Vcenter, guest: str) -> InputExample:
        return InputExample(
            arguments=("my guest",),
            connection=vcenter.uri,
            password_file=vcenter.password_file,
            options=(("ca-file", str(vcenter.certificate)),),
            contents=(CONTENT, CONTENT),
            files=tuple((vcenter.datastore / "my guest").iterdir()),
        )


def test_metadata(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    found, report = setup(vcenter, tmp_path, "my guest")
    assert found.guest.name == "my guest"
    assert found.guest.hypervisor == "vmware"
    assert found.guest.memory == 512 * 1024 * 1024
    assert found.guest.cpu == Cpu(count=4, topology=Topology(sockets=2, cores=2, threads=1))
    assert found.guest.firmware is Firmware.UEFI
    assert found.guest.secure_boot
    assert found.guest.genid == "89abcdef-4567-0123-8877-665544332211"
    assert [(disk.bus, disk.size) for disk in found.guest.disks] == [(Bus.SCSI, len(CONTENT))] * 2
    assert [disk.boot_order for disk in found.guest.disks] == [2, 1]
    assert (found.guest.tpm, found.guest.os) == ("2.0", "debian11_64Guest")
    (nic,) = found.guest.nics
    assert (nic.network, nic.kind, nic.mac, nic.model) == ("VM Network", "bridge", "00:50:56:01:02:03", "vmxnet3")
    assert report.warnings == []


def test_print_source(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    """Scripts compare the text of --print-source. As with libvirt, features and display are empty."""
    found, _ = setup(vcenter, tmp_path, "my guest")
    assert (
        print_source(found.guest)
        == """\
Source guest information (--print-source option):

    source name: my guest
hypervisor type: vmware
       VM genid: 89abcdef-4567-0123-8877-665544332211
         memory: 536870912 (bytes)
       nr vCPUs: 4
     CPU vendor:\N{SPACE}
      CPU model:\N{SPACE}
   CPU topology: sockets: 2 cores/socket: 2 threads/core: 1
   CPU features:\N{SPACE}
       firmware: uefi
UEFI secureboot: true
        display:\N{SPACE}
          sound:\N{SPACE}
disks:
\t0 [scsi]
\t1 [scsi]
removable media:

NICs:
\tBridge "VM Network" mac: 00:50:56:01:02:03 [vmxnet3]

"""
    )


def test_every_controller_drive_and_nic(vcenter: Vcenter, image: Path, tmp_path: Path) -> None:
    from pyVmomi import vim

    device = vim.vm.device
    remote = device.VirtualCdrom.RemotePassthroughBackingInfo(deviceName="", exclusive=False)
    floppy = device.VirtualFloppy.RemoteDeviceBackingInfo(deviceName="")
    network = device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    slot = device.VirtualDevice.PciBusSlotInfo(pciSlotNumber=33)
    devices: list[Any] = [
        device.VirtualIDEController(key=200, busNumber=0),
        device.VirtualIDEController(key=201, busNumber=1),
        device.VirtualSCSIController(key=1001, busNumber=1, sharedBus="noSharing"),
        device.VirtualAHCIController(key=15000, busNumber=0),
        device.VirtualAHCIController(key=15001, busNumber=1),
        device.VirtualNVMEController(key=31000, busNumber=0),
        device.VirtualSIOController(key=400, busNumber=0),
        device.VirtualCdrom(key=3000, controllerKey=201, unitNumber=0, backing=remote),
        device.VirtualCdrom(key=16000, controllerKey=15001, unitNumber=1, backing=remote),
        device.VirtualFloppy(key=8000, controllerKey=400, unitNumber=0, backing=floppy),
        device.VirtualE1000(key=4001, backing=network, macAddress="00:50:56:01:02:04", slotInfo=slot),
        device.VirtualE1000e(key=4002, backing=network, macAddress="00:50:56:01:02:05"),
        device.VirtualPCNet32(key=4003, backing=network, macAddress="00:50:56:01:02:06"),
    ]
    places = [(201, 1), (15000, 3), (31000, 0), (1001, 2), (1000, 8), (1000, 0)]
    vcenter.add_vm("of everything", [image] * len(places), devices=devices, places=places, firmware="bios")
    found, report = setup(vcenter, tmp_path, "of everything")
    guest = found.guest
    assert [disk.bus for disk in guest.disks] == [Bus.SCSI, Bus.SCSI, Bus.SCSI, Bus.NVME, Bus.SATA, Bus.IDE]
    numbers = [(disk.origin or "").rpartition("_")[2].removesuffix(".vmdk") for disk in guest.disks]
    assert numbers == ["5", "4", "3", "2", "1", "0] of everything/of everything"]
    assert [disk.boot_order for disk in guest.disks] == [None] * 6
    assert [(disk.controller, disk.unit) for disk in guest.disks] == [(0, 0), (0, 8), (1, 2), (0, 0), (0, 3), (1, 1)]
    assert guest.removables == (
        Removable(kind="cdrom", bus=Bus.IDE, slot=2),
        Removable(kind="cdrom", bus=Bus.SATA, slot=31),
        Removable(kind="floppy", bus=Bus.FLOPPY, slot=0),
    )
    assert [nic.model for nic in guest.nics] == ["vmxnet3", "e1000", "e1000e", "vlance"]
    assert [nic.pci_slot for nic in guest.nics][1:] == [33, None, None]
    assert (guest.firmware, guest.secure_boot, guest.genid) == (Firmware.BIOS, False, None)
    assert guest.tpm is None
    assert report.warnings == []


def test_omitted_devices_are_reported(vcenter: Vcenter, image: Path, tmp_path: Path) -> None:
    from pyVmomi import vim

    order = [vim.vm.BootOptions.BootableEthernetDevice(deviceKey=4000)]
    vcenter.add_vm(
        "with a card of the host",
        [image],
        devices=[vim.vm.device.VirtualPCIPassthrough(key=13000)],
        backing=lambda path: vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=path, diskMode="independent_nonpersistent"
        ),
        bootOptions=vim.vm.BootOptions(bootOrder=order),
    )
    network, card, forgetful = setup(vcenter, tmp_path, "with a card of the host")[1].warnings
    assert "boot from Ethernet first" in network
    assert "is a device of the ESXi host" in card
    assert "loses its changes" in forgetful


def test_a_distributed_switch(vcenter: Vcenter, image: Path, tmp_path: Path) -> None:
    """A NIC has the key of its port group, and the machine has the name for the key."""
    from pyVmomi import vim

    with vcenter.service() as service:
        datacenter = service.RetrieveContent().rootFolder.childEntity[0]
        groups = [each for each in datacenter.network if isinstance(each, vim.dvs.DistributedVirtualPortgroup)]
        group = next(each for each in groups if each.name == "DC0_DVPG0")
        port = vim.dvs.PortConnection(portgroupKey=group.key, switchUuid=group.config.distributedVirtualSwitch.uuid)
    backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    card = vim.vm.device.VirtualVmxnet3(key=4001, backing=backing, macAddress="00:50:56:01:02:07")
    vcenter.add_vm("distributed", [image], devices=[card])
    nics = setup(vcenter, tmp_path, "distributed")[0].guest.nics
    assert [nic.network for nic in nics] == ["VM Network", "DC0_DVPG0"]


def test_a_machine_in_a_vapp(vcenter: Vcenter, image: Path, tmp_path: Path) -> None:
    """Such a machine is not in a folder."""
    moref = vcenter.add_vm("part", [image])
    vcenter.control(f"vapp?vm={moref}")
    with vcenter.service() as service:
        vm = find_vm(service, "part")
        assert properties(service, vm, "parent") == {"parent": None}
        assert datacenter_of(service, vm) == "DC0"
        assert path_of(service, vm) == "/DC0/vm/DC0_C0_APP0/part"
    assert setup(vcenter, tmp_path, "part")[0].guest.name == "part"


def test_the_datacenter_of_a_vpx_uri_tells_machines_of_one_name_apart(tmp_path: Path) -> None:
    from pyVim.task import WaitForTask
    from pyVmomi import vim

    with running_vcenter(tmp_path / "server", datacenters=2) as vcenter, vcenter.service() as service:
        made = {}
        for datacenter in service.RetrieveContent().rootFolder.childEntity:
            config = vim.vm.ConfigSpec(name="twin", files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"))
            compute = datacenter.hostFolder.childEntity[0]
            task = datacenter.vmFolder.CreateVM_Task(config=config, pool=compute.resourcePool, host=compute.host[0])
            WaitForTask(task, si=service)
            made[datacenter.name] = task.info.result._moId
        for name in ("DC0", "DC1"):
            place = parse_address(f"vpx://root@host/{name}/{name}_C0/host").datacenter
            assert find_vm(service, "twin", place)._moId == made[name]
        for place in ("", "DC9/cluster", "DC"):
            with pytest.raises(SourceError, match="there are 2 virtual machines called twin"):
                find_vm(service, "twin", place)


def test_the_documented_command_line(vcenter: Vcenter, guest: str) -> None:
    program = Path(sys.executable).with_name("virt-v2v")
    uri = f"{vcenter.uri_for(USER, 'vpx')}DC0/DC0_C0"
    argv = [program, "-i", "libvirt", "-ic", uri, "-ip", vcenter.password_file]
    argv += ["-io", f"ca-file={vcenter.certificate}", "my guest", "--print-source"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "source name: my guest" in done.stdout


def test_names_of_every_kind(image: Path, tmp_path: Path) -> None:
    """Special characters in the names of datastore, machine and files reach the server unchanged."""
    import nbd

    store, name = "Büro & Lager 100% #1", "Prüfung 50%25 (a&b) #2"
    with running_vcenter(tmp_path / "server", datastore=store) as vcenter:
        vcenter.add_vm(name, [image])
        for wanted in (name, "Prüfung 50% (a&b) #2"):
            found, _ = setup(vcenter, tmp_path, wanted)
            assert found.guest.name == "Prüfung 50% (a&b) #2"
        assert found.guest.disks[0].origin == f"[{store}] {name}/{name}.vmdk"
        with served(found, tmp_path) as (socket, _):
            handle = nbd.NBD()
            handle.connect_unix(str(socket))
            same = bytes(handle.pread(handle.get_size(), 0)) == image.read_bytes()
            handle.shutdown()
        assert same


@pytest.mark.parametrize("how", ["path", "moref", "uuid"])
def test_other_ways_to_name_it(vcenter: Vcenter, guest: str, tmp_path: Path, how: str) -> None:
    with vcenter.service() as service:
        content = service.RetrieveContent()
        vm = content.searchIndex.FindByInventoryPath("DC0/vm/my guest")
        uuid = vm.config.uuid
    name = {"path": "/DC0/vm/my guest", "moref": guest, "uuid": uuid}[how]
    assert setup(vcenter, tmp_path, name)[0].guest.name == "my guest"


def test_a_session_that_expires_in_the_middle_of_a_copy(vcenter: Vcenter, tmp_path: Path) -> None:
    import nbd

    image = tmp_path / "image"
    image.write_bytes(os.urandom(4 * 1024 * 1024))
    vcenter.add_vm("long copy", [image])
    result, _ = setup(vcenter, tmp_path, "long copy")
    with served(result, tmp_path) as (socket, _):
        handle = nbd.NBD()
        handle.connect_unix(str(socket))
        half = handle.get_size() // 2
        first = handle.pread(half, 0)
        before = int(vcenter.control("count"))
        vcenter.control("expire")
        second = handle.pread(half, half)
        assert bytes(first + second) == image.read_bytes()
        assert int(vcenter.control("count")) == before + 1
        handle.shutdown()


@pytest.mark.parametrize(
    "uri",
    [None, "https://host/", "http://root@host/", "https://root:secret@host/", "qemu:///system", "https://root@host:x/"],
)
def test_addresses_that_are_none(uri: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(uri)
    assert "secret" not in caught.value.message


def test_addresses() -> None:
    address = parse_address("vpx://EXAMPLE%5cadmin@vc.example.com:8443/Folder/DC%201/cluster/esxi?no_verify=1")
    assert (address.user, address.host, address.port, address.no_verify) == (
        "EXAMPLE\\admin",
        "vc.example.com",
        8443,
        True,
    )
    assert address.datacenter == "Folder/DC 1/cluster/esxi"
    assert parse_address("esx://esxi.example.com/").user == "root"


def test_names_are_quoted_in_urls() -> None:
    disk = VmDisk(label="d", bus=None, file="", datastore="my store", path="a b/g#1.vmdk", size=1)
    assert folder_path(disk, "Folder/DC 1") == (
        "/folder/a%20b/g%231-flat.vmdk?dcPath=Folder%252FDC%25201&dsName=my%2520store"
    )
