# SPDX-License-Identifier: GPL-2.0-or-later
"""Read, change and write XML trees. Only this module, the parser and the validation need lxml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core.atomic import write_atomically
from v2v_core.errors import MetadataError
from v2v_core.metadata.parser import SIZE_LIMIT, UntrustedXmlError, parse_untrusted_xml

if TYPE_CHECKING:
    from lxml import etree

#: The namespace of this project's elements; the number is the version of the format.
NAMESPACE = "urn:v2v:metadata:1"
#: The namespace of libosinfo's elements in libvirt's metadata.
OSINFO_NAMESPACE = "http://libosinfo.org/xmlns/libvirt/domain/1.0"
_PREFIXES = {NAMESPACE: "v2v", OSINFO_NAMESPACE: "libosinfo"}
GUEST = f"{{{NAMESPACE}}}guest"
SOURCE = f"{{{NAMESPACE}}}source"
TARGET = f"{{{NAMESPACE}}}target"


def ours(name: str) -> str:
    """Return the name of an element of this project's namespace as lxml spells it."""
    return f"{{{NAMESPACE}}}{name}"


def new_root(tag: str, attributes: Mapping[str, str] | None = None) -> etree._Element:
    """Return the root of a new tree."""
    from lxml import etree

    return etree.Element(tag, dict(attributes or {}))


def add(
    parent: etree._Element, tag: str, attributes: Mapping[str, str | None] | None = None, text: str | None = None
) -> etree._Element:
    """Append an element and return it; attributes that are None are left out."""
    from lxml import etree

    namespace = tag[1:].partition("}")[0] if tag.startswith("{") else ""
    prefix = _PREFIXES.get(namespace)
    made = etree.SubElement(
        parent,
        tag,
        {name: value for name, value in (attributes or {}).items() if value is not None},
        nsmap={prefix: namespace} if prefix is not None else None,
    )
    made.text = text
    return made


def child(parent: etree._Element, tag: str) -> etree._Element:
    """Return the child of that name; append it if there is none."""
    found = parent.find(tag)
    return add(parent, tag) if found is None else found


def drop(parent: etree._Element, *tags: str) -> None:
    """Remove all children with these names."""
    for tag in tags:
        for found in parent.findall(tag):
            parent.remove(found)


def set_text(parent: etree._Element, tag: str, text: str | None) -> None:
    """Set the text of the child of that name; for None, remove the child."""
    if text is None:
        drop(parent, tag)
    else:
        child(parent, tag).text = text


def set_attribute(element: etree._Element, name: str, value: str | None) -> None:
    """Set an attribute; for None, remove it."""
    if value is None:
        if name in element.attrib:
            del element.attrib[name]
    else:
        element.set(name, value)


def to_bytes(root: etree._Element) -> bytes:
    """Return a tree as an indented UTF-8 document."""
    from lxml import etree

    _forget_indentation(root)
    written: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
    return written


def _forget_indentation(element: etree._Element) -> None:
    """Remove white space that only indents, so that lxml indents the tree anew; not in elements of other programs."""
    if element.tag.startswith("{") and not element.tag.startswith(f"{{{NAMESPACE}}}"):
        return
    if len(element) and not any((text or "").strip() for text in (element.text, *(below.tail for below in element))):
        element.text = None
        for below in element:
            below.tail = None
    for below in element:
        _forget_indentation(below)


def read_tree(path: Path) -> etree._Element:
    """Parse a metadata file and return its root element, ``<domain>``.

    :raises MetadataError: the file is missing, cannot be read, is not acceptable XML, or has another root element.
    """
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError as err:
        raise MetadataError(
            f"{path} is missing", path=path, hint="the step that writes it was not run, or did not finish"
        ) from err
    except OSError as err:
        raise MetadataError(f"{path} cannot be read: {err.strerror}", path=path) from err
    try:
        root = parse_untrusted_xml(data, what=str(path))
    except UntrustedXmlError as err:
        raise MetadataError(err.message, path=path, hint="run the step that writes it again") from err
    if root.tag != "domain":
        raise MetadataError(
            f"{path}: line {root.sourceline}: the root element is <{root.tag}>, expected libvirt's <domain>", path=path
        )
    return root


def write_file(path: Path, data: bytes) -> None:
    """Write a metadata file, whole or not at all. Only this user can read it: it can hold the password of a display.

    :raises MetadataError: the file cannot be written.
    """
    try:
        write_atomically(path, data)
    except OSError as err:
        raise MetadataError(f"{path} cannot be written: {err.strerror}", path=path) from err
