# SPDX-License-Identifier: GPL-2.0-or-later
"""The OVF of any guest is well-formed and contains all disks and NICs, whatever text the guest has in its names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ovf_examples import EXAMPLES, GIB, Example, Ovf, attributes, place, read
from v2v_core.api import (
    Capabilities,
    Cpu,
    Display,
    Firmware,
    Guest,
    Inspection,
    Nic,
    SourceDisk,
    TargetDisk,
    TargetGuest,
    Topology,
)
from v2v_output_rhv.ovf import PROFILE, Flavour

#: Any text at all, control characters and lone surrogates included.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
OPTIONAL_TEXT = st.none() | TEXT
TARGETS = st.builds(
    lambda count, **fields: TargetGuest(
        source=Guest(
            name=fields["name"],
            hypervisor=fields["hypervisor"],
            memory=fields["memory"],
            cpu=fields["cpu"],
            sound=fields["sound"],
            display=fields["display"],
            disks=tuple(SourceDisk(index=index) for index in range(1, count + 1)),
        ),
        inspection=fields["inspection"],
        capabilities=fields["capabilities"],
        firmware=fields["firmware"],
        disks=tuple(
            TargetDisk(index=index, bus=fields["bus"], device="x", boot_order=fields["boot_order"])
            for index in range(1, count + 1)
        ),
        nics=fields["nics"],
    ),
    count=st.integers(0, 23),
    name=TEXT,
    hypervisor=TEXT | st.sampled_from(["vmware", "xen", "kvm"]),
    memory=st.integers(0, 1 << 50),
    cpu=st.builds(
        Cpu,
        count=st.integers(0, 512),
        model=OPTIONAL_TEXT,
        topology=st.none()
        | st.builds(Topology, sockets=st.integers(0, 8), cores=st.integers(0, 8), threads=st.integers(0, 2)),
    ),
    sound=OPTIONAL_TEXT,
    display=st.none() | st.builds(Display, kind=st.just("vnc"), password=OPTIONAL_TEXT),
    inspection=st.builds(
        Inspection,
        root=TEXT,
        os_type=st.sampled_from(["linux", "windows", "freebsd"]),
        distro=TEXT | st.sampled_from(["rhel", "centos", "sles", "debian", "ubuntu", "windows"]),
        arch=TEXT | st.sampled_from(["x86_64", "i386", "ppc64le", "s390x", "aarch64"]),
        major_version=st.integers(0, 30),
        minor_version=st.integers(0, 12),
        osinfo=OPTIONAL_TEXT,
        product_name=OPTIONAL_TEXT,
        product_variant=OPTIONAL_TEXT,
    ),
    capabilities=st.builds(Capabilities, net_model=TEXT, machine=TEXT, virtio_rng=st.booleans()),
    firmware=st.sampled_from(Firmware),
    bus=st.sampled_from(PROFILE.buses),
    boot_order=st.none() | st.integers(1, 30),
    nics=st.lists(st.builds(Nic, network=TEXT, mac=OPTIONAL_TEXT, model=OPTIONAL_TEXT), max_size=10).map(tuple),
)


class TestAnyGuest:
    @given(target=TARGETS, name=TEXT, flavour=st.sampled_from(Flavour), size=st.integers(0, 1 << 60))
    @settings(deadline=None, max_examples=300)
    def test_it_is_well_formed_and_nothing_is_lost(
        self, target: TargetGuest, name: str, flavour: Flavour, size: int
    ) -> None:
        disks = tuple(replace(place(disk.index % 10, size), index=disk.index) for disk in target.disks)
        written = Example(target, disks).ovf(flavour, name=name)
        ovf = Ovf(written, flavour)
        assert len(ovf.one(ovf.root, "References")) == len(disks)
        found = [attributes(disk) for disk in ovf.disks.findall("Disk")]
        assert len(found) == len(ovf.items("17")) == len(disks)
        assert [disk["ovf:boot"] for disk in found].count("True") == min(len(disks), 1)
        assert sum("BootOrder" in drive for drive in ovf.items("17")) == min(len(disks), 1)
        for disk in found:
            assert int(disk["ovf:capacity"]) == size
            assert 0 <= int(disk["ovf:size"]) * GIB - size < GIB
        assert len(ovf.networks.findall("Network")) == len(ovf.items("10")) == len(target.nics)
        (memory,) = ovf.items("4")
        assert int(memory["rasd:VirtualQuantity"] or "") * 1024**2 >= target.source.memory
        # the document survives parsing and writing: oVirt's envelope has no schema beyond well-formed XML
        assert etree.tostring(etree.fromstring(written)) == etree.tostring(ovf.root)

    @pytest.mark.parametrize("name", ["a & b", "<x/>", "]]>", "\"'", "ünï 日本", "tab\tand", "&#0;", "x" * 5000])
    def test_names_that_xml_can_hold_are_kept(self, name: str) -> None:
        assert read(EXAMPLES["linux-bios"], Flavour.OVIRT, name=name).value("Name") == name

    @pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x9b", "\ud800", "\uffff"])
    def test_characters_that_it_cannot_hold_are_replaced(self, character: str) -> None:
        assert read(EXAMPLES["linux-bios"], Flavour.OVIRT, name=f"a{character}b").value("Name") == "a_b"
