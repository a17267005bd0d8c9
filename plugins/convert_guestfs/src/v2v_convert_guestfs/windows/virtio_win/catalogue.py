# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a catalogue (.cat): the hashes of the files that it vouches for, and the names of those who signed it.

The signature itself is not verified: whether Windows trusts it, only that Windows can say. But a catalogue that was
made for other files, or by a certificate that no Windows has ever trusted, is found here.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: Bytes. Those of virtio-win have about 12 KiB.
LONGEST = 4 * 1024 * 1024
_MOST_MEMBERS = 20_000
_MOST_CERTIFICATES = 50
_CTL = "1.3.6.1.4.1.311.10.1"
#: SpcIndirectDataContent (1.3.6.1.4.1.311.2.1.4), encoded.
_INDIRECT = bytes.fromhex("2b060104018237020104")
_SEQUENCE, _TIMES = 16, {23, 24}
_LENGTHS = {20: "sha1", 32: "sha256"}


class Trust(StrEnum):
    """Who vouches for a driver."""

    MICROSOFT = "signed by Microsoft"
    CROSS_SIGNED = "signed by its vendor, whose certificate Microsoft cross-signed"
    TEST = "signed by a test certificate"
    UNSIGNED = "not signed"


@dataclass(frozen=True)
class Catalogue:
    """What a catalogue says.

    :param signer: the name of who signed it. :param issuers: names of those who issued the certificates, the signer's
        first. :param issued: when the signer got the certificate. :param digest: the algorithm of the signature.
    :param members: the hashes of the files.
    """

    signer: str
    issuers: tuple[str, ...]
    issued: datetime.date | None
    digest: str
    members: frozenset[bytes]

    @property
    def trust(self) -> Trust:
        """Who vouches for it, by the names."""
        if not self.signer:
            return Trust.UNSIGNED
        names = (self.signer, *self.issuers)
        if self.signer.startswith("Microsoft ") and any(name.startswith("Microsoft ") for name in self.issuers):
            return Trust.MICROSOFT
        if any(name.startswith("Microsoft ") for name in self.issuers):
            return Trust.CROSS_SIGNED
        public = (
            "VeriSign",
            "DigiCert",
            "GlobalSign",
            "Symantec",
            "thawte",
            "Entrust",
            "COMODO",
            "Sectigo",
            "GeoTrust",
        )
        known = any(name.lower().startswith(brand.lower()) for name in names for brand in public)
        return Trust.CROSS_SIGNED if known and len(set(names)) > 1 else Trust.TEST

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms of the hashes."""
        return frozenset(_LENGTHS[len(member)] for member in self.members)


def read_catalogue(data: bytes) -> Catalogue | None:
    """Read a catalogue; return None if it is none."""
    if len(data) > LONGEST:
        return None
    try:
        return _read(data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        # asn1crypto raises these for what is no DER, or has other types than it should.
        return None


def _read(data: bytes) -> Catalogue | None:
    from asn1crypto import cms, core

    info = cms.ContentInfo.load(data)
    if info["content_type"].native != "signed_data":
        return None
    signed = info["content"]
    wrapped = signed["encap_content_info"]
    if wrapped["content_type"].dotted != _CTL:
        return None
    inner = wrapped["content"]
    contents = bytes(inner.contents)
    if isinstance(inner, core.OctetString):
        contents = _children(contents)[0][1]
    certificates = [choice.chosen for choice in signed["certificates"] if choice.name == "certificate"]
    signer, digest = "", ""
    issuers: tuple[str, ...] = ()
    issued: datetime.date | None = None
    for signature in list(signed["signer_infos"])[:1]:
        digest = str(signature["digest_algorithm"]["algorithm"].native)
        identifier = signature["sid"].chosen
        leaf = _find(certificates, identifier["serial_number"].native, identifier["issuer"])
        if leaf is not None:
            signer, issued = _common_name(leaf.subject), leaf["tbs_certificate"]["validity"]["not_before"].native.date()
            issuers = _issuers(leaf, certificates)
    return Catalogue(signer, issuers, issued, digest, frozenset(_members(contents)))


def _find(certificates: list[Any], serial: int, issuer: Any) -> Any:
    found = (each for each in certificates if each.serial_number == serial and each.issuer == issuer)
    return next(found, None)


def _issuers(leaf: Any, certificates: list[Any]) -> tuple[str, ...]:
    """Return the names of the issuers on every path from a certificate, as far as the certificates go."""
    names, todo, seen = [], [leaf], 0
    while todo and seen < _MOST_CERTIFICATES:
        issuer, seen = todo.pop(0).issuer, seen + 1
        names.append(_common_name(issuer))
        todo += [each for each in certificates if each.subject == issuer and each.issuer != issuer]
    return tuple(dict.fromkeys(names))


def _common_name(name: Any) -> str:
    values = name.native
    found = values.get("common_name") or values.get("organization_name") or ""
    return str(found[0] if isinstance(found, list) else found)[:200]


def _members(contents: bytes) -> Iterator[bytes]:
    """Yield the hashes in a trust list: its last sequence has a sequence for each file."""
    parts = _children(contents)
    times = [place for place, (tag, _) in enumerate(parts) if tag in _TIMES]
    lists = [content for tag, content in parts[times[0] :] if tag == _SEQUENCE] if times else []
    for tag, member in _children(lists[1])[:_MOST_MEMBERS] if len(lists) > 1 else ():
        if tag != _SEQUENCE:
            continue
        for _, attribute in _children(_children(member)[1][1]):
            (_, kind), (_, values) = _children(attribute)[:2]
            if kind == _INDIRECT:
                _, digest_info = _children(_children(values)[0][1])[1]
                digest = _children(digest_info)[1][1]
                if len(digest) in _LENGTHS:
                    yield digest


def _children(content: bytes) -> list[tuple[int, bytes]]:
    """Return tag number and content of each element.

    :raises ValueError: one does not end where it should.
    """
    found, place = [], 0
    while place < len(content):
        tag, length, place = content[place] & 0x1F, content[place + 1], place + 2
        if length & 0x80:
            size = length & 0x7F
            length, place = int.from_bytes(content[place : place + size], "big"), place + size
        if place + length > len(content):
            raise ValueError("an element is longer than what it is in")
        found.append((tag, content[place : place + length]))
        place += length
    return found
