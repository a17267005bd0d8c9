# SPDX-License-Identifier: GPL-2.0-or-later
"""Metadata is read back as it was written, with any text in it, and keeps the elements of other programs."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v2v_core.errors import MetadataError
from v2v_core.metadata import (
    libvirt_domain,
    libvirt_name,
    named_endpoints,
    read_source,
    read_target,
    write_source,
    write_target,
)
from v2v_core.metadata.names import escape, unescape
from v2v_core.model import (
    Bus,
    Capabilities,
    Change,
    ChangeKind,
    Cpu,
    Display,
    Firmware,
    Guest,
    Inspection,
    Nic,
    Removable,
    SourceDisk,
    TargetDisk,
    TargetGuest,
    TargetRemovable,
    Topology,
    WindowsInspection,
)

# all that a Python string can hold, lone surrogates included, and texts that look like escapes
texts = st.text(st.characters(), max_size=30) | st.sampled_from(["_x0041_", "_x005F_", "_x0001", "\r\n", " a ", "]]>"])
numbers = st.integers(0, 2**62)
optional_bus = st.none() | st.sampled_from(Bus)


guests = st.builds(
    Guest,
    name=texts,
    hypervisor=texts | st.sampled_from(["vmware", "xen", "unknown"]),
    memory=numbers,
    cpu=st.builds(
        Cpu,
        count=st.integers(0, 10**6),
        vendor=st.none() | texts,
        model=st.none() | texts,
        topology=st.none() | st.builds(Topology, sockets=numbers, cores=numbers, threads=numbers),
    ),
    features=st.lists(texts | st.sampled_from(["acpi", "apic", "pae", "hyperv"]), max_size=4).map(tuple),
    firmware=st.sampled_from(Firmware),
    secure_boot=st.booleans(),
    genid=st.none() | texts | st.uuids().map(str),
    display=st.none()
    | st.builds(
        Display,
        kind=texts | st.sampled_from(["window", "vnc", "spice"]),
        keymap=st.none() | texts,
        password=st.none() | texts,
        listen=st.none() | texts,
        port=st.none() | st.integers(0, 70000),
    ),
    sound=st.none() | texts | st.just("ich9"),
    disks=st.lists(
        st.builds(
            SourceDisk,
            index=st.just(1),
            bus=optional_bus,
            size=st.none() | numbers,
            origin=st.none() | texts,
            boot_order=st.none() | st.integers(0, 1000),
            block_size=st.none() | st.sampled_from([512, 4096]) | numbers,
        ),
        max_size=4,
    ).map(lambda disks: tuple(replace(disk, index=i) for i, disk in enumerate(disks, start=1))),
    removables=st.lists(
        st.builds(
            Removable,
            kind=texts | st.sampled_from(["cdrom", "floppy"]),
            bus=optional_bus,
            slot=st.none() | st.integers(0, 10**6),
        ),
        max_size=3,
    ).map(tuple),
    nics=st.lists(
        st.builds(
            Nic,
            network=texts,
            kind=texts | st.sampled_from(["network", "bridge"]),
            mac=st.none() | texts | st.just("00:0c:29:00:00:01"),
            model=st.none() | texts,
        ),
        max_size=3,
    ).map(tuple),
    tpm=st.none() | texts | st.sampled_from(["1.2", "2.0"]),
    vsock=st.booleans(),
    os=st.none() | texts | st.just("debian11_64Guest"),
)
targets = st.builds(
    TargetGuest,
    source=guests,
    inspection=st.builds(
        Inspection,
        root=texts,
        os_type=texts,
        distro=texts,
        arch=texts,
        major_version=numbers,
        minor_version=numbers,
        osinfo=st.none() | texts,
        product_name=st.none() | texts,
        product_variant=st.none() | texts,
        package_format=st.none() | texts,
        package_management=st.none() | texts,
        mountpoints=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
        windows=st.none()
        | st.builds(
            WindowsInspection,
            systemroot=texts,
            current_control_set=texts,
            default_control_set=texts,
            software_hive=texts,
            system_hive=texts,
            build=numbers,
            product=texts,
            group_policy=st.booleans(),
            antivirus=st.booleans(),
            drive_letters=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
        ),
    ),
    capabilities=st.builds(Capabilities, net_model=texts, machine=texts, arch=texts),
    firmware=st.sampled_from(Firmware),
    disks=st.lists(
        st.builds(
            TargetDisk,
            index=st.integers(1, 1000),
            device=texts,
            boot_order=st.none() | st.integers(1, 100),
            size=st.none() | numbers,
            block_size=st.sampled_from([512, 4096]),
        ),
        max_size=3,
    ).map(tuple),
    removables=st.lists(st.builds(TargetRemovable, kind=texts, device=texts), max_size=2).map(tuple),
    nics=st.lists(st.builds(Nic, network=texts, kind=texts, mac=st.none() | texts), max_size=2).map(tuple),
    changes=st.lists(
        st.builds(
            Change,
            path=texts,
            what=texts,
            why=texts,
            kind=st.sampled_from(ChangeKind),
            value=st.none() | st.just("") | texts,
        ),
        max_size=3,
    ).map(tuple),
)

# a real domain, with elements that core does not understand: of libvirt, and of other namespaces
FOREIGN = b"""<domain type='vmware' xmlns:vmware='http://libvirt.org/schemas/domain/vmware/1.0'>
  <name>someone</name>
  <uuid>5a3ad0ea-2b5c-4a1e-9e27-0123456789ab</uuid>
  <title>T &amp; t</title>
  <metadata><app:note xmlns:app='urn:example:app'>mixed <app:b>a</app:b> <app:b>b</app:b> text</app:note></metadata>
  <memory unit='GiB'>3</memory>
  <vcpu placement='static' current='1'>2</vcpu>
  <cpu mode='custom'><model>Nehalem</model><feature policy='require' name='vmx'/></cpu>
  <os><type arch='x86_64'>hvm</type><loader type='pflash' readonly='yes'>/usr/share/OVMF.fd</loader></os>
  <features><acpi/><hyperv><relaxed state='on'/></hyperv></features>
  <devices>
    <disk type='file' device='disk'><source file='[ds] a/b.vmdk'/><target dev='sda' bus='scsi'/>
      <serial>S1</serial></disk>
    <disk type='block' device='lun'><source dev='/dev/sdx'/><target dev='sdb' bus='scsi'/></disk>
    <disk type='file' device='cdrom'><source file='x.iso'/><target dev='hdc' bus='ide'/></disk>
    <controller type='scsi' index='0' model='vmpvscsi'/>
    <interface type='bridge'><mac address='00:0c:29:00:00:01'/><source bridge='VM Network'/>
      <bandwidth><inbound average='1'/></bandwidth></interface>
    <interface type='direct'><source dev='eth0'/></interface>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>
  </devices>
  <vmware:datacenterpath>ha-datacenter</vmware:datacenterpath>
