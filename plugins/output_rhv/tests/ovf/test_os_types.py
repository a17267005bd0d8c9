# SPDX-License-Identifier: GPL-2.0-or-later
"""oVirt's names and numbers of operating systems, from its ``osinfo-defaults.properties``."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_core.api import Inspection
from v2v_output_rhv.ovf.os_types import is_server, os_type


def inspection(os_type: str, distro: str, version: str, arch: str = "x86_64", **more: Any) -> Inspection:
    major, minor = (int(part) for part in version.split("."))
    return Inspection(
        root="/dev/sda1", os_type=os_type, distro=distro, arch=arch, major_version=major, minor_version=minor, **more
    )


@pytest.mark.parametrize(
    ("distro", "version", "arch", "name", "number"),
    [
        ("rhel", "4.8", "i386", "RHEL4", 8),
        ("rhel", "4.8", "x86_64", "RHEL4x64", 14),
        ("centos", "5.11", "i386", "RHEL5", 7),
        ("centos", "5.11", "x86_64", "RHEL5x64", 13),
        ("rhel", "6.9", "i686", "RHEL6", 18),
        ("rhel", "6.9", "x86_64", "RHEL6x64", 19),
        ("rhel", "6.8", "ppc64", "rhel_6_ppc64", 1003),
        ("rhel", "6.9", "ppc64", "rhel_6_9_plus_ppc64", 1007),
        ("rhel", "7.9", "x86_64", "rhel_7x64", 24),
        ("rhel", "7.9", "ppc64le", "rhel_7_ppc64", 1006),
        ("rhel", "7.9", "s390x", "rhel_7_s390x", 2003),
        ("rhel", "8.10", "x86_64", "rhel_8x64", 5),
        ("centos", "10.0", "x86_64", "rhel_10x64", 5),
        ("rhel", "8.10", "ppc64le", "other_linux_ppc64", 1002),
        ("rhel", "7.9", "aarch64", "OtherLinux", 5),
        ("rhel", "3.9", "i386", "OtherLinux", 5),
        ("sles", "10.4", "x86_64", "OtherLinux", 5),
        ("sles", "11.4", "x86_64", "sles_11", 1193),
        ("sles", "15.6", "x86_64", "sles_11", 1193),
        ("sles", "12.5", "ppc64le", "sles_11_ppc64", 1004),
        ("sles", "11.4", "s390x", "other_linux_s390x", 2002),
        ("sles", "12.5", "s390x", "sles_12_s390x", 2004),
        ("debian", "6.0", "x86_64", "OtherLinux", 5),
        ("debian", "7.0", "i386", "debian_7", 1300),
        ("debian", "12.1", "x86_64", "debian_7", 1300),
        ("ubuntu", "10.4", "x86_64", "OtherLinux", 5),
        ("ubuntu", "12.4", "x86_64", "ubuntu_12_04", 1252),
        ("ubuntu", "12.10", "i386", "ubuntu_12_10", 1253),
        ("ubuntu", "13.4", "x86_64", "ubuntu_13_04", 1254),
        ("ubuntu", "13.10", "x86_64", "ubuntu_13_10", 1255),
        ("ubuntu", "14.4", "x86_64", "ubuntu_14_04", 1256),
        ("ubuntu", "24.4", "x86_64", "ubuntu_14_04", 1256),
        ("ubuntu", "16.4", "ppc64le", "ubuntu_14_04_ppc64", 1005),
        ("ubuntu", "14.4", "s390x", "other_linux_s390x", 2002),
        ("ubuntu", "16.4", "s390x", "ubuntu_16_04_s390x", 2005),
        ("fedora", "40.0", "x86_64", "OtherLinux", 5),
        ("fedora", "40.0", "ppc64le", "other_linux_ppc64", 1002),
        ("fedora", "40.0", "s390x", "other_linux_s390x", 2002),
    ],
)
def test_linux(distro: str, version: str, arch: str, name: str, number: int) -> None:
    warnings: list[str] = []
    found = os_type(inspection("linux", distro, version, arch), warnings.append)
    assert (found.name, found.number, warnings) == (name, number, [])


@pytest.mark.parametrize(
    ("version", "arch", "variant", "product", "name", "number"),
    [
        ("5.1", "i386", "Client", "Microsoft Windows XP", "WindowsXP", 1),
        ("5.2", "x86_64", "Client", "Microsoft Windows XP x64", "WindowsXP", 1),
        ("5.2", "i386", "Server", "Windows Server 2003", "Windows2003", 3),
        ("5.2", "x86_64", "Server", "Windows Server 2003", "Windows2003x64", 10),
        ("6.0", "i386", "Server", "Windows Server 2008", "Windows2008", 4),
        ("6.0", "x86_64", "Client", "Windows Vista", "Windows2008x64", 16),
        ("6.1", "i386", "Client", "Windows 7", "Windows7", 11),
        ("6.1", "x86_64", "Client", "Windows 7", "Windows7x64", 12),
        ("6.1", "x86_64", "Server", "Windows Server 2008 R2", "Windows2008R2x64", 17),
        ("6.2", "i386", "Client", "Windows 8", "windows_8", 20),
        ("6.2", "x86_64", "Client", "Windows 8", "windows_8x64", 21),
        ("6.2", "x86_64", "Server", "Windows Server 2012", "windows_2012x64", 23),
        ("6.3", "i386", "Client", "Windows 8.1", "windows_8", 20),
        ("6.3", "x86_64", "Client", "Windows 8.1", "windows_8x64", 21),
        ("6.3", "x86_64", "Server", "Windows Server 2012 R2", "windows_2012R2x64", 25),
        ("10.0", "i386", "Client", "Windows 10", "windows_10", 26),
    ],
)
def test_windows(version: str, arch: str, variant: str, product: str, name: str, number: int) -> None:
    warnings: list[str] = []
    guest = inspection("windows", "windows", version, arch, product_variant=variant, product_name=product)
    found = os_type(guest, warnings.append)
    assert (found.name, found.number, warnings) == (name, number, [])


@pytest.mark.parametrize(
    ("osinfo", "name", "number", "known"),
    [
        ("win10", "windows_10x64", 27, True),
        ("win11", "windows_11", 36, True),
        ("win2k16", "windows_2016x64", 29, True),
        ("win2k19", "windows_2019x64", 31, True),
        ("win2k22", "windows_2022", 37, True),
        ("win2k25", "windows_2025", 37, False),
        ("win2k28", "windows_2025", 37, False),
        (None, "windows_2025", 37, False),
    ],
)
def test_windows_nt_10_is_decided_by_libosinfos_identifier(
    osinfo: str | None, name: str, number: int, known: bool
) -> None:
    warnings: list[str] = []
    # the registry of Windows 11 says "Windows 10"
    guest = inspection("windows", "windows", "10.0", osinfo=osinfo, product_name="Windows 10 Pro")
    found = os_type(guest, warnings.append)
    assert (found.name, found.number) == (name, number)
    assert len(warnings) == (0 if known else 1)
    if not known:
        assert "Windows 10 Pro" in warnings[0]


@pytest.mark.parametrize(
    "guest",
    [
        inspection("freebsd", "freebsd", "14.0"),
        inspection("windows", "windows", "10.0", "aarch64"),
        inspection("windows", "windows", "4.0", "i386"),
    ],
)
def test_what_ovirt_has_no_entry_for(guest: Inspection) -> None:
    warnings: list[str] = []
    found = os_type(guest, warnings.append)
    assert (found.name, found.number) == ("Unassigned", 0)
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("guest", "server"),
    [
        (inspection("linux", "rhel", "4.8", product_name="Red Hat Enterprise Linux ES release 4"), True),
        (inspection("linux", "rhel", "4.8", product_name="Red Hat Enterprise Linux AS release 4"), True),
        (inspection("linux", "rhel", "4.8", product_name="Red Hat Enterprise Linux WS release 4"), False),
        (inspection("linux", "debian", "12.0", product_name="Debian GNU/Linux 12"), True),
        (inspection("linux", "rhel", "5.0", product_name="Red Hat Enterprise Linux Desktop"), False),
        (inspection("linux", "rhel", "5.0", product_name="Server with a Desktop"), True),
        (inspection("windows", "windows", "6.1", product_variant="Client", product_name="Windows Server"), False),
        (inspection("windows", "windows", "6.1", product_variant="Server Core"), True),
        (inspection("windows", "windows", "6.1", product_variant="Embedded", product_name="Desktop"), True),
        (inspection("linux", "fedora", "40.0"), True),
    ],
)
def test_servers_and_desktops(guest: Inspection, server: bool) -> None:
    assert is_server(guest) is server
