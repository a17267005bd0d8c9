# SPDX-License-Identifier: GPL-2.0-or-later
"""nbdkit, its plugins and its filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from v2v_core.errors import V2VError
from v2v_core.finding import Finding, Status, present_or
from v2v_core.packages import Package, install
from v2v_core.programs import run_program

_NBDKIT = Package("nbdkit", "nbdkit-server")
#: Name, package, whether every conversion needs it, and which ones do otherwise.
_PLUGINS = (
    ("file", Package("nbdkit", "nbdkit-basic-plugins"), True, "raw disks that are written on this machine"),
    ("null", Package("nbdkit", "nbdkit-basic-plugins"), False, "-o null, and sources that are read over a network"),
    ("nbd", Package("nbdkit", "nbdkit-nbd-plugin"), False, "disks that another NBD server serves"),
    ("curl", Package("nbdkit", "nbdkit-curl-plugin"), False, "-i vcenter over https"),
    ("ssh", Package("nbdkit", "nbdkit-ssh-plugin"), False, "-i vmx -it ssh"),
    ("python", Package("nbdkit-plugin-python", "nbdkit-python-plugin"), False, "-o rhv-upload"),
    (
        "vddk",
        Package("nbdkit-plugin-vddk", "nbdkit-vddk-plugin"),
        False,
        "-i vcenter -it vddk, which also needs VMware's own library; not every release of Debian has the package",
    ),
)
#: All are in the package of nbdkit itself or in one beside it. If one is missing, nbdkit is too old.
_FILTERS = {
    "retry": "sources that are read over a network",
    "retry-request": "sources that are read over a network",
    "blocksize": "-i vcenter -it vddk",
    "multi-conn": "-i vcenter -it vddk",
}
_FILTER_PACKAGE = Package("nbdkit", "nbdkit-basic-filters")


def probe_nbdkit() -> Iterator[Finding]:
    """Look for nbdkit, and for its parts in the directories that it reports."""
    try:
        printed = run_program(["nbdkit", "--dump-config"], timeout=10)
    except V2VError as err:
        yield Finding("nbdkit", Status.MISSING, str(err), install(_NBDKIT))
        return
    config = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    yield Finding("nbdkit", Status.OK, f"version {config.get('version', 'unknown')}")
    plugins, filters = Path(config.get("plugindir", "/nonexistent")), Path(config.get("filterdir", "/nonexistent"))
    for name, package, needed, purpose in _PLUGINS:
        yield _part("plugin", name, plugins, install(package), needed=needed, purpose=purpose)
    for name, purpose in _FILTERS.items():
        newer = f"{install(_FILTER_PACKAGE)}, or a newer nbdkit"
        yield _part("filter", name, filters, newer, needed=False, purpose=purpose)


def _part(kind: str, name: str, directory: Path, remedy: str, *, needed: bool, purpose: str) -> Finding:
    path = directory / f"nbdkit-{name}-{kind}.so"
    return present_or(
        f"nbdkit {kind} {name}",
        str(path) if path.exists() else None,
        Status.MISSING if needed else Status.OPTIONAL,
        f"not installed; needed for {purpose}",
        remedy,
    )
