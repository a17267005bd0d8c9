# SPDX-License-Identifier: GPL-2.0-or-later
"""``metadata.in``: the guest as the source hypervisor describes it.

``write_source`` describes the guest in libvirt's elements, reads those back, and writes into ``v2v:source`` only the
values that came back different. So nothing is written twice, and a user who edits libvirt's elements changes the guest.
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

#: Fields of the guest that are text, and that libvirt's elements cannot hold with every value.
_TEXTS = ("name", "hypervisor", "genid", "sound", "tpm", "os")


def write_source(path: Path, guest: Guest, *, domain_xml: bytes | None = None) -> None:
    """Write ``metadata.in``, readable for this user only.

    :param domain_xml: the source's own libvirt domain XML. Elements that ``guest`` has no fields for are kept, except
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

    Libvirt domain XML without any element of this project is also a valid ``metadata.in``.

    :raises MetadataError: the file is missing, damaged or not valid.
    """
    root = read_tree(path)
    check_tree(root, path)
    return source_from(root, path)


def put_source(root: etree._Element, guest: Guest, path: Path) -> None:
    """Describe a guest in a tree, in place of the guest that it described before.

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
    described = guest_of_domain(root)
    _put_scalars(source, guest, described)
    if guest.cpu != described.cpu:
        cpu = add(source, ours("cpu"), attributes_of(guest.cpu))
        if guest.cpu.topology is not None:
            add(cpu, ours("topology"), attributes_of(guest.cpu.topology))
    if guest.features != described.features:
        features = add(source, ours("features"))
        for feature in guest.features:
            add(features, ours("feature"), {"name": escape(feature)})
    if guest.display is not None and guest.display != described.display:
        add(source, ours("display"), attributes_of(guest.display))
    # libvirt has no element for the size and the origin of a disk
    _put_records(source, "disk", guest.disks, ())
    _put_records(source, "removable", guest.removables, described.removables)
    _put_records(source, "nic", guest.nics, described.nics)


def source_from(root: etree._Element, path: Path) -> Guest:
    """Read the guest from a tree that is valid.

    :raises MetadataError: libvirt's elements and this project's contradict each other.
    """
    try:
        described = guest_of_domain(root)
        source = root.find(f"metadata/{GUEST}/{SOURCE}")
        if source is None:
            return described
        texts = {field: unescape(text) for field in _TEXTS if (text := source.get(field)) is not None}
        if "name" in texts and libvirt_name(texts["name"]) != root.findtext("name"):
            # a user has changed the name in libvirt's element since
            del texts["name"]
        guest = replace(described, **texts)  # type: ignore[arg-type]
        return replace(
            guest,
            memory=int(source.get("memory", described.memory)),
            firmware=Firmware(source.get("firmware", described.firmware)),
            secure_boot=source.get("secure-boot", "yes" if described.secure_boot else "no") == "yes",
            cpu=_cpu(source, described.cpu),
            features=_features(source, described.features),
            display=_display(source, described.display),
            disks=_records(SourceDisk, source, "disk", described.disks, len(source_disks(root))),
            removables=_records(Removable, source, "removable", described.removables, len(source_removables(root))),
            nics=_records(Nic, source, "nic", described.nics, len(source_interfaces(root))),
        )
    except MetadataError as err:
        raise MetadataError(f"{path}: {err.message}", path=path, hint=err.hint) from err
    except ValueError as err:
        raise MetadataError(f"{path}: {err}", path=path) from err


def guest_element(root: etree._Element) -> etree._Element:
    """Return the ``v2v:guest`` element of a tree, and add it if there is none."""
    metadata = root.find("metadata")
    if metadata is None:
        metadata = add(root, "metadata")
    found = metadata.find(GUEST)
    if found is None:
        found = add(metadata, GUEST, {"version": "1"})
    return found


def _put_scalars(source: etree._Element, guest: Guest, described: Guest) -> None:
    for field in _TEXTS:
        value = getattr(guest, field)
        if value is not None and value != getattr(described, field):
            source.set(field, escape(value))
    if guest.memory != described.memory:
        source.set("memory", str(guest.memory))
    if guest.firmware is not described.firmware:
        source.set("firmware", guest.firmware)
    if guest.secure_boot != described.secure_boot:
        source.set("secure-boot", "yes" if guest.secure_boot else "no")


def _put_records(
    source: etree._Element, tag: str, records: Sequence[DataclassInstance], described: Sequence[DataclassInstance]
) -> None:
    """Write the whole list of devices unless libvirt's elements describe exactly the same."""
    if tuple(records) != tuple(described):
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


def _cpu(source: etree._Element, described: Cpu) -> Cpu:
    cpu = source.find(ours("cpu"))
    if cpu is None:
        return described
    topology = cpu.find(ours("topology"))
    return record_from(Cpu, cpu, topology=None if topology is None else record_from(Topology, topology))


def _features(source: etree._Element, described: tuple[str, ...]) -> tuple[str, ...]:
    features = source.find(ours("features"))
    return described if features is None else tuple(unescape(feature.get("name", "")) for feature in features)


def _display(source: etree._Element, described: Display | None) -> Display | None:
    display = source.find(ours("display"))
    return described if display is None else record_from(Display, display)


def _records(
    kind: type[RecordT], source: etree._Element, tag: str, described: Sequence[RecordT], elements: int
) -> tuple[RecordT, ...]:
    """Read this project's list of a kind of device, or return libvirt's if there is none.

    :raises MetadataError: the two lists have different lengths.
    """
    found = source.findall(ours(tag))
    if not found:
        return tuple(described)
    if len(found) != elements:
        raise MetadataError(
            f"line {found[0].sourceline}: there are {len(found)} <v2v:{tag}> elements for {elements} of libvirt's",
            hint=f"remove the <v2v:{tag}> elements, or make them match",
        )
    return tuple(record_from(kind, element) for element in found)
