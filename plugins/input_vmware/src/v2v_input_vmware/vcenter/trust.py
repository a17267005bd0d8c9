# SPDX-License-Identifier: GPL-2.0-or-later
"""Verify the server's certificate: by the authorities that this machine or the user trusts, or by its thumbprint."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import SourceError, UsageError
from v2v_input_vmware.vcenter.address import Address

#: Seconds that a connection or an answer may take.
TIMEOUT = 60
_ALGORITHMS = {40: "sha1", 64: "sha256"}


@dataclass(frozen=True)
class Trust:
    """How the server's certificate is verified.

    :param ca_file: the authorities to trust, or the certificate itself; None for the authorities of this machine.
    :param pinned: ``ca_file`` is the certificate of the server, which may be for any name.
    """

    verify: bool = True
    ca_file: Path | None = None
    pinned: bool = False

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for a connection.

        :raises SourceError: the file of authorities is not usable.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as err:
            raise SourceError(
                f"{self.ca_file} is not a usable file of certificates: {err.strerror or err}",
                hint="name a file with certificates in PEM form with -io ca-file=FILE",
            ) from err
        if self.pinned:
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def find_trust(address: Address, directory: Path, *, thumbprint: str | None, ca_file: str | None) -> Trust:
    """Decide how the server's certificate is verified.

    :param directory: where the pinned certificate is written to.
    :raises UsageError: the thumbprint is malformed.
    :raises SourceError: the server cannot be reached, or has another certificate.
    """
    if thumbprint is None:
        return Trust(verify=not address.no_verify, ca_file=Path(ca_file).absolute() if ca_file else None)
    wanted = thumbprint.replace(":", "").replace(" ", "").lower()
    if len(wanted) not in _ALGORITHMS or not re.fullmatch(r"[0-9a-f]+", wanted):
        raise UsageError(
            f"{thumbprint} is not a thumbprint", hint="a SHA-1 or SHA-256 fingerprint is 40 or 64 hexadecimal digits"
        )
    certificate = fetch_certificate(address)
    found = hashlib.new(_ALGORITHMS[len(wanted)], certificate, usedforsecurity=False).hexdigest()
    if found != wanted:
        raise SourceError(
            f"the certificate of {address.host} has the thumbprint {colons(found)}, not {colons(wanted)}",
            hint="if the certificate was renewed, correct the thumbprint; otherwise another machine may intercept the "
            "connection",
        )
    kept = directory / "certificate.pem"
    kept.write_text(ssl.DER_cert_to_PEM_cert(certificate))
    return Trust(ca_file=kept, pinned=True)


def check_name(address: Address, trust: Trust) -> None:
    """Check that a pinned certificate is for the name of the server: libcurl always compares names.

    The certificate of an ESXi host that was never given a name is for another name.

    :raises SourceError: it is for another name.
    """
    context = trust.context()
    context.check_hostname = True
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=address.host),
        ):
            return
    except ssl.SSLCertVerificationError as err:
        raise SourceError(
            f"the certificate of {address.host} is for another name: {err.verify_message}",
            hint="in -ic, use the name that the certificate has (a line in /etc/hosts can give it the address of the "
            "server), or use -it vddk, or add ?no_verify=1 to the URI",
        ) from err
    except OSError as err:
        raise unreachable(address, err) from err


def fetch_certificate(address: Address, trust: Trust = Trust(verify=False)) -> bytes:
    """Return the certificate of the server, in DER form.

    :param trust: how it is verified; by default it is not, and the caller has to verify it.
    :raises SourceError: the server cannot be reached, or the verification fails.
    """
    context = trust.context()
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=address.host) as secured,
        ):
            certificate = secured.getpeercert(binary_form=True)
    except OSError as err:
        raise unreachable(address, err) from err
    if not certificate:
        raise SourceError(f"{address.host} has no certificate", hint="check that it is a vCenter or an ESXi host")
    return certificate


def sha1_thumbprint(certificate: bytes) -> str:
    """Return the SHA-1 thumbprint of a certificate as VMware writes it."""
    return colons(hashlib.sha1(certificate, usedforsecurity=False).hexdigest()).upper()


def colons(digest: str) -> str:
    """Return a fingerprint with colons between its bytes."""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def unreachable(address: Address, err: OSError) -> SourceError:
    """Return the error that says that the server cannot be reached."""
    reason = "no answer in time" if isinstance(err, TimeoutError) else (err.strerror or str(err))
    return SourceError(
        f"{address.host}, port {address.port}, cannot be reached: {reason}",
        hint="check the name, that the server is running, and that no firewall blocks the connection",
    )
