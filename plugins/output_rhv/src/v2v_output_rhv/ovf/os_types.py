# SPDX-License-Identifier: GPL-2.0-or-later
"""oVirt's names and numbers of operating systems, from ``osinfo-defaults.properties`` in ovirt-engine.

oVirt knows few systems. A release that is too new for it is given the newest entry that it knows. From an export
domain, oVirt reads the name, and treats an unknown name as "Other OS". Through the API, it reads the number, and
refuses a guest with an unknown number. Therefore only numbers are used that older engines have too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from v2v_core.api import Inspection

#: oVirt's class of an architecture, by the name that libguestfs and others use.
_ARCHITECTURES = {
    **dict.fromkeys(("i386", "i486", "i586", "i686"), "i386"),
    **dict.fromkeys(("x86_64", "amd64"), "x86_64"),
    **dict.fromkeys(("ppc64", "ppc64le"), "ppc64"),
}


@dataclass(frozen=True)
class OsType:
    """An operating system of oVirt: the name in ``<Description>`` and the number in ``ovirt:id``."""

    name: str
    number: int


_UNASSIGNED = OsType("Unassigned", 0)
_OTHER_LINUX = OsType("OtherLinux", 5)
#: The entries for other Linux systems, on architectures other than x86.
_OTHER_LINUX_ON = {"ppc64": OsType("other_linux_ppc64", 1002), "s390x": OsType("other_linux_s390x", 2002)}

#: RHEL and CentOS up to 7, by release and architecture.
_RHEL = {
    (4, "i386"): OsType("RHEL4", 8),
    (4, "x86_64"): OsType("RHEL4x64", 14),
    (5, "i386"): OsType("RHEL5", 7),
    (5, "x86_64"): OsType("RHEL5x64", 13),
    (6, "i386"): OsType("RHEL6", 18),
    (6, "x86_64"): OsType("RHEL6x64", 19),
    (6, "ppc64"): OsType("rhel_6_ppc64", 1003),
    (7, "x86_64"): OsType("rhel_7x64", 24),
    (7, "ppc64"): OsType("rhel_7_ppc64", 1006),
    (7, "s390x"): OsType("rhel_7_s390x", 2003),
}
_RHEL_6_9_PPC64 = OsType("rhel_6_9_plus_ppc64", 1007)

#: By architecture: the first release that oVirt knows, and the entry for it and all later ones.
_SLES = {
    "x86_64": (11, OsType("sles_11", 1193)),
    "ppc64": (11, OsType("sles_11_ppc64", 1004)),
    "s390x": (12, OsType("sles_12_s390x", 2004)),
}
_UBUNTU_ON = {
    "ppc64": (14, OsType("ubuntu_14_04_ppc64", 1005)),
    "s390x": (16, OsType("ubuntu_16_04_s390x", 2005)),
}
_UBUNTU = {
    (12, 4): OsType("ubuntu_12_04", 1252),
    (12, 10): OsType("ubuntu_12_10", 1253),
    (13, 4): OsType("ubuntu_13_04", 1254),
    (13, 10): OsType("ubuntu_13_10", 1255),
}
_UBUNTU_14_04 = OsType("ubuntu_14_04", 1256)
_DEBIAN_7 = OsType("debian_7", 1300)

#: Windows up to NT 6.3: the entries for the client and the server, by version and architecture.
_WINDOWS = {
    (5, 2, "i386"): (OsType("Windows2003", 3),) * 2,
    (5, 2, "x86_64"): (OsType("Windows2003x64", 10),) * 2,
    (6, 0, "i386"): (OsType("Windows2008", 4),) * 2,
    (6, 0, "x86_64"): (OsType("Windows2008x64", 16),) * 2,
    (6, 1, "i386"): (OsType("Windows7", 11),) * 2,
    (6, 1, "x86_64"): (OsType("Windows7x64", 12), OsType("Windows2008R2x64", 17)),
    (6, 2, "i386"): (OsType("windows_8", 20),) * 2,
    (6, 2, "x86_64"): (OsType("windows_8x64", 21), OsType("windows_2012x64", 23)),
    (6, 3, "i386"): (OsType("windows_8", 20),) * 2,
    # oVirt has no Windows 8.1
    (6, 3, "x86_64"): (OsType("windows_8x64", 21), OsType("windows_2012R2x64", 25)),
}
_WINDOWS_XP = OsType("WindowsXP", 1)
_WINDOWS_10 = OsType("windows_10", 26)
#: All releases of NT 10.0 have the same version number. libosinfo's short identifier tells them apart.
_WINDOWS_NT_10 = {
    "win10": OsType("windows_10x64", 27),
    "win11": OsType("windows_11", 36),
    "win2k16": OsType("windows_2016x64", 29),
    "win2k19": OsType("windows_2019x64", 31),
    "win2k22": OsType("windows_2022", 37),
}
#: Engines from before July 2025 have no number for it, so it gets the number of Windows Server 2022.
_WINDOWS_2025 = OsType("windows_2025", 37)


def os_type(inspection: Inspection, warn: Callable[[str], None]) -> OsType:
    """Return oVirt's name and number of an operating system.

    :param warn: called with a text if oVirt has no entry for it.
    """
    arch = _ARCHITECTURES.get(inspection.arch, inspection.arch)
    if inspection.os_type == "linux":
        return _linux(inspection, arch)
    windows = _windows(inspection, arch, warn) if inspection.os_type == "windows" else None
    if windows is None:
        warn(f"oVirt does not know the operating system {_described(inspection)}: it is imported as unassigned")
    return windows or _UNASSIGNED


def is_server(inspection: Inspection) -> bool:
    """Check whether oVirt should treat the guest as a server. Otherwise it treats the guest as a desktop."""
    product = inspection.product_name or ""
    rhel = inspection.os_type == "linux" and inspection.distro in {"rhel", "centos"}
    if rhel and inspection.major_version == 4:
        # Enterprise Linux ES and AS; WS and Desktop are the others
        return "ES" in product or "AS" in product
    if inspection.product_variant in {"Server", "Server Core", "Embedded"}:
        return True
    if inspection.product_variant == "Client":
        return False
    return "Server" in product or "Desktop" not in product


def _linux(inspection: Inspection, arch: str) -> OsType:
    major, minor = inspection.major_version, inspection.minor_version
    other = _OTHER_LINUX_ON.get(arch, _OTHER_LINUX)
    match inspection.distro:
        case "rhel" | "centos":
            return _rhel(major, minor, arch, other)
        case "sles":
            first, entry = _SLES.get(arch, (0, other))
            return entry if major >= first else other
        case "debian":
            return _DEBIAN_7 if major >= 7 else other
        case "ubuntu":
            first, entry = _UBUNTU_ON.get(arch, (14, _UBUNTU_14_04))
            return entry if major >= first else _UBUNTU.get((major, minor), other)
    return other


def _rhel(major: int, minor: int, arch: str, other: OsType) -> OsType:
    if (major, arch) == (6, "ppc64") and minor >= 9:
        return _RHEL_6_9_PPC64
    if major > 7 and arch == "x86_64":
        # newer engines have numbers for 8, 9 and 10, which older ones would refuse
        return OsType(f"rhel_{major}x64", _OTHER_LINUX.number)
    return _RHEL.get((major, arch), other)


def _windows(inspection: Inspection, arch: str, warn: Callable[[str], None]) -> OsType | None:
    version = (inspection.major_version, inspection.minor_version)
    if version == (5, 1) or (version == (5, 2) and "XP" in (inspection.product_name or "")):
        # one entry for both architectures
        return _WINDOWS_XP
    if version == (10, 0):
        return _windows_nt_10(inspection, warn) if arch == "x86_64" else _WINDOWS_10 if arch == "i386" else None
    client, server = _WINDOWS.get((*version, arch), (None, None))
    return client if inspection.product_variant == "Client" else server


def _windows_nt_10(inspection: Inspection, warn: Callable[[str], None]) -> OsType:
    """Return the entry for libosinfo's identifier. If that is unknown, warn and return the newest entry."""
    known = _WINDOWS_NT_10.get(inspection.osinfo or "")
    if known is None:
        warn(
            f"oVirt may not know {_described(inspection)}: it is imported as {_WINDOWS_2025.name}, its number that of"
            " Windows Server 2022"
        )
    return known or _WINDOWS_2025


def _described(inspection: Inspection) -> str:
    version = f"{inspection.major_version}.{inspection.minor_version}"
    words = [inspection.osinfo or "", inspection.product_name or inspection.distro, version, inspection.arch]
    return " ".join(word for word in words if word)
