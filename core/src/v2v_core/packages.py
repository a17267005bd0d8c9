# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that installs a missing package on this distribution."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """Distributions that share the names of packages."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    OTHER = "other"


@dataclass(frozen=True)
class Package:
    """The names of a package in each family of distributions."""

    debian: str
    fedora: str


def family() -> Family:
    """Return the family of this distribution, from /etc/os-release (os-release(5))."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return Family.OTHER
    words = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if words & {"debian", "ubuntu"}:
        return Family.DEBIAN
    if words & {"fedora", "rhel", "centos"}:
        return Family.FEDORA
    return Family.OTHER


def install(package: Package) -> str:
    """Return the command that installs a package on this distribution."""
    here = family()
    if here is Family.DEBIAN:
        return f"sudo apt-get install --no-install-recommends {package.debian}"
    if here is Family.FEDORA:
        return f"sudo dnf install {package.fedora}"
    return f"install {package.debian} (its name in Debian) or {package.fedora} (in Fedora)"
