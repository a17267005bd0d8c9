# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse the address of a vCenter or an ESXi host: ``https://USER@HOST/``, or libvirt's ``vpx://`` and ``esx://``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from v2v_core.api import UsageError

_SCHEMES = frozenset({"https", "vpx", "esx"})
_EXAMPLE = "for example: -ic https://administrator%40vsphere.local@vcenter.example.com/"


@dataclass(frozen=True, kw_only=True)
class Address:
    """The server and the user who logs in.

    :param datacenter: path of a ``vpx://`` URI, which starts with the inventory path of the datacenter; else empty.
    :param no_verify: the user does not want the certificate to be verified.
    """

    host: str
    user: str
    port: int = 443
    datacenter: str = ""
    no_verify: bool = False

    @property
    def authority(self) -> str:
        """Host and port as in a URL, without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def parse_address(uri: str | None) -> Address:
    """Parse the URI of ``-ic``.

    :raises UsageError: it is missing, not such a URI, or has a password or no user.
    """
    if uri is None:
        raise UsageError("a vCenter or ESXi host must be named with -ic", hint=_EXAMPLE)
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as err:
        raise UsageError(f"-ic is not a URI: {err}", hint=_EXAMPLE) from err
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise UsageError("-ic does not name a vCenter or ESXi host", hint=_EXAMPLE)
    if parts.password is not None:
        raise UsageError("the URI of -ic must not contain a password", hint="write it into a file and add: -ip FILE")
    user = unquote(parts.username) if parts.username else ("root" if parts.scheme == "esx" else None)
    if user is None:
        raise UsageError("the URI of -ic does not name a user", hint=_EXAMPLE)
    query = parse_qs(parts.query)
    return Address(
        host=parts.hostname,
        user=user,
        port=port or 443,
        # vpx://HOST/Folder/Datacenter/cluster/esxi: only the inventory tells where the datacenter ends
        datacenter=unquote(parts.path).strip("/") if parts.scheme == "vpx" else "",
        no_verify=query.get("no_verify", ["0"])[-1] == "1",
    )
