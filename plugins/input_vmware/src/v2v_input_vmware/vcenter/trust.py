# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS: the certificate is verified by the authorities of this machine, or is exactly the one that the user named."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import SourceError, UsageError
from v2v_input_vmware.vcenter.address import Address

#: Seconds.
TIMEOUT = 60
_ALGORITHMS = {40: "sha1", 64: "sha256"}


@dataclass(frozen=True)
class Trust:
    """How the server is recognised.

    :param ca_file: authorities to trust, or the one certificate itself; None for those of this machine.
    :param pinned: ``ca_file`` is the certificate of the server, whatever its name.
    """

    verify: bool = True
    ca_file: Path | None = None
    pinned: bool = False

    def context(self) -> ssl.SSLContext:
        """Make the context for a connection.

        :raises SourceError: the file of authorities is not usable.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as err:
            raise SourceError(
                f"{self.ca_file} cannot be used as a file of certificates: {err.strerror or err}",
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
    """Settle how the server is recognised.

    :param directory: where the pinned certificate is kept.
    :raises UsageError: the thumbprint is none.
    :raises SourceError: the server is not reached, or has another certificate.
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
            f"the certificate of {address.host} has the thumbprint {colons(found)}, and not {colons(wanted)}",
            hint="somebody may be between this machine and the server; if its certificate was renewed, correct the "
            "thumbprint",
        )
    kept = directory / "certificate.pem"
    kept.write_text(ssl.DER_cert_to_PEM_cert(certificate))
    return Trust(ca_file=kept, pinned=True)


def check_name(address: Address, trust: Trust) -> None:
    """See that a pinned certificate is for the name of the server, which libcurl compares however it is trusted.

    :raises SourceError: it is for others, as that of an ESXi host is when it was installed and not given a name.
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
            hint="disks are read over https by a library that compares names: call the server in -ic as its "
            "certificate does (a line in /etc/hosts may lead there), or use -it vddk, or add ?no_verify=1 to the URI",
        ) from err
    except OSError as err:
        raise unreachable(address, err) from err


def fetch_certificate(address: Address, trust: Trust = Trust(verify=False)) -> bytes:
    """Fetch the certificate that the server shows.

    :param trust: what it must be; without it, whether to trust the certificate is somebody else's question.
    :raises SourceError: it is not reached, or shows another certificate.
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
        raise SourceError(f"{address.host} shows no certificate", hint="check that it is a vCenter or an ESXi host")
    return certificate


def sha1_thumbprint(certificate: bytes) -> str:
    """Give the thumbprint as VMware writes it."""
    return colons(hashlib.sha1(certificate, usedforsecurity=False).hexdigest()).upper()


def colons(digest: str) -> str:
    """Write a fingerprint with colons."""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def unreachable(address: Address, err: OSError) -> SourceError:
    """Say that the server is not reached."""
    reason = "no answer in time" if isinstance(err, TimeoutError) else (err.strerror or str(err))
    return SourceError(
        f"{address.host}, port {address.port}, cannot be reached: {reason}",
        hint="check the name, that the server is up, and that a firewall lets this machine through",
    )
