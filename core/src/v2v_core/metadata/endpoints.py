# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the metadata says that the disks of the guest are served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from v2v_core.errors import MetadataError
from v2v_core.metadata.domain_reader import source_disks
from v2v_core.metadata.source import source_from
from v2v_core.metadata.tree import read_tree
from v2v_core.metadata.validation import check_tree

if TYPE_CHECKING:
    from lxml import etree


def named_endpoints(path: Path) -> dict[int, str | None]:
    """Return the NBD URI that the metadata names for each disk of the guest, by number.

    A disk with a network source of the protocol ``nbd`` is served at that place, by another supervisor. All others have
    None: the conversion directory says where they are served.

    :param path: ``metadata.in`` or ``metadata.out``.
    :raises MetadataError: the file is missing, damaged or not valid, or names a place that cannot be one.
    """
    root = read_tree(path)
    check_tree(root, path)
    guest = source_from(root, path)
    named: dict[int, str | None] = {}
    for disk, element in zip(guest.disks, source_disks(root), strict=True):
        source = element.find("source")
        foreign = source is not None and source.get("protocol") == "nbd"
        named[disk.index] = _foreign(source, path) if source is not None and foreign else None
    return named


def _foreign(source: etree._Element, path: Path) -> str:
    host = source.find("host")
    export = quote(source.get("name", ""), safe="/")
    scheme = "nbds" if source.get("tls") == "yes" else "nbd"
    if host is not None and host.get("transport", "tcp") == "unix":
        socket = host.get("socket", "")
        if socket.startswith("/"):
            return f"{scheme}+unix:///{export}?socket={quote(socket)}"
        raise _error(path, source, f"the socket of an NBD source is not an absolute path: {socket!r}")
    name, port = ("", "") if host is None else (host.get("name", ""), host.get("port", "10809"))
    if not name or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise _error(path, source, "an NBD source needs a host with a name and a port, or a socket")
    # an IPv6 address is bracketed in a URI (RFC 3986, 3.2.2) and may or may not be so in libvirt's XML
    address = f"[{name.strip('[]')}]" if ":" in name else quote(name, safe="")
    return f"{scheme}://{address}:{port}/{export}"


def _error(path: Path, source: etree._Element, reason: str) -> MetadataError:
    return MetadataError(f"{path}: line {source.sourceline}: {reason}", path=path)
