# SPDX-License-Identifier: GPL-2.0-or-later
"""The families of distributions that are converted, by libguestfs's names of the distributions."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """What distributions have in common: their packages, boot loader, initramfs tools and places of files."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"
    ALT = "alt"


_FAMILIES = {
    Family.DEBIAN: ("debian", "ubuntu", "linuxmint", "kalilinux"),
    Family.REDHAT: (
        *("fedora", "rhel", "centos", "circle", "scientificlinux", "redhat-based", "oraclelinux", "rocky"),
        *("kylin", "neokylin", "anolis"),
    ),
    Family.SUSE: ("sles", "suse-based", "opensuse"),
    Family.ALT: ("altlinux",),
}
_BY_DISTRO = {distro: family for family, distros in _FAMILIES.items() for distro in distros}
DISTRIBUTIONS = frozenset(_BY_DISTRO)


def family_of(distro: str) -> Family | None:
    """Give the family of a distribution, or None if it is none that can be converted."""
    return _BY_DISTRO.get(distro)
