# SPDX-License-Identifier: GPL-2.0-or-later
"""Catalogues (.cat) as Windows has them, signed by certificates of the tests' own, which no real Windows trusts.

A catalogue is a signed list of hashes (PKCS #7 around a certificate trust list, as MS-CAB and winqual describe it).
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import struct
from collections.abc import Mapping
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID


class Signer(StrEnum):
    """Who signed a catalogue, by the names in its certificates."""

    #: Names like those of Microsoft's hardware programme (WHCP).
    MICROSOFT = "microsoft"
    #: Names like those of a vendor whose certificate Microsoft cross-signed, as the community's virtio-win has them.
    VENDOR = "vendor"
    #: A certificate that signed itself, as the driver kit makes it.
    TEST = "test"


_CHAINS = {
    Signer.MICROSOFT: (
        "Microsoft Root Certificate Authority 2010",
        "Microsoft Windows Third Party Component CA 2012",
        "Microsoft Windows Hardware Compatibility Publisher",
    ),
    Signer.VENDOR: (
        "Microsoft Code Verification Root",
        "VeriSign Class 3 Public Primary Certification Authority - G5",
        "VeriSign Class 3 Code Signing 2010 CA",
        "Red Hat, Inc.",
    ),
    Signer.TEST: ("WDKTestCert builder,132654",),
}
_CTL = "1.3.6.1.4.1.311.10.1"


def catalogue(files: Mapping[str, bytes], signer: Signer, digest: str = "sha256", *, issued: int = 2021) -> bytes:
    """Return a catalogue of files.

    :param files: content by name. :param digest: ``sha1`` or ``sha256``, of the members and of the signature.
    :param issued: the year in which the signer got the certificate.
    """
    members = [_member(name, content, digest) for name, content in sorted(files.items())]
    kind = "1.3.6.1.4.1.311.12.1.2" if digest == "sha1" else "1.3.6.1.4.1.311.12.1.3"
    contents = b"".join(
        (
            _seq(_oid("1.3.6.1.4.1.311.12.1.1")),
            _der(0x04, hashlib.md5(repr(sorted(files)).encode(), usedforsecurity=False).digest()),
            _der(0x17, b"231109120000Z"),
            _seq(_oid(kind), _der(0x05)),
            _seq(*members),
        )
    )
    return _signed(contents, signer, digest, issued)


def authenticode_digest(content: bytes, digest: str) -> bytes:
    """Return the hash of a file as catalogues have it: of a program without its checksum and signature."""
    if content[:2] != b"MZ":
        return hashlib.new(digest, content).digest()
    head = struct.unpack_from("<I", content, 0x3C)[0] + 24
    security = head + (144 if content[head : head + 2] == b"\x0b\x02" else 128)
    whole = content[: head + 64] + content[head + 68 : security] + content[security + 8 :]
    # The hash covers whole units of 8 bytes.
    return hashlib.new(digest, whole + bytes(-len(content) % 8)).digest()


def _member(name: str, content: bytes, digest: str) -> bytes:
    value = authenticode_digest(content, digest)
    identifier = value.hex().upper().encode("utf-16-le") if digest == "sha1" else value
    algorithm = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}[digest]
    program = content[:2] == b"MZ"
    image = _seq(_oid("1.3.6.1.4.1.311.2.1.15"), _seq(_der(0x03, b"\0"), _der(0xA0, _der(0xA2, _der(0x80)))))
    link = _seq(_oid("1.3.6.1.4.1.311.2.1.25"), _der(0xA2, _der(0x80)))
    indirect = _seq(image if program else link, _seq(_seq(_oid(algorithm), _der(0x05)), _der(0x04, value)))
    named = _seq(
        _der(0x1E, "File".encode("utf-16-be")), _integer(0x10010001), _der(0x04, f"{name}\0".encode("utf-16-le"))
    )
    attributes = (
        _seq(_oid("1.3.6.1.4.1.311.12.2.1"), _der(0x31, named)),
        _seq(_oid("1.3.6.1.4.1.311.2.1.4"), _der(0x31, indirect)),
    )
    return _seq(_der(0x04, identifier), _der(0x31, b"".join(sorted(attributes))))


def _signed(contents: bytes, signer: Signer, digest: str, issued: int) -> bytes:
    key, certificates = _chain(signer, issued)
    algorithm = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}[digest]
    attributes = b"".join(
        (
            _seq(_oid("1.2.840.113549.1.9.3"), _der(0x31, _oid(_CTL))),
            _seq(_oid("1.2.840.113549.1.9.4"), _der(0x31, _der(0x04, hashlib.new(digest, contents).digest()))),
        )
    )
    leaf = certificates[-1]
    hashed = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303 - old Windows knows no other
    signature = key.sign(_der(0x31, attributes), padding.PKCS1v15(), hashed)
    info = _seq(
        _integer(1),
        _seq(leaf.issuer.public_bytes(), _integer(leaf.serial_number)),
        _seq(_oid(algorithm), _der(0x05)),
        _der(0xA0, attributes),
        _seq(_oid("1.2.840.113549.1.1.1"), _der(0x05)),
        _der(0x04, signature),
    )
    signed = _seq(
        _integer(1),
        _der(0x31, _seq(_oid(algorithm), _der(0x05))),
        _seq(_oid(_CTL), _der(0xA0, _seq(contents))),
        # The root itself is not in the file.
        _der(0xA0, b"".join(c.public_bytes(serialization.Encoding.DER) for c in certificates[1:] or certificates)),
        _der(0x31, info),
    )
    return _seq(_oid("1.2.840.113549.1.7.2"), _der(0xA0, signed))


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def _chain(signer: Signer, issued: int) -> tuple[rsa.RSAPrivateKey, list[x509.Certificate]]:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in _CHAINS[signer]]
    made, issuer, start = [], names[0], datetime.datetime(issued, 3, 1)
    for number, name in enumerate(names, 1):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(_key().public_key())
        builder = builder.serial_number(number).not_valid_before(start)
        builder = builder.not_valid_after(start + datetime.timedelta(days=9000))
        made.append(builder.sign(_key(), hashes.SHA256()))
        issuer = name
    return _key(), made


def _der(tag: int, content: bytes = b"") -> bytes:
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (length if size < 128 else bytes([0x80 | len(length)]) + length) + content


def _seq(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _integer(number: int) -> bytes:
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return _der(0x06, content)
