# SPDX-License-Identifier: GPL-2.0-or-later
"""A certificate authority and a certificate for this machine, made by openssl(1) for a test's server on loopback."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "rsa:2048", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Certificates:
    """Paths of the authority's certificate, and of the server's certificate and key, in PEM format."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Make an authority and a certificate for ``localhost`` and ``127.0.0.1``, valid for two days.

        :param directory: must not exist yet; it is created for this user only.
        """
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
