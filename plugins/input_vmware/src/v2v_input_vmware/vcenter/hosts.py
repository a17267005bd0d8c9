# SPDX-License-Identifier: GPL-2.0-or-later
"""Connect to the hosts that send disks, and verify their certificates.

With a vCenter these are the ESXi hosts. The vCenter, which was verified before, names each host and its thumbprint.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust

_ALGORITHMS = {40: "sha1", 64: "sha256"}


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Where a disk is sent from.

    :param path: path and query of the URL.
    :param thumbprint: of the host's certificate, as the verified server says; None: the certificate is verified like
        that of the server.
    """

    host: str
    port: int
    path: str
    trust: Trust
    thumbprint: str | None = None

    def connect(self, timeout: float) -> http.client.HTTPSConnection:
        """Connect, and verify the certificate.

        :param timeout: seconds without a byte that the later answer may take.
        :raises SourceError: it is the certificate of another machine.
        :raises OSError: the host cannot be reached, or its certificate is not trusted.
        """
        trust = self.trust if self.thumbprint is None else Trust(verify=False)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=trust.context())
        try:
            connection.connect()
            if self.thumbprint is not None:
                self._compare(connection.sock, self.thumbprint)
            connection.sock.settimeout(timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _compare(self, secured: ssl.SSLSocket, wanted: str) -> None:
        certificate = secured.getpeercert(binary_form=True) or b""
        found = hashlib.new(_ALGORITHMS[len(wanted)], certificate, usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(found, wanted):
            raise SourceError(
                f"the certificate of {self.host} has the thumbprint {found}, and the vCenter says {wanted}",
                hint="another machine may intercept the connection; if the host got a new certificate, reconnect it "
                "in the vSphere Client",
            )


def sender_of(url: str, thumbprint: str | None, address: Address, trust: Trust) -> Sender:
    """Return where a disk is sent from.

    :param url: of the lease; ``*`` as its host stands for the server itself.
    :param thumbprint: what the server says about the host's certificate.
    :raises SourceError: it is not an https URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme != "https" or not host or not parts.path.startswith("/"):
        raise SourceError(
            f"{address.host} names no usable URL for a disk: {url[:200]!r}", hint="look at the logs of the server"
        )
    if host == "*":
        host, port = address.host, port or address.port
    port = port or 443
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    digest = (thumbprint or "").replace(":", "").replace(" ", "").lower()
    known = len(digest) in _ALGORITHMS and set(digest) <= set("0123456789abcdef")
    itself = (host, port) == (address.host, address.port)
    return Sender(
        host=host,
        port=port,
        path=path,
        trust=trust,
        thumbprint=digest if known and trust.verify and not itself else None,
    )
