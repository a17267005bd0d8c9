# SPDX-License-Identifier: GPL-2.0-or-later
"""The disks in the libvirt domain XML of the target (https://libvirt.org/formatdomain.html)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2v_core.api import DestinationError

if TYPE_CHECKING:
    from lxml import etree


@dataclass(frozen=True, kw_only=True)
class DomainDisk:
    """The place of a disk, in libvirt's terms.

    :param type: ``file``, ``block`` or ``volume``. :param source: the attributes of ``<source>``.
    :param format: ``raw`` or ``qcow2``.
    """

    type: str
    source: Mapping[str, str]
    format: str


def with_disks(domain_xml: bytes, disks: Mapping[str, DomainDisk]) -> bytes:
    """Return the domain XML with the place of each disk filled in.

    :param disks: the places, by the name of the device in the guest, such as ``vda``.
    :raises DestinationError: the domain does not have exactly these disks.
    """
    from lxml import etree

    root = _parse(domain_xml)
    missing = dict(disks)
    for element in root.iterfind("devices/disk"):
        target = element.find("target")
        disk = missing.pop(target.get("dev", ""), None) if target is not None else None
        if disk is None:
            if element.get("device", "disk") == "disk":
                device = None if target is None else target.get("dev")
                raise DestinationError(f"the domain XML of the target has a disk that was not copied: {device}")
            continue
        element.set("type", disk.type)
        driver = element.find("driver")
        if driver is None:
            driver = etree.Element("driver", {"name": "qemu"})
            element.insert(0, driver)
        driver.set("type", disk.format)
        source = etree.Element("source", dict(disk.source))
        source.tail = driver.tail
        element.insert(element.index(driver) + 1, source)
    if missing:
        raise DestinationError(f"the domain XML of the target lacks the disk {next(iter(missing))}")
    written: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    _parse(written)
    return written + b"\n"


def has_password(domain_xml: bytes) -> bool:
    """Check whether a domain XML contains the password of a display."""
    root = _parse(domain_xml)
    return any(graphics.get("passwd") for graphics in root.iterfind("devices/graphics"))


def _parse(domain_xml: bytes) -> etree._Element:
    """Parse XML without entities, DTDs and network, as all XML here, although core wrote it."""
    from lxml import etree

    try:
        return etree.fromstring(domain_xml, etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError) as err:
        raise DestinationError(f"the domain XML of the target is not well-formed: {err}") from err
