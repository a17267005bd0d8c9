# SPDX-License-Identifier: GPL-2.0-or-later
"""Verify manifests, which hold the checksums of a package's files (DSP0243 section 6: ``SHA256(file)= hex``).

They are also written by openssl(1), which since version 3 calls the algorithm SHA2-256, and by sha256sum(1) with and
without ``--tag``.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable

from v2v_core.api import SourceError
from v2v_input_vmware.ova.package import Package

_LINE = re.compile(
    r"\s*SHA(?:2?-)?(?P<bits>1|224|256|384|512)\s*\((?P<name>.+)\)\s*=\s*(?P<digest>[0-9A-F]+)\s*", re.IGNORECASE
)
_SHA_SUM = re.compile(r"\s*(?P<digest>[0-9A-F]{40,128})\s[ *]?(?P<name>.+?)\s*", re.IGNORECASE)
#: By the number of hexadecimal digits.
_BY_LENGTH = {40: "1", 56: "224", 64: "256", 96: "384", 128: "512"}
_CHUNK = 4 * 1024 * 1024


def verify(package: Package, warn: Callable[[str], None]) -> frozenset[str]:
    """Verify all files that manifests name, and return their names.

    :param warn: called for each line that cannot be parsed and each file that is missing.
    :raises SourceError: a file has another checksum.
    """
    verified: set[str] = set()
    for manifest in package.manifests:
        text = package.files[manifest].read_small().decode("utf-8-sig", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            entry = _parse(line)
            if entry is None:
                warn(f"{manifest}, line {number}: unable to parse line: {line.strip()[:80]!r}")
                continue
            algorithm, reference, digest = entry
            name = package.find(posixpath.dirname(manifest), reference)
            if name is None:
                warn(f"{manifest}, line {number}: the file {reference[:80]!r} is not in the OVA")
                continue
            if name == manifest:
                # its checksum was taken before it was written
                continue
            _check(package, name, algorithm, digest, manifest)
            verified.add(name)
    return frozenset(verified)


def _parse(line: str) -> tuple[str, str, str] | None:
    """Return algorithm, file and digest of a line, or None if it has another form."""
    match = _LINE.fullmatch(line)
    if match is not None:
        return f"sha{match['bits']}", match["name"].strip(), match["digest"].lower()
    match = _SHA_SUM.fullmatch(line)
    if match is None or len(match["digest"]) not in _BY_LENGTH:
        return None
    return f"sha{_BY_LENGTH[len(match['digest'])]}", match["name"], match["digest"].lower()


def _check(package: Package, name: str, algorithm: str, expected: str, manifest: str) -> None:
    part = package.files[name]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with part.open() as stream:
        left = part.size
        while left and (data := stream.read(min(_CHUNK, left))):
            digest.update(data)
            left -= len(data)
    if digest.hexdigest() != expected:
        raise SourceError(
            f"-i ova: corrupt OVA {package.origin}: the {algorithm.upper()} of {name} is {digest.hexdigest()}, but "
            f"{manifest} says {expected}",
            hint="the file was damaged or changed: export or download the OVA again; or, if you trust it, add: "
            "-io skip-manifest",
        )
