# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of releases of Windows by their version, build and kind."""

from __future__ import annotations

from v2v_convert_guestfs.windows.system import Product

#: libosinfo's identifiers by version: of the client and of the server.
_OLD = {
    (5, 0): ("win2k", "win2k"),
    (5, 1): ("winxp", "winxp"),
    (5, 2): ("winxp", "win2k3"),
    (6, 0): ("winvista", "win2k8"),
    (6, 1): ("win7", "win2k8r2"),
    (6, 2): ("win8", "win2k12"),
    (6, 3): ("win8.1", "win2k12r2"),
}
#: The first build of each release; those between them (Windows Server, version 1803 and so on) count as the one before.
_SERVERS = ((26000, "win2k25"), (20348, "win2k22"), (17763, "win2k19"), (0, "win2k16"))
_CLIENTS = ((22000, "win11"), (0, "win10"))
_R2 = "2003 r2"


def osinfo(name: str, version: tuple[int, int], build: int, product: Product) -> str | None:
    """Return libosinfo's short identifier, or None for a version that is not known.

    :param name: what Windows calls itself.
    """
    server = product is not Product.CLIENT
    if version == (5, 2) and server and _R2 in name.lower():
        return "win2k3r2"
    if version in _OLD:
        return _OLD[version][server]
    if version[0] != 10:
        return None
    return next(identifier for first, identifier in (_SERVERS if server else _CLIENTS) if build >= first)


def product_name(name: str, version: tuple[int, int], build: int, product: Product) -> str:
    """Return the name of the product. Windows 11 calls itself Windows 10 in its registry."""
    if product is Product.CLIENT and osinfo(name, version, build, product) == "win11":
        return name.replace("Windows 10", "Windows 11")
    return name
