# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the user count more than what the source says about the guest. What neither says is in a warning."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Event, EventKind
from v2v_core.hardware import read_hardware
from v2v_core.hookspecs import InputResult
from v2v_core.model import Bus, Cpu, Firmware, Guest, NbdUri, Nic, SourceDisk, Topology
from v2v_core.records import from_json, to_json
from v2v_core.settings import Hardware, InputChoice, RunChoice
from v2v_core.steps import input_setup
from v2v_core.testing.fakes import FakeReporter

GIB = 1024**3
MAC = "00:50:56:00:00:01"
DISKS = (SourceDisk(index=1, origin="/d/root.qcow2"), SourceDisk(index=2, origin="/d/data.qcow2"))
#: As ``-i disk`` describes a guest.
BARE = InputResult(
    guest=Guest(name="root", disks=DISKS, nics=(Nic(),)),
    disks=(NbdUri(uri="nbd://a"), NbdUri(uri="nbd://b")),
    assumed=("memory", "cpu", "nics"),
)
#: As ``-i ova`` describes one.
FULL = InputResult(
    guest=Guest(
        name="full",
        hypervisor="vmware",
        memory=8 * GIB,
        cpu=Cpu(count=4, topology=Topology(sockets=2, cores=2, threads=1)),
        firmware=Firmware.BIOS,
        disks=tuple(dataclasses.replace(disk, bus=Bus.SCSI) for disk in DISKS),
        nics=(Nic(network="VM Network", mac=MAC, model="vmxnet3", pci_slot=160), Nic(network="DMZ")),
    ),
    disks=BARE.disks,
)
XML = """<domain type='kvm'>
  <name>database</name>
  <memory unit='MiB'>6144</memory>
  <vcpu>3</vcpu>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/srv/data.qcow2'/><target dev='sda' bus='sata'/></disk>
    <disk type='file' device='disk'><source file='/srv/root.qcow2'/><target dev='vda' bus='virtio'/>
      <boot order='1'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
    <vsock model='virtio'><cid auto='yes'/></vsock>
  </devices>
</domain>"""


def known(hardware: Hardware, source: InputResult = BARE, *, in_place: bool = False) -> tuple[Guest, FakeReporter]:
    report = FakeReporter()
    guest = read_hardware(hardware).applied_to(source, report, mode="disk", in_place=in_place)
    return guest, report


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    path = tmp_path / "guest.xml"
    path.write_text(XML)
    return path


def test_what_is_made_up_is_told_with_the_options_that_set_it() -> None:
    """Importers give a guest less than it needs, without a word (harvester/harvester#6456)."""
    guest, report = known(Hardware())
    assert guest == BARE.guest
    assert report.warnings == [
        "the source (-i disk) does not tell all of the guest's hardware, which therefore has 2 GiB of memory, 1 "
        + "virtual CPU and 1 interface on the network 'default'; set it with --memory, --vcpus and --nic, or describe "
        + "the guest with --metadata FILE.xml"
    ]


def test_what_the_user_says_is_not_made_up() -> None:
    guest, report = known(Hardware(memory=4 * GIB, nics=()))
    assert (guest.memory, guest.nics) == (4 * GIB, ())
    (warning,) = report.warnings
    assert "has 1 virtual CPU; set it with --vcpus, or" in warning
    _, report = known(Hardware(memory=4 * GIB, vcpus=2, nics=(Nic(),)))
    assert report.warnings == []


def test_nothing_is_told_where_no_guest_is_made() -> None:
    assert known(Hardware(), in_place=True)[1].warnings == []


def test_options_count_more_than_a_source_that_knows() -> None:
    """Guests are given other resources while they are imported (hashicorp/vagrant#13670)."""
    nics = (Nic(kind="bridge", network="br0", mac=MAC), Nic(network="new"))
    guest, report = known(Hardware(memory=2 * GIB, vcpus=3, nics=nics), FULL)
    assert (guest.memory, guest.cpu.count) == (2 * GIB, 3)
    # two sockets of two cores are not three CPUs
    assert guest.cpu.topology is None
    # the interface with the same MAC address is the same interface: its name in the guest hangs on the slot
    assert guest.nics == (
        Nic(kind="bridge", network="br0", mac=MAC, model="vmxnet3", pci_slot=160),
        Nic(network="new"),
    )
    assert report.warnings == []
    assert known(Hardware(vcpus=4), FULL)[0].cpu == FULL.guest.cpu


