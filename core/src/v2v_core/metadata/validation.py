# SPDX-License-Identifier: GPL-2.0-or-later
"""Validate metadata against the RELAX NG schema that is installed with core, ``schema/metadata.rng``."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core.errors import MetadataError
from v2v_core.metadata.tree import GUEST, NAMESPACE, TARGET, read_tree

if TYPE_CHECKING:
    from lxml import etree

#: The schema; other tools can use it as well, such as xmllint --relaxng.
SCHEMA = Path(__file__).parent / "schema" / "metadata.rng"
_GUEST_SCHEMA = SCHEMA.with_name("guest.rng")
#: A domain has a few hundred elements. Libxml2 takes quadratic time for elements that can come in any order:
#: minutes for 250000 of them. The elements of this project come in a fixed order, and can be many.
_MOST_ELEMENTS = 10_000
_EXTRA = re.compile("Extra element (.+) in interleave")
_ELEMENT = re.compile("[Ee]lement ([^ ]+)")
_FAMILY = NAMESPACE.rpartition(":")[0] + ":"


def validate(path: Path) -> None:
    """Check that a ``metadata.in`` or ``metadata.out`` is valid.

    :raises MetadataError: the file is missing, damaged or not valid; the message names the line.
    """
    check_tree(read_tree(path), path)


def check_tree(root: etree._Element, path: Path, *, target: bool = False) -> None:
    """Check that the tree of a metadata file is valid.

    :param path: the file, for the error.
    :param target: the file is a ``metadata.out`` and must describe the converted guest.
    :raises MetadataError: the tree is not valid; the message names the line.
    """
    others = (element for element in root.iter() if not element.tag.startswith(f"{{{NAMESPACE}}}"))
    if sum(1 for _ in islice(others, _MOST_ELEMENTS + 1)) > _MOST_ELEMENTS:
        raise MetadataError(f"{path}: line 1: it has more than {_MOST_ELEMENTS} elements of libvirt's", path=path)
    metadata = root.find("metadata")
    for element in () if metadata is None else metadata:
        _check_version(element, path)
    guest = root.find(f"metadata/{GUEST}")
    if target and (guest is None or guest.find(TARGET) is None):
        raise MetadataError(
            f"{path} does not say what the guest became: there is no <v2v:target> in it",
            path=path,
            hint="it is not a metadata.out; was the guest converted?",
        )
    # v2v:guest is checked alone first: below elements that come in any order, libxml2 cannot explain an error in it
    if guest is not None:
        _check(_GUEST_SCHEMA, guest, path)
    _check(SCHEMA, root, path)


def _check_version(element: etree._Element, path: Path) -> None:
    """Check the version of the format, so that a file of a later version is not reported as damaged."""
    namespace = element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""
    version = element.get("version", "1") if element.tag == GUEST else "1"
    if (namespace.startswith(_FAMILY) and namespace != NAMESPACE) or version != "1":
        raise MetadataError(
            f"{path}: line {element.sourceline}: this metadata has a format that this version does not know",
            path=path,
            hint="use the version of v2v-core that wrote it, or a later one",
        )


def _check(schema: Path, element: etree._Element, path: Path) -> None:
    compiled = _compiled(schema)
    if compiled.validate(element):
        return
    # the first entry is the cause, the others follow from it
    entry = next(iter(compiled.error_log), None)
    line, reason = (entry.line, entry.message) if entry is not None else (0, "it is not valid")
    extra = _EXTRA.fullmatch(reason)
    if extra is not None:
        reason = f"the element {extra[1]} is not as it must be, or comes twice"
    if not line:
        # libxml2 names an element without its line if it is one of those that can come in any order
        named = _ELEMENT.search(reason)
        candidates = [] if named is None else [below for below in element.iter() if _local_name(below) == named[1]]
        line = (candidates[0] if len(candidates) == 1 else element).sourceline or 1
    raise MetadataError(
        f"{path}: line {line}: {reason}", path=path, hint=f"the format of this file is described by {SCHEMA}"
    )


def _local_name(element: etree._Element) -> str:
    return element.tag.rpartition("}")[2]


@cache
def _compiled(schema: Path) -> etree.RelaxNG:
    from lxml import etree

    return etree.RelaxNG(etree.parse(str(schema)))
