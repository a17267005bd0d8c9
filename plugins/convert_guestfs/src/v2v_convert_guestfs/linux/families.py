# SPDX-License-Identifier: GPL-2.0-or-later
"""The families of distributions that can be converted.

Distributions have the names that libguestfs gives them, or else the ID in their os-release.
"""

from __future__ import annotations

from enum import StrEnum

from v2v_core.api import Inspection


class Family(StrEnum):
    """Distributions that share a package format, boot loader tools, initramfs tools and locations of files.

    Nothing is known about those of the family OTHER: their files show which programs they use.
    """

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"
    ALT = "alt"
    ALPINE = "alpine"
    ARCH = "arch"
    PHOTON = "photon"
    OTHER = "other"


#: Families that say nothing about the tools of a guest that has other ones.
SMALL = frozenset({Family.ALPINE, Family.ARCH, Family.PHOTON, Family.OTHER})
_FAMILIES = {
    Family.DEBIAN: ("debian", "ubuntu", "linuxmint", "kalilinux", "debian-based"),
    Family.REDHAT: (
        *("fedora", "rhel", "centos", "circle", "scientificlinux", "redhat-based", "oraclelinux", "rocky"),
        *("kylin", "neokylin", "anolis"),
    ),
    Family.SUSE: ("sles", "suse-based", "opensuse"),
    Family.ALT: ("altlinux",),
    Family.ALPINE: ("alpinelinux",),
    Family.ARCH: ("archlinux",),
    Family.PHOTON: ("photon",),
}
#: The os-release IDs of distributions derived from Red Hat's that libguestfs may not know and that set no ID_LIKE.
#: Their version numbers start at 1 or are years, so they cannot be compared with those of RHEL.
REDHAT_RELATIVES = frozenset(
    {
        *("openeuler", "euleros", "hce", "uos", "kylinsec", "bclinux", "bigcloud", "culinux", "fusionos", "nfs"),
        *("alinux", "alios", "tencentos", "opencloudos", "velinux", "amzn", "virtuozzo", "cloudlinux", "asianux"),
        *("msvsphere", "redos", "rosa", "miraclelinux"),
        # One without any known name, that uses Red Hat's tools.
        "redhat-like",
    }
)
_BY_DISTRO = {distro: family for family, distros in _FAMILIES.items() for distro in distros} | dict.fromkeys(
    REDHAT_RELATIVES, Family.REDHAT
)
#: Distributions with the version numbers of RHEL; also Fedora, where low numbers mean old releases, too.
_COUNTS_LIKE_RED_HAT = frozenset(
    {
        *("rhel", "centos", "circle", "scientificlinux", "oraclelinux", "rocky", "redhat-based"),
        *("fedora", "neokylin", "anolis"),
    }
)


def family_of(distro: str) -> Family:
    """Return the family of a distribution: OTHER if it is not known."""
    return _BY_DISTRO.get(distro, Family.OTHER)


def release_of(inspection: Inspection) -> int:
    """Return the major version, for recognising old releases of a family.

    Return 0 if it is unknown, or if the distribution does not number its versions like its family: Amazon Linux 2 and
    openEuler 22 are both newer than RHEL 5.
    """
    counted = family_of(inspection.distro) is not Family.REDHAT or inspection.distro in _COUNTS_LIKE_RED_HAT
    counted = counted and inspection.distro != "debian-based"
    return inspection.major_version if counted else 0
