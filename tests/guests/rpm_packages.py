# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages of rpm that own files which a guest has already: built and entered into its database by its own rpm."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from guests.bootstrap import in_root
from guests.disk_images import write_file
from guests.host import HostError

_WORK = "/v2v-rpmbuild"

# Nothing is stripped, compressed or searched for what it needs: the files are to stay as they are.
_MACROS = (
    "debug_package %{nil}",
    "__os_install_post %{nil}",
    "__arch_install_post %{nil}",
    "_build_id_links none",
    "_binary_payload w1.gzdio",
    "source_date_epoch_from_changelog 0",
)


@dataclasses.dataclass(frozen=True)
class Package:
    """One package.

    :param files: patterns below the root directory; of a directory everything in it, and the directory itself.
    :param ghosts: files that it owns without having them in its payload.
    :param configuration: files that an upgrade leaves as the administrator has them.
    """

    name: str
    version: str
    release: str
    summary: str
    files: tuple[str, ...] = ()
    ghosts: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    architecture: str = "x86_64"
    scripts: tuple[tuple[str, str], ...] = ()  # the name of a section, such as %preun, and its text


def enter_packages(root: Path, packages: Sequence[Package]) -> None:
    """Build the packages of files that are there and enter them into the guest's database."""
    work = root / _WORK.lstrip("/")
    try:
        for package in packages:
            write_file(root, f"{_WORK}/SPECS/{package.name}.spec", _spec(package, root, work))
            where = ["--define", f"_topdir {_WORK}"]
            in_root(root, ["rpmbuild", "-bb", "--quiet", *where, f"{_WORK}/SPECS/{package.name}.spec"])
            shutil.rmtree(work / "BUILDROOT", ignore_errors=True)
        built = sorted(str(path.relative_to(root)) for path in (work / "RPMS").rglob("*.rpm"))
        if len(built) != len(packages):
            raise HostError(f"{len(packages)} packages were to be built, and there are {built}")
        # All at once and with what they require checked; the files are there.
        in_root(root, ["rpm", "-i", "--justdb", "--noscripts", "--ignoresize", *(f"/{path}" for path in built)])
        if not (root / "var/lib/rpm/rpmdb.sqlite").exists():
            raise HostError("the guest's rpm has its database elsewhere")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _spec(package: Package, root: Path, work: Path) -> str:
    """Return the package's spec; links to its files are put where its build takes them from."""
    stage = work / "STAGE" / package.name
    listed: list[str] = []
    owned = [path for pattern in (*package.files, *package.configuration) for path in _found(root, pattern)]
    for path in owned:
        directory = path.is_dir() and not path.is_symlink()
        name = "/" + str(path.relative_to(root))
        mark = "%dir " if directory else "%config(noreplace) " if name in package.configuration else ""
        listed.append(f'{mark}"{name}"')
        target = stage / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if directory:
            target.mkdir(exist_ok=True)
            shutil.copystat(path, target)
        else:
            os.link(path, target, follow_symlinks=False)
    listed += [f'%ghost "{path}"' for path in package.ghosts]
    return "\n".join(
        [
            *(f"%global {macro}" for macro in _MACROS),
            f"Name: {package.name}",
            f"Version: {package.version}",
            f"Release: {package.release}",
            f"Summary: {package.summary}",
            "License: GPLv2",
            "AutoReqProv: no",
            *([f"BuildArch: {package.architecture}"] if package.architecture == "noarch" else []),
            *(f"Requires: {name}" for name in package.requires),
            *(f"Provides: {name}" for name in package.provides),
            "%description",
            package.summary,
            "%install",
            f"mkdir -p %{{buildroot}} {_WORK}/STAGE/{package.name}",
            f"cp -al {_WORK}/STAGE/{package.name}/. %{{buildroot}}/",
            # what is owned without being packaged has to be there all the same
            *(f'mkdir -p "%{{buildroot}}$(dirname {path})"; touch "%{{buildroot}}{path}"' for path in package.ghosts),
            *(line for section, text in package.scripts for line in (section, text)),
            "%files",
            *listed,
            "",
        ]
    )


def _found(root: Path, pattern: str) -> Iterator[Path]:
    """Yield what a pattern names, and everything below it."""
    paths = sorted(root.glob(pattern.lstrip("/")))
    if not paths:
        raise HostError(f"a package is to own {pattern}, which is not there")
    for path in paths:
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from sorted(path.rglob("*"))
