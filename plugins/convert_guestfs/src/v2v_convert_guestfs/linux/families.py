# SPDX-License-Identifier: GPL-2.0-or-later
"""The families of distributions that are converted, by libguestfs's names of them, or else by their own."""

from __future__ import annotations

from enum import StrEnum

from v2v_core.api import Inspection


class Family(StrEnum):
    """What distributions have in common: their packages, boot loader, initramfs tools and places of files."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"
    ALT = "alt"


_FAMILIES = {
    Family.DEBIAN: ("debian", "ubuntu", "linuxmint", "kalilinux", "debian-based"),
    Family.REDHAT: (
        *("fedora", "rhel", "centos", "circle", "scientificlinux", "redhat-based", "oraclelinux", "rocky"),
        *("kylin", "neokylin", "anolis"),
    ),
    Family.SUSE: ("sles", "suse-based", "opensuse"),
    Family.ALT: ("altlinux",),
}
#: Relatives of Red Hat's that libguestfs may not know and that do not say whose relatives they are, by the ID in their
#: os-release. Their versions are counted from 1, or by the year.
REDHAT_RELATIVES = frozenset(
    {
        *("openeuler", "euleros", "hce", "uos", "kylinsec", "bclinux", "bigcloud", "culinux", "fusionos", "nfs"),
        *("alinux", "alios", "tencentos", "opencloudos", "velinux", "amzn", "virtuozzo", "cloudlinux", "asianux"),
        *("msvsphere", "redos", "rosa", "miraclelinux"),
    }
)
_BY_DISTRO = {distro: family for family, distros in _FAMILIES.items() for distro in distros} | dict.fromkeys(
    REDHAT_RELATIVES, Family.REDHAT
)
#: Those whose versions are Red Hat's, and Fedora, whose first ones are older.
_COUNTS_LIKE_RED_HAT = frozenset(
    {
        *("rhel", "centos", "circle", "scientificlinux", "oraclelinux", "rocky", "redhat-based"),
        *("fedora", "neokylin", "anolis"),
    }
)
DISTRIBUTIONS = frozenset(_BY_DISTRO)


def family_of(distro: str) -> Family | None:
    """Give the family of a distribution, or None if it is none that can be converted."""
    return _BY_DISTRO.get(distro)


def release_of(inspection: Inspection) -> int:
    """Give the major version, by which old releases of a family are told; 0 if it is not known, or counted otherwise.

    Amazon Linux 2 and openEuler 22 are both newer than RHEL 5.
    """
    counted = family_of(inspection.distro) is not Family.REDHAT or inspection.distro in _COUNTS_LIKE_RED_HAT
    return inspection.major_version if counted else 0
