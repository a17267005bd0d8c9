# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose the drivers of virtio-win that one Windows can use, and read them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from v2v_convert_guestfs.windows.virtio_win.inf import Inf, Installation, Target, read_inf
from v2v_convert_guestfs.windows.virtio_win.layout import Release, releases_for, sort_of
from v2v_convert_guestfs.windows.virtio_win.sources import Source, UnreadableError

#: Bytes of all files together. Those for one Windows have some 30 MiB.
_LARGEST = 512 * 1024 * 1024
#: The installers of the QEMU guest agent, by libguestfs's name of the architecture.
_AGENTS = {
    "i386": ("qemu-ga-x86.msi", "qemu-ga-i386.msi", "rhev-qga.msi"),
    "x86_64": ("qemu-ga-x64.msi", "qemu-ga-x86_64.msi", "rhev-qga64.msi"),
}
#: Programs that no INF names.
_BESIDE = {"balloon": {"blnsvr.exe"}, "viofs": {"virtiofs.exe"}}
_PRODUCTS = {Product.CLIENT: 1, Product.DOMAIN_CONTROLLER: 2, Product.SERVER: 3}


@dataclass(frozen=True)
class DriverPackage:
    """A driver for one Windows.

    :param name: of the INF in lower case, without its ending. :param place: the directory in virtio-win.
    :param release: that it was made for. :param files: content by name in lower case, of all files in the directory.
    """

    name: str
    place: str
    release: Release
    inf: Inf
    installation: Installation
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def inf_name(self) -> str:
        """The name of the INF."""
        return f"{self.name}.inf"

    def binary(self) -> str | None:
        """Return the name of the driver's program, if it is there."""
        for service in self.installation.services:
            if service.binary.lower() in self.files:
                return service.binary.lower()
        return f"{self.name}.sys" if f"{self.name}.sys" in self.files else None

    def catalogue(self, arch: str) -> str | None:
        """Return the name of its catalogue, if it is there."""
        return next((name for name in self.inf.catalogues(arch) if name in self.files), None)


@dataclass(frozen=True)
class Selection:
    """The drivers for one Windows, by the names of their INFs.

    :param agent: the installer of the QEMU guest agent: name and content.
    :param unfit: why a driver was passed over whose directory is for this Windows: reasons by name.
    """

    packages: Mapping[str, DriverPackage] = field(default_factory=dict)
    agent: tuple[str, bytes] | None = None
    unfit: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """Return all files by their names, each once."""
        return {name: data for package in self.packages.values() for name, data in sorted(package.files.items())}


def target_of(system: WindowsSystem) -> Target:
    """Return the Windows as INFs distinguish it."""
    return Target(
        arch=system.arch, version=system.version, build=system.build, product=_PRODUCTS.get(system.product, 1)
    )


def select(source: Source, system: WindowsSystem) -> Selection:
    """Choose the drivers for a Windows, and read them.

    :raises UnreadableError: one cannot be read.
    """
    reader = _Reader(source)
    directories = _directories(source, system)
    packages: dict[str, DriverPackage] = {}
    unfit: dict[str, str] = {}
    for release, directory, names in directories:
        for inf_name in (name for name in names if name.endswith(".inf")):
            name = inf_name.removesuffix(".inf")
            if name in packages:
                continue
            inf = read_inf(reader.read(names[inf_name]))
            installation = inf.installation(target_of(system))
            if installation is None:
                unfit.setdefault(name, f"{names[inf_name]} in {source.place} is for another Windows or another machine")
                continue
            files = {name: reader.read(path) for name, path in _belonging(name, inf, names)}
            packages[name] = DriverPackage(name, directory, release, inf, installation, files)
    if "fwcfg" in packages:
        # It is a driver; the other one only keeps Windows from asking for one.
        packages.pop("qemufwcfg", None)
    return Selection(
        packages, _agent(reader, system), {name: why for name, why in unfit.items() if name not in packages}
    )


def _directories(source: Source, system: WindowsSystem) -> list[tuple[Release, str, dict[str, str]]]:
    """Return the directories with drivers for a Windows, the best first: release, name, and paths by file name."""
    ranks = {release.directory: rank for rank, release in enumerate(releases_for(system))}
    releases = {release.directory: release for release in releases_for(system)}
    found: dict[str, tuple[Release, dict[str, str]]] = {}
    for path in sorted(source.files):
        sort = sort_of(path)
        if sort is None or sort[0] != system.arch or sort[1] not in ranks:
            continue
        directory, name = posixpath.split(path)
        found.setdefault(directory, (releases[sort[1]], {}))[1][name.lower()] = path
    # The directories of the drivers, which hold one driver each, come before those with all drivers of a Windows.
    ordered = sorted(found, key=lambda name: (ranks[found[name][0].directory], -name.count("/"), name))
    return [(found[name][0], name, found[name][1]) for name in ordered]


def _belonging(name: str, inf: Inf, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the files of a driver: all of its directory, or those that the INF names if there are more drivers."""
    alone = sum(other.endswith(".inf") for other in names) == 1
    own = {f"{name}.inf", *inf.files(), *(c for arch in ("i386", "x86_64", "aarch64") for c in inf.catalogues(arch))}
    own |= _BESIDE.get(name, set())
    for other, path in sorted(names.items()):
        if alone or other in own or posixpath.splitext(other)[0] == name:
            yield other, path


def _agent(reader: _Reader, system: WindowsSystem) -> tuple[str, bytes] | None:
    wanted = _AGENTS.get(system.arch, ())
    by_name = {posixpath.basename(path).lower(): path for path in sorted(reader.source.files, reverse=True)}
    return next(((name, reader.read(by_name[name])) for name in wanted if name in by_name), None)


class _Reader:
    """Reads files of virtio-win, each once, up to a limit for all together."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._known: dict[str, bytes] = {}
        self._total = 0

    def read(self, path: str) -> bytes:
        if path not in self._known:
            self._total += self.source.files[path]
            if self._total > _LARGEST:
                raise UnreadableError(f"its drivers for one Windows have more than {_LARGEST} bytes")
            self._known[path] = self.source.read(path)
        return self._known[path]
