# SPDX-License-Identifier: GPL-2.0-or-later
"""Building the XML: namespaces, elements, and text that XML can hold."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml import etree

#: By prefix. oVirt's reader looks for the prefixes as text, so they are these and no others.
NAMESPACES = {
    "rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
    "vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "ovf": "http://schemas.dmtf.org/ovf/envelope/1/",
    "ovirt": "http://www.ovirt.org/ovf",
}
#: What oVirt writes where there is no object.
NO_UUID = "00000000-0000-0000-0000-000000000000"

#: What XML 1.0 cannot say (section 2.2, production 2), and other control characters, which no name needs.
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def qualified(name: str) -> str:
    """Give lxml's form of a name with a prefix; a name without one has no namespace."""
    prefix, colon, local = name.rpartition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}" if colon else local


def add(
    parent: etree._Element, name: str, text: str | int | None = None, attributes: Mapping[str, str] | None = None
) -> etree._Element:
    """Add an element; what XML cannot hold in the text or in an attribute becomes ``_``."""
    from lxml import etree

    made = etree.SubElement(
        parent, qualified(name), {qualified(key): fit(value) for key, value in (attributes or {}).items()}
    )
    if text is not None:
        made.text = fit(str(text))
    return made


def fit(text: str) -> str:
    """Make any text fit for XML 1.0: a character that it cannot hold becomes ``_``."""
    return _NOT_TEXT.sub("_", text)


def uuid_of(vm_id: str, part: str) -> str:
    """Give the UUID of a part of a virtual machine, such as ``nic1``: always the same for this part of this machine."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{vm_id}/{part}"))
