# SPDX-License-Identifier: GPL-2.0-or-later
"""The parser for untrusted XML: an OVF, a libvirt domain, the output of a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from v2v_core.errors import SourceError

if TYPE_CHECKING:
    from lxml import etree

#: Bytes. The longest domain XML and OVF files met in practice have some hundred KiB; a million of ``<a/>`` cost libxml2
#: more than 100 MB of memory.
SIZE_LIMIT = 4 * 1024 * 1024


class UntrustedXmlError(SourceError):
    """An XML document is damaged, or contains something that could do harm.

    :param what: name of the document.
    :param reason: the fault, without the name of the document.
    :param line: line of the fault, from 1; None if it is not known.
    """

    def __init__(self, what: str, reason: str, *, line: int | None = None) -> None:
        super().__init__(f"{what}: " + (f"line {line}: " if line else "") + reason)
        self.reason = reason
        self.line = line


def parse_untrusted_xml(data: bytes, *, what: str = "XML document", limit: int = SIZE_LIMIT) -> etree._Element:
    """Parse XML from an untrusted source and return its root element.

    A document type declaration is refused, and with it every entity. Nothing is fetched from the network or read from
    another file. Comments and processing instructions are left out.

    :param what: name of the document for errors, such as its file name.
    :param limit: bytes; a larger document is refused.
    :raises UntrustedXmlError: it is too long, damaged, nested too deeply, or has a document type declaration.
    """
    if len(data) > limit:
        raise UntrustedXmlError(what, f"it is too large ({len(data)} bytes; at most {limit} are accepted)")
    if not data.strip():
        raise UntrustedXmlError(what, "it is empty")
    _refuse_doctype(data, what)
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as err:
        line = getattr(err, "lineno", None)
        reason = getattr(err, "msg", None) or str(err)
        raise UntrustedXmlError(what, f"it is not well-formed XML: {reason.splitlines()[0]}", line=line) from err
    # in case libxml2 reads a document type declaration where expat saw none: libxml2 makes the tree
    if root.getroottree().docinfo.internalDTD is not None:
        _found_doctype(what, None)
    return root


def _refuse_doctype(data: bytes, what: str) -> None:
    """Read the beginning of a document with expat, which reports a document type declaration before it acts on it."""
    from xml.parsers import expat

    class RootReached(Exception):
        pass

    parser = expat.ParserCreate()

    def doctype(*_: object) -> None:
        _found_doctype(what, parser.CurrentLineNumber)

    def root(*_: object) -> None:
        raise RootReached

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = root
    try:
        parser.Parse(data, True)
    except RootReached:
        return
    except (expat.ExpatError, ValueError, LookupError) as err:
        line = getattr(err, "lineno", None)
        raise UntrustedXmlError(what, f"it is not well-formed XML: {str(err).partition(':')[0]}", line=line) from err


def _found_doctype(what: str, line: int | None) -> NoReturn:
    raise UntrustedXmlError(what, "it has a document type declaration (<!DOCTYPE), which is not accepted", line=line)
