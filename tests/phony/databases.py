# SPDX-License-Identifier: GPL-2.0-or-later
"""The databases of packages: rpm's, made by the host's own rpm, dpkg's, apk's and pacman's.

Red Hat's releases up to 7 had Berkeley databases, which no rpm of today can write: theirs are in the format of today.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path

from guests.host import run
from phony import commands
from phony.recipe import Package, Phony

_SPEC = """\
Name: phony
Version: 1
Release: 1
Summary: Phony packages
License: GPL-2.0-or-later
%define __os_install_post %{nil}
%define debug_package %{nil}
%define _build_id_links none
%description
Phony packages.
"""

_SUBPACKAGE = """\
%package -n {name}
Version: {version}
Release: {release}
{epoch}Summary: Phony
AutoReqProv: no
%description -n {name}
Phony.
%files -n {name}
{files}
"""


def plant(recipe: Phony, root: Path) -> None:
    """Write the database of the guest's packages, and the list that its own commands speak from."""
    plain = {"dpkg": _plant_dpkg, "apk": _plant_apk, "pacman": _plant_pacman}
    if recipe.package_format != "rpm":
        if recipe.package_format in plain:
            plain[recipe.package_format](recipe, root)
        return
    lines = [
        f"{package.name} {package.epoch or '(none)'} {package.version} {package.release} {recipe.machine}"
        for package in recipe.all_packages
    ]
    _write(root, commands.RPM_LIST, "".join(f"{line}\n" for line in lines))
    for package in recipe.all_packages:
        path = f"{commands.RPM_FILES}/{package.name}-{package.version}-{package.release}"
        _write(root, path, "".join(f"{file}\n" for file in files_of(recipe, package)))
    with tempfile.TemporaryDirectory(prefix="v2v-phony-rpm.") as name:
        _fill_rpm(recipe, root / "var/lib/rpm", Path(name))


def files_of(recipe: Phony, package: Package) -> list[str]:
    """List the files of a package: a kernel's are its image, its configuration and its modules."""
    found = list(package.files)
    for kernel in recipe.kernels:
        if kernel.package == package:
            directory = f"/lib/modules/{kernel.version}"
            found += [kernel.image, f"/boot/config-{kernel.version}", f"/boot/{kernel.initramfs}", directory]
            found += [f"{directory}/kernel/{path}" for path in kernel.modules]
    return found


def _fill_rpm(recipe: Phony, database: Path, work: Path) -> None:
    """Have rpmbuild make all packages from one description, and rpm write them into the database alone."""
    rest, number = list(recipe.all_packages), 0
    while rest:
        # Several versions of one package (kernels) cannot come from one description.
        now = list({package.name: package for package in rest}.values())
        rest = [package for package in rest if package not in now]
        spec = work / f"{number}.spec"
        spec.write_text(_SPEC + "".join(_described(recipe, package) for package in now))
        run(["rpmbuild", "-bb", "--quiet", "--target", recipe.machine, "--define", f"_topdir {work}/{number}", spec])
        number += 1
    database.mkdir(parents=True, exist_ok=True)
    packages = sorted(work.glob("*/RPMS/*/*.rpm"))
    flags = ["--justdb", "--nodeps", "--noscripts", "--notriggers", "--ignorearch", "--ignoreos", "--nosignature"]
    run(["rpm", "--dbpath", database, "-i", *flags, "--force", *packages])
    with contextlib.closing(sqlite3.connect(database / "rpmdb.sqlite")) as connection:
        # One file, as after a clean end; the journal would need to be written to by who only reads.
        connection.execute("PRAGMA journal_mode=DELETE")


def _described(recipe: Phony, package: Package) -> str:
    return _SUBPACKAGE.format(
        name=package.name,
        version=package.version,
        release=package.release,
        epoch=f"Epoch: {package.epoch}\n" if package.epoch else "",
        files="".join(f"%ghost {file}\n" for file in files_of(recipe, package)),
    )


def _plant_dpkg(recipe: Phony, root: Path) -> None:
    machine = {"x86_64": "amd64", "i686": "i386"}[recipe.machine]
    stanzas = []
    for package in recipe.all_packages:
        epoch = f"{package.epoch}:" if package.epoch else ""
        stanzas.append(
            f"Package: {package.name}\nStatus: install ok installed\nPriority: optional\nSection: admin\n"
            f"Maintainer: Nobody <nobody@example.com>\nArchitecture: {machine}\n"
            f"Version: {epoch}{package.version}-{package.release}\nDescription: phony\n"
        )
        listed = "".join(f"{path}\n" for path in ("/.", *files_of(recipe, package)))
        _write(root, f"/var/lib/dpkg/info/{package.name}.list", listed)
    _write(root, "/var/lib/dpkg/status", "\n".join(stanzas))


def _plant_apk(recipe: Phony, root: Path) -> None:
    stanzas = []
    for package in recipe.all_packages:
        lines = [f"P:{package.name}", f"V:{package.version}-r{package.release}", f"A:{recipe.machine}"]
        for path in files_of(recipe, package):
            directory, _, name = path.lstrip("/").rpartition("/")
            lines += [f"F:{directory}", f"R:{name}"]
        stanzas.append("\n".join(lines) + "\n")
    _write(root, "/lib/apk/db/installed", "\n".join(stanzas))


def _plant_pacman(recipe: Phony, root: Path) -> None:
    place = "/var/lib/pacman/local"
    _write(root, f"{place}/ALPM_DB_VERSION", "9\n")
    for package in recipe.all_packages:
        directory = f"{place}/{package.name}-{package.version}-{package.release}"
        _write(root, f"{directory}/desc", f"%NAME%\n{package.name}\n\n%VERSION%\n{package.version}\n\n")
        _write(root, f"{directory}/files", "%FILES%\n" + "".join(f"{path[1:]}\n" for path in files_of(recipe, package)))


def _write(root: Path, path: str, text: str) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
