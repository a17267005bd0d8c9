# SPDX-License-Identifier: GPL-2.0-or-later
"""Which command installs what is missing, on this distribution."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """Distributions that name their packages alike."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    OTHER = "other"


@dataclass(frozen=True)
class Package:
    """What brings a thing, by family."""

    debian: str
    fedora: str


def family() -> Family:
    """Tell the family of this distribution by /etc/os-release (os-release(5))."""
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
    """Give the command that installs a package here."""
    here = family()
    if here is Family.DEBIAN:
        return f"sudo apt-get install --no-install-recommends {package.debian}"
    if here is Family.FEDORA:
        return f"sudo dnf install {package.fedora}"
    return f"install {package.debian} (its name in Debian) or {package.fedora} (in Fedora)"
