# SPDX-License-Identifier: GPL-2.0-or-later
"""An authority, and a certificate of it for this machine on loopback: made by openssl, for servers of tests."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "rsa:2048", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Certificates:
    """The authority's certificate, and a server's certificate and key."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Make them in a directory that does not exist yet."""
        directory.mkdir(mode=0o700)
        made = cls(directory / "authority.pem", directory / "certificate.pem", directory / "key.pem")
        authority_key = directory / "authority.key"
        _openssl("-x509", *_KEY, "-subj", "/CN=test authority", "-keyout", authority_key, "-out", made.authority)
        _openssl(
            *("-x509", *_KEY, "-subj", "/CN=localhost", "-CA", made.authority, "-CAkey", authority_key),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", made.key, "-out", made.certificate),
        )
        return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", "req", *map(str, words)], check=True, capture_output=True)
