# SPDX-License-Identifier: GPL-2.0-or-later
"""``metadata.in``: the guest as the source hypervisor describes it.

Writing is: put into libvirt's elements what they can say, read those back, and put into ``v2v:source`` what came back
different. So nothing is said twice, and what a person changes in libvirt's elements counts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from v2v_core.errors import MetadataError
from v2v_core.metadata.domain_reader import guest_of_domain, source_disks, source_interfaces, source_removables
from v2v_core.metadata.domain_writer import describe_guest
from v2v_core.metadata.names import escape, libvirt_name, unescape
from v2v_core.metadata.parser import UntrustedXmlError, parse_untrusted_xml
from v2v_core.metadata.records import attributes_of, record_from
from v2v_core.metadata.tree import (
    GUEST,
    SOURCE,
    add,
    drop,
    new_root,
    ours,
    read_tree,
    to_bytes,
    write_file,
)
from v2v_core.metadata.validation import check_tree
from v2v_core.model import Cpu, Display, Firmware, Guest, Nic, Removable, SourceDisk, Topology

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from lxml import etree

    RecordT = TypeVar("RecordT", bound=DataclassInstance)

__all__ = ["guest_of_domain", "read_source", "write_source"]

#: Fields of the guest that are text, and of which libvirt cannot hold every value.
_TEXTS = ("name", "hypervisor", "genid", "sound", "tpm", "os")


def write_source(path: Path, guest: Guest, *, domain_xml: bytes | None = None) -> None:
    """Write ``metadata.in``, readable for this user only.

    :param domain_xml: the source's own libvirt domain XML. What is in it beyond ``guest`` is carried through, except
        the sources of its disks.
    :raises MetadataError: ``domain_xml`` cannot be used, the disks are not numbered from 1, or the file cannot be
        written.
    """
    root = _new_tree(domain_xml, path)
    put_source(root, guest, path)
    check_tree(root, path)
    write_file(path, to_bytes(root))


def read_source(path: Path) -> Guest:
    """Read the guest from ``metadata.in`` or ``metadata.out``.

    A libvirt domain XML without anything of ours in it is also a ``metadata.in``.

    :raises MetadataError: the file is missing, damaged or not valid.
    """
    root = read_tree(path)
    check_tree(root, path)
    return source_from(root, path)


def put_source(root: etree._Element, guest: Guest, path: Path) -> None:
    """Describe a guest in a tree, whatever guest it described before.

    :raises MetadataError: the disks are not numbered from 1.
    """
    if [disk.index for disk in guest.disks] != list(range(1, len(guest.disks) + 1)):
        raise MetadataError(f"{path}: the disks of the guest are not numbered from 1 without gaps", path=path)
    describe_guest(root, guest)
    parent = guest_element(root)
    drop(parent, SOURCE)
    source = add(parent, SOURCE)
    # the schema has the source before the target
    parent.insert(0, source)
    said = guest_of_domain(root)
    _put_scalars(source, guest, said)
    if guest.cpu != said.cpu:
        cpu = add(source, ours("cpu"), attributes_of(guest.cpu))
        if guest.cpu.topology is not None:
            add(cpu, ours("topology"), attributes_of(guest.cpu.topology))
    if guest.features != said.features:
        features = add(source, ours("features"))
        for feature in guest.features:
            add(features, ours("feature"), {"name": escape(feature)})
    if guest.display is not None and guest.display != said.display:
        add(source, ours("display"), attributes_of(guest.display))
    # libvirt has no words for the size and the origin of a disk
    _put_records(source, "disk", guest.disks, ())
    _put_records(source, "removable", guest.removables, said.removables)
    _put_records(source, "nic", guest.nics, said.nics)


def source_from(root: etree._Element, path: Path) -> Guest:
    """Read the guest from a tree that was found valid.

    :raises MetadataError: libvirt's elements and ours do not go together.
    """
    try:
        said = guest_of_domain(root)
        source = root.find(f"metadata/{GUEST}/{SOURCE}")
        if source is None:
            return said
        texts = {field: unescape(text) for field in _TEXTS if (text := source.get(field)) is not None}
        if "name" in texts and libvirt_name(texts["name"]) != root.findtext("name"):
            # somebody gave the guest another name since
            del texts["name"]
        guest = replace(said, **texts)  # type: ignore[arg-type]
        return replace(
            guest,
            memory=int(source.get("memory", said.memory)),
            firmware=Firmware(source.get("firmware", said.firmware)),
            secure_boot=source.get("secure-boot", "yes" if said.secure_boot else "no") == "yes",
            cpu=_cpu(source, said.cpu),
            features=_features(source, said.features),
            display=_display(source, said.display),
            disks=_records(SourceDisk, source, "disk", said.disks, len(source_disks(root))),
            removables=_records(Removable, source, "removable", said.removables, len(source_removables(root))),
            nics=_records(Nic, source, "nic", said.nics, len(source_interfaces(root))),
        )
    except MetadataError as err:
        raise MetadataError(f"{path}: {err.message}", path=path, hint=err.hint) from err
    except ValueError as err:
        raise MetadataError(f"{path}: {err}", path=path) from err


def guest_element(root: etree._Element) -> etree._Element:
    """Give our element of a tree, after making it if there was none."""
    metadata = root.find("metadata")
    if metadata is None:
        metadata = add(root, "metadata")
    found = metadata.find(GUEST)
    if found is None:
        found = add(metadata, GUEST, {"version": "1"})
    return found


def _put_scalars(source: etree._Element, guest: Guest, said: Guest) -> None:
    for field in _TEXTS:
        value = getattr(guest, field)
        if value is not None and value != getattr(said, field):
            source.set(field, escape(value))
    if guest.memory != said.memory:
        source.set("memory", str(guest.memory))
    if guest.firmware is not said.firmware:
        source.set("firmware", guest.firmware)
    if guest.secure_boot != said.secure_boot:
        source.set("secure-boot", "yes" if guest.secure_boot else "no")


def _put_records(
    source: etree._Element, tag: str, records: Sequence[DataclassInstance], said: Sequence[DataclassInstance]
) -> None:
    """Put a list of devices, whole, if libvirt's elements do not say exactly that."""
    if tuple(records) != tuple(said):
        for record in records:
            add(source, ours(tag), attributes_of(record))