</domain>"""


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(guest=guests, foreign=st.booleans())
def test_a_guest_comes_back_as_it_was(guest: Guest, foreign: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "metadata.in"
        write_source(path, guest, domain_xml=FOREIGN if foreign else None)
        assert read_source(path) == guest


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(target=targets)
def test_a_target_comes_back_as_it_was(target: TargetGuest) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path, source_path = Path(directory) / "metadata.out", Path(directory) / "metadata.in"
        write_source(source_path, target.source)
        write_target(path, source_path, target)
        assert read_target(path) == target
        assert read_source(path) == target.source


def test_names_and_paths_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    latin1 = os.fsdecode(b"/images/caf\xe9_x00E9_.vmdk")
    guest = Guest(name=latin1, os=latin1, disks=(SourceDisk(index=1, origin=latin1),), nics=(Nic(network=latin1),))
    target = TargetGuest(
        source=guest,
        inspection=Inspection(
            root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64", mountpoints=((latin1, "/dev/sda1"),)
        ),
        capabilities=Capabilities(),
        firmware=Firmware.BIOS,
        disks=(),
        changes=(Change(path=latin1, what="removed", why=latin1),),
    )
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    directory.mkdir()
    source_path, path = directory / "metadata.in", directory / "metadata.out"
    write_source(source_path, guest)
    write_target(path, source_path, target)
    assert read_source(source_path) == guest
    assert read_target(path) == target
    assert os.fsencode(read_target(path).source.disks[0].origin or "") == b"/images/caf\xe9_x00E9_.vmdk"
    assert b"_images_caf__x00E9_.vmdk" in libvirt_domain(path, name=latin1)


def test_an_error_in_a_directory_that_is_not_utf8_names_it(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    path.write_text("<domain>")
    with pytest.raises(MetadataError, match="not well-formed") as caught:
        read_source(path)
    assert caught.value.path == path
    with pytest.raises(MetadataError, match="is missing"):
        read_source(path.with_name(path.name + "2"))


@given(text=texts)
def test_any_text_can_be_escaped_and_unescaped(text: str) -> None:
    assert unescape(escape(text)) == text


@given(text=texts)
def test_a_libvirt_name_is_one_line_without_slashes_and_already_a_libvirt_name(text: str) -> None:
    name = libvirt_name(text)
    assert name.strip()
    assert not set(name) & set("/\n\r\t\x00\x7f\x85\u2028")
    assert len(name.encode()) <= 240
    assert libvirt_name(name) == name


@pytest.mark.parametrize("name", ["zwölf Übungen", "a \"quoted\" 'name'", "日本語", "-rf", "...", "100% & <more>"])
def test_a_libvirt_name_keeps_what_libvirt_permits(name: str) -> None:
    assert libvirt_name(name) == name


def test_long_names_that_begin_alike_stay_different() -> None:
    assert libvirt_name("ä" * 300 + "1") != libvirt_name("ä" * 300 + "2")


def test_a_user_can_change_the_guest_in_libvirts_elements(tmp_path: Path) -> None:
    path = tmp_path / "metadata.in"
    write_source(path, Guest(name="a/b", memory=2**30, disks=(SourceDisk(index=1, size=5),)))
    text = path.read_text()
    path.write_text(text.replace("<name>a_b</name>", "<name>other</name>").replace(str(2**30), str(2**31)))
    guest = read_source(path)
    assert (guest.name, guest.memory, guest.disks[0].size) == ("other", 2**31, 5)


def test_a_tpm_and_the_boot_order_are_in_libvirts_elements(tmp_path: Path) -> None:
    path = tmp_path / "metadata.in"
    disks = (SourceDisk(index=1, boot_order=2), SourceDisk(index=2, boot_order=1), SourceDisk(index=3))
    write_source(path, Guest(name="x", disks=disks, tpm="2.0"))
    text = path.read_text()
    assert '<boot order="2"/>' in text
    assert 'tpm="' not in text
    # a user changes it
    path.write_text(text.replace('version="2.0"', 'version="1.2"').replace("tpm-crb", "tpm-tis"))
    assert read_source(path) == Guest(name="x", disks=disks, tpm="1.2")
    plain = FOREIGN.replace(b"<devices>", b"<devices><tpm><backend type='passthrough'/></tpm>").replace(
        b"<target dev='sda' bus='scsi'/>", b"<target dev='sda' bus='scsi'/><boot order='1'/>"
    )
    path.write_bytes(plain)
    guest = read_source(path)
    assert (guest.tpm, guest.disks[0].boot_order) == ("2.0", 1)
    write_source(path, guest, domain_xml=plain)
    assert "passthrough" in path.read_text()
    write_source(path, replace(guest, tpm=None), domain_xml=plain)
    assert "<tpm" not in path.read_text()


def test_a_boot_order_that_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "metadata.in"
    path.write_bytes(FOREIGN.replace(b"<serial>", b"<boot order='first'/><serial>"))
    with pytest.raises(MetadataError, match="boot order"):
        read_source(path)


def test_a_plain_libvirt_domain_is_a_metadata_in(tmp_path: Path) -> None:
    path = tmp_path / "metadata.in"
    path.write_bytes(FOREIGN)
    assert read_source(path) == Guest(
        name="someone",
        hypervisor="vmware",
        memory=3 * 2**30,
        cpu=Cpu(count=2, model="Nehalem"),
        features=("acpi", "hyperv"),
        firmware=Firmware.UEFI,
        disks=(SourceDisk(index=1, bus=Bus.SCSI, serial="S1"),),
        removables=(Removable(kind="cdrom", bus=Bus.IDE, slot=2),),
        nics=(Nic(network="VM Network", kind="bridge", mac="00:0c:29:00:00:01"),),
    )


def test_elements_of_other_programs_are_kept_in_metadata_out(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(FOREIGN)
    guest = replace(read_source(plain), disks=(SourceDisk(index=1, bus=Bus.SCSI, size=7),))
    write_source(tmp_path / "in", guest, domain_xml=FOREIGN)
    target = TargetGuest(
        source=replace(guest, memory=guest.memory + 1),
        inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
        capabilities=Capabilities(),
        firmware=Firmware.UEFI,
        disks=(TargetDisk(index=1, bus=Bus.VIRTIO_BLK, device="vda"),),
    )
    write_target(tmp_path / "out", tmp_path / "in", target)
    text = (tmp_path / "out").read_text()
    for kept in (
        "<vmware:datacenterpath>ha-datacenter<",
        "mixed <app:b>a</app:b> <app:b>b</app:b> text",
        '<relaxed state="on"/>',
        '<inbound average="1"/>',
        "<serial>S1</serial>",
        '<feature policy="require" name="vmx"/>',
        "/usr/share/OVMF.fd",
        '<interface type="direct">',
        '<hostdev mode="subsystem"',
        'device="lun"',
        "<uuid>5a3ad0ea-",
    ):
        assert kept in text
    assert "[ds]" not in text
    assert "x.iso" not in text


def test_a_conversion_can_make_many_changes(tmp_path: Path) -> None:
    guest = Guest(name="x")
    target = TargetGuest(
        source=guest,
        inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
        capabilities=Capabilities(),
        firmware=Firmware.BIOS,
        disks=(),
        changes=tuple(Change(path=f"/etc/{i}", what="removed", why="not needed") for i in range(20_000)),
    )
    write_source(tmp_path / "in", guest)
    write_target(tmp_path / "out", tmp_path / "in", target)
    assert read_target(tmp_path / "out") == target


def test_the_files_are_readable_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "metadata.in"
    write_source(path, Guest(name="x", display=Display(kind="vnc", password="secret")))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["metadata.in"]


def test_disks_must_be_numbered_without_gaps(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="numbered"):
        write_source(tmp_path / "m", Guest(name="x", disks=(SourceDisk(index=2),)))


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="cannot be written"):
        write_source(tmp_path / "missing" / "m", Guest(name="x"))


class TestEndpoints:
    def test_the_metadata_of_ours_names_none(self, tmp_path: Path) -> None:
        path = tmp_path / "m"
        write_source(path, Guest(name="x", disks=(SourceDisk(index=1, size=3), SourceDisk(index=2))))
        assert named_endpoints(path) == {1: None, 2: None}

    @pytest.mark.parametrize(
        ("source", "uri"),
        [
            (
                "<source protocol='nbd' name='a b'><host transport='unix' socket='/s p'/></source>",
                "nbd+unix:///a%20b?socket=/s%20p",
            ),
            ("<source protocol='nbd'><host name='h.example' port='99'/></source>", "nbd://h.example:99/"),
            ("<source protocol='nbd' name='x'><host name='::1'/></source>", "nbd://[::1]:10809/x"),
            ("<source protocol='nbd' name='x' tls='yes'><host name='h'/></source>", "nbds://h:10809/x"),
            ("<source file='/elsewhere'/>", None),
        ],
    )
    def test_somebody_elses_server(self, tmp_path: Path, source: str, uri: str | None) -> None:
        path = tmp_path / "m"
        path.write_bytes(_with_source(source))
        assert named_endpoints(path) == {1: uri}

    @pytest.mark.parametrize(
        "source",
        [
            "<source protocol='nbd'/>",
            "<source protocol='nbd'><host name='h' port='x'/></source>",
            "<source protocol='nbd'><host name='h' port='99999999'/></source>",
            "<source protocol='nbd'><host transport='unix' socket='rel'/></source>",
        ],
    )
    def test_a_place_that_is_none(self, tmp_path: Path, source: str) -> None:
        path = tmp_path / "m"
        path.write_bytes(_with_source(source))
        with pytest.raises(MetadataError, match=r"line \d+: .*NBD source"):
            named_endpoints(path)


def _with_source(source: str) -> bytes:
    return (
        "<domain type='kvm'><name>x</name><memory>1</memory><devices><disk type='network' device='disk'>"
        f"{source}<target dev='vda' bus='virtio'/></disk></devices></domain>"
    ).encode()
