# SPDX-License-Identifier: GPL-2.0-or-later
"""nbdkit, and those of its plugins and filters that core uses. Plugins of ours look for their own."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_core.errors import V2VError
from v2v_core.finding import Finding, Status
from v2v_core.nbdkit_parts import nbdkit_config, probe_nbdkit_part
from v2v_core.packages import Package, install

_NBDKIT = Package("nbdkit", "nbdkit-server")
_BASIC_PLUGINS = Package("nbdkit", "nbdkit-basic-plugins")
_NETWORK = "sources that are read over a network"
#: Name, package, status if absent, and what needs it.
_PLUGINS = (
    ("file", _BASIC_PLUGINS, Status.MISSING, "raw disks that are written on this machine"),
    ("null", _BASIC_PLUGINS, Status.OPTIONAL, f"-o null, and {_NETWORK}"),
    ("nbd", Package("nbdkit", "nbdkit-nbd-plugin"), Status.OPTIONAL, "disks that another NBD server serves"),
)
#: All are in the package of nbdkit itself or in one beside it. If one is missing, nbdkit is too old.
_FILTERS = ("retry", "retry-request")
_FILTER_PACKAGE = Package("nbdkit", "nbdkit-basic-filters")


def probe_nbdkit() -> Iterator[Finding]:
    """Look for nbdkit, and for its parts in the directories that it reports."""
    try:
        config = nbdkit_config()
    except V2VError as err:
        yield Finding("nbdkit", Status.MISSING, str(err), install(_NBDKIT))
        return
    yield Finding("nbdkit", Status.OK, f"version {config.get('version', 'unknown')}")
    for name, package, absent, purpose in _PLUGINS:
        yield from probe_nbdkit_part("plugin", name, purpose, install(package), absent=absent)
    for name in _FILTERS:
        yield from probe_nbdkit_part("filter", name, _NETWORK, f"{install(_FILTER_PACKAGE)}, or a newer nbdkit")
