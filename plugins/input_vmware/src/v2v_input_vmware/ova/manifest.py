# SPDX-License-Identifier: GPL-2.0-or-later
"""Verify manifests, which hold the checksums of a package's files (DSP0243 section 6: ``SHA256(file)= hex``)."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable

from v2v_core.api import SourceError
from v2v_input_vmware.ova.package import Package

_LINE = re.compile(
    r"\s*(SHA1|SHA256|SHA384|SHA512)\s*\((?P<name>.+)\)\s*=\s*(?P<digest>[0-9A-Fa-f]+)\s*", re.IGNORECASE
)
_CHUNK = 4 * 1024 * 1024


def verify(package: Package, warn: Callable[[str], None]) -> int:
    """Verify all files that manifests name, and return their number.

    :param warn: called for each line that cannot be parsed and each file that is missing.
    :raises SourceError: a file has another checksum.
    """
    verified = 0
    for manifest in sorted(name for name in package.files if name.lower().endswith(".mf")):
        text = package.files[manifest].read_small().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                warn(f"{manifest}, line {number}: unable to parse line: {line.strip()[:80]!r}")
                continue
            name = posixpath.normpath(posixpath.join(posixpath.dirname(manifest), match["name"].strip()))
            if name not in package.files:
                warn(f"{manifest}, line {number}: the file {name!r} is not in the OVA")
                continue
            _check(package, name, match[1].lower(), match["digest"].lower(), manifest)
            verified += 1
    return verified


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
            hint="the file was damaged or changed: export or download the OVA again",
        )