def _new_tree(domain_xml: bytes | None, path: Path) -> etree._Element:
    if domain_xml is None:
        root = new_root("domain", {"type": "kvm"})
        for tag in ("name", "metadata", "memory", "currentMemory", "vcpu", "os", "features", "cpu", "devices"):
            add(root, tag)
        return root
    try:
        given = parse_untrusted_xml(domain_xml, what="the libvirt domain XML of the source")
    except UntrustedXmlError as err:
        raise MetadataError(err.message, path=path) from err
    if given.tag != "domain":
        raise MetadataError(f"the libvirt domain XML of the source has the root element <{given.tag}>", path=path)
    root = copy.deepcopy(given)
    metadata = root.find("metadata")
    if metadata is not None:
        drop(metadata, GUEST)
    return root


def _cpu(source: etree._Element, said: Cpu) -> Cpu:
    cpu = source.find(ours("cpu"))
    if cpu is None:
        return said
    topology = cpu.find(ours("topology"))
    return record_from(Cpu, cpu, topology=None if topology is None else record_from(Topology, topology))


def _features(source: etree._Element, said: tuple[str, ...]) -> tuple[str, ...]:
    features = source.find(ours("features"))
    return said if features is None else tuple(unescape(feature.get("name", "")) for feature in features)


def _display(source: etree._Element, said: Display | None) -> Display | None:
    display = source.find(ours("display"))
    return said if display is None else record_from(Display, display)


def _records(
    kind: type[RecordT], source: etree._Element, tag: str, said: Sequence[RecordT], elements: int
) -> tuple[RecordT, ...]:
    """Read our list of a kind of device; libvirt's counts where we have none.

    :raises MetadataError: ours and libvirt's lists have different lengths.
    """
    found = source.findall(ours(tag))
    if not found:
        return tuple(said)
    if len(found) != elements:
        raise MetadataError(
            f"line {found[0].sourceline}: there are {len(found)} <v2v:{tag}> elements for {elements} of libvirt's",
            hint=f"remove the <v2v:{tag}> elements, or make them match",
        )
    return tuple(record_from(kind, element) for element in found)
