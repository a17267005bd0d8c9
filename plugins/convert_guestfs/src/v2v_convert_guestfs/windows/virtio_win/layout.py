# SPDX-License-Identifier: GPL-2.0-or-later
"""Which Windows and which machine a file of virtio-win is for, by the directories that it is in.

The ISO has ``viostor/w10/amd64/viostor.sys``, the package ``drivers/by-os/amd64/w10/viostor.sys`` and
``drivers/by-driver/viostor/w10/amd64/viostor.sys``. Any order of the directories is understood.
"""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.windows.system import Product, WindowsSystem

_MACHINES = {"x86": "i386", "i386": "i386", "amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Release:
    """A release of Windows that drivers are made for."""

    directory: str
    version: tuple[int, int]
    build: int
    server: bool


#: Newest first. Of a client and a server with the same kernel, both can use the drivers of the other.
RELEASES = (
    Release("2k25", (10, 0), 26100, server=True),
    Release("w11", (10, 0), 22000, server=False),
    Release("2k22", (10, 0), 20348, server=True),
    Release("2k19", (10, 0), 17763, server=True),
    Release("2k16", (10, 0), 14393, server=True),
    Release("w10", (10, 0), 10240, server=False),
    Release("2k12r2", (6, 3), 9600, server=True),
    Release("w8.1", (6, 3), 9600, server=False),
    Release("2k12", (6, 2), 9200, server=True),
    Release("w8", (6, 2), 9200, server=False),
    Release("2k8r2", (6, 1), 7600, server=True),
    Release("w7", (6, 1), 7600, server=False),
    Release("2k8", (6, 0), 6000, server=True),
    Release("2k3", (5, 2), 3790, server=True),
    Release("xp", (5, 1), 2600, server=False),
)
_DIRECTORIES = {release.directory for release in RELEASES}


def sort_of(path: str) -> tuple[str, str] | None:
    """Return machine (libguestfs's name) and release of a file of virtio-win; None if it is no driver's."""
    *directories, name = path.lower().split("/")
    if "sriov" in directories or name.startswith("vioprot.") or name.endswith(".pdb"):
        return None
    machine = next((_MACHINES[part] for part in directories if part in _MACHINES), None)
    release = next((part for part in directories if part in _DIRECTORIES), None)
    return (machine, release) if machine is not None and release is not None else None


def releases_for(system: WindowsSystem) -> tuple[Release, ...]:
    """Return the releases whose drivers a Windows can use, the best first: its own, then older ones of its kind.

    Windows NT 5 (XP, 2003) and later ones have different kinds of drivers. Within NT 10, the releases of the same kind
    come first: Server 2025 takes the drivers for Server 2022 rather than those for Windows 11.
    """
    server = system.product is not Product.CLIENT
    here = (*system.version, system.build)

    usable = [
        release
        for release in RELEASES
        if release.version[0] >= min(system.version[0], 6) and _not_newer(release, system.version, here)
    ]
    return tuple(
        sorted(usable, key=lambda release: (release.version, release.server == server, release.build), reverse=True)
    )


def _not_newer(release: Release, version: tuple[int, int], here: tuple[int, ...]) -> bool:
    # Builds tell the releases of Windows 10 and later apart. Before that, the version does.
    if release.version[0] < 10 or version[0] < 10:
        return release.version <= version
    # A preview has a lower build than the release, and Windows 10 of 2015 the lowest.
    return (*release.version, release.build) <= here or release.directory == "w10"
