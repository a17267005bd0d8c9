# SPDX-License-Identifier: GPL-2.0-or-later
"""Find elements and attributes of an OVF descriptor by their local names, in whatever namespace they are.

OVF 1 and 2 have different namespaces, but do not differ in the elements that are read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

#: Digits of a number, which are few enough for every quantity.
NUMBER = re.compile(r"[0-9]{1,18}")
#: What helps against a descriptor that cannot be used.
CORRECT = (
    "export the guest again; or unpack the OVA, correct the OVF descriptor, and name the directory with "
    "-io skip-manifest"
)
_MIB = 1024 * 1024
_BYTES = re.compile(r"byte\s*\*\s*2\s*\^\s*([0-9]{1,2})", re.IGNORECASE)
_UNITS = {"bytes": 1, "kilobytes": 1024, "megabytes": _MIB, "gigabytes": 1024 * _MIB}


@dataclass(frozen=True)
class Item:
    """A device: the text of each child element, by its local name."""

    values: dict[str, str]

    @classmethod
    def of(cls, element: etree._Element) -> Item:
        """Read the element of a device."""
        return cls({local(child): (child.text or "").strip() for child in element if isinstance(child.tag, str)})

    @property
    def kind(self) -> str:
        """The ResourceType, or an empty string."""
        return self.values.get("ResourceType", "")

    @property
    def name(self) -> str:
        """What a message calls the device."""
        return next((value for key in ("ElementName", "Caption") if (value := self.get(key))), "a drive")

    def get(self, name: str) -> str | None:
        """Return a text, or None if it is missing or empty."""
        return self.values.get(name) or None

    def number(self, name: str) -> int | None:
        """Return a number, or None if it is missing or not a number."""
        value = self.values.get(name, "")
        return int(value) if NUMBER.fullmatch(value) else None


def all_named(element: etree._Element, name: str) -> list[etree._Element]:
    """Return the descendants of a local name, and the element itself if it has it."""
    return list(element.iter("{*}" + name))


def local(element: etree._Element) -> str:
    """Return the local name of an element."""
    return str(etree.QName(element).localname)


def attribute(element: etree._Element, name: str) -> str | None:
    """Return an attribute, with or without a namespace, or None."""
    for key, value in element.attrib.items():
        if etree.QName(str(key)).localname == name:
            return str(value)
    return None


def bytes_of_unit(text: str | None, default: int) -> int:
    """Return the bytes of a unit, 2^60 at most: ``byte * 2^20`` (DSP0004 annex C), or ``MegaBytes``."""
    if text is None:
        return default
    programmatic = _BYTES.fullmatch(text.strip())
    if programmatic:
        return int(1 << min(60, int(programmatic[1])))
    return _UNITS.get(text.strip().lower(), 1 if text.strip().lower() == "byte" else default)