def test_the_users_description_of_the_guest(xml: Path) -> None:
    """CPUs, memory and the buses of the disks must be carried over with the disks (sciurus/vagrant-mutate#14)."""
    guest, report = known(Hardware(metadata=xml))
    assert (guest.name, guest.memory, guest.cpu.count) == ("database", 6 * GIB, 3)
    assert (guest.firmware, guest.hypervisor, guest.vsock) == (Firmware.UEFI, "kvm", True)
    assert guest.nics == (Nic(kind="bridge", network="br0", mac="52:54:00:00:00:01"),)
    # by the names of the files, though the command line has the disks in another order
    assert [(disk.origin, disk.bus, disk.boot_order) for disk in guest.disks] == [
        ("/d/root.qcow2", Bus.VIRTIO_BLK, 1),
        ("/d/data.qcow2", Bus.SATA, None),
    ]
    assert report.warnings == []


def test_options_count_more_than_the_description(xml: Path) -> None:
    guest, _ = known(Hardware(memory=GIB, vcpus=1, nics=(), metadata=xml), FULL)
    assert (guest.memory, guest.cpu.count, guest.nics, guest.name) == (GIB, 1, (), "database")
    assert guest.hypervisor == "vmware"


def test_what_the_description_does_not_name_stays(xml: Path) -> None:
    xml.write_text("<domain><vcpu>9</vcpu></domain>")
    guest, report = known(Hardware(metadata=xml), FULL)
    assert guest == dataclasses.replace(FULL.guest, cpu=Cpu(count=9))
    assert report.warnings == []
    (warning,) = known(Hardware(metadata=xml))[1].warnings
    assert "2 GiB of memory and 1 interface on" in warning


def test_disks_with_other_names_are_told_apart_by_their_order(xml: Path) -> None:
    xml.write_text(XML.replace("/srv/data.qcow2", "/srv/a.img").replace("/srv/root.qcow2", "/srv/b.img"))
    guest, report = known(Hardware(metadata=xml))
    assert [disk.bus for disk in guest.disks] == [Bus.SATA, Bus.VIRTIO_BLK]
    assert report.warnings == []


def test_disks_and_interfaces_that_do_not_fit_are_told(xml: Path) -> None:
    xml.write_text(
        XML.replace("/srv/data.qcow2", "/srv/third.img").replace(
            "<vsock",
            "<interface type='direct'><mac address='52:54:00:00:00:09'/><source dev='eth0'/></interface>"
            "<disk device='disk'><target dev='vdb' bus='virtio'/></disk><vsock",
        )
    )
    guest, report = known(Hardware(metadata=xml))
    assert [disk.bus for disk in guest.disks] == [Bus.VIRTIO_BLK, None]
    assert report.warnings == [
        f"--metadata {xml}: /d/data.qcow2 is not described there; its disk third.img was not given; "
        "its disk disk 3 was not given; the interface 52:54:00:00:00:09 of the type 'direct' is left out; "
        "describe it with --nic"
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is empty"),
        (b"# a configuration\n", "not well-formed"),
        (b"<domain><name>x</name><memory>much</memory></domain>", "line 1"),
        (b"<network><name>x</name></network>", "root element is <network>"),
        (b"<domain><name/><memory>1</memory></domain>", "line 1"),
        (b"<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><domain><name>&e;</name></domain>", "DOCTYPE"),
        (b"<domain>" + b"<a/>" * 20_000 + b"<name>x</name></domain>", "more than"),
    ],
)
def test_a_description_that_cannot_be_used(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "guest.xml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"--metadata: .*{complaint}") as refused:
        read_hardware(Hardware(metadata=path))
    assert refused.value.hint == "give the domain XML of the guest, as 'virsh dumpxml GUEST' prints it"


def test_a_description_that_is_missing_or_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.xml", tmp_path):
        with pytest.raises(UsageError, match="--metadata: "):
            read_hardware(Hardware(metadata=path))


def test_it_reaches_the_metadata(choice: RunChoice, v2v_directory: ConversionDir, xml: Path) -> None:
    described = dataclasses.replace(choice.input, hardware=Hardware(memory=3 * GIB, metadata=xml))
    events: list[Event] = []
    guest = input_setup.run(v2v_directory, described, [events.append])
    assert metadata.read_source(v2v_directory.metadata_in) == guest
    assert (guest.name, guest.memory, guest.cpu.count, guest.nics[0].network) == ("database", 3 * GIB, 3, "br0")
    assert [event.text for event in events if event.kind is EventKind.WARNING] == []


def test_it_passes_between_processes() -> None:
    choice = InputChoice(
        mode="x", hardware=Hardware(memory=1, vcpus=2, nics=(Nic(network="a"),), metadata=Path("/tmp/x.xml"))
    )
    assert from_json(to_json(choice), InputChoice) == choice
    empty = InputChoice(mode="x", hardware=Hardware(nics=()))
    assert from_json(to_json(empty), InputChoice) == empty
