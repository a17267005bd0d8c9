# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributions that libguestfs does not know are told by what they say themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from v2v_convert_guestfs.linux import distribution
from v2v_convert_guestfs.linux.block_devices import prefix_of
from v2v_convert_guestfs.linux.families import Family, family_of, release_of
from v2v_core.api import Bus


@pytest.mark.parametrize(
    ("release", "distro", "family"),
    [
        (b'ID="openEuler"\nVERSION_ID="22.03"\n', "openeuler", Family.REDHAT),
        (b'ID="amzn"\nID_LIKE="centos rhel fedora"\nVERSION_ID="2"\n', "amzn", Family.REDHAT),
        (b'ID="alinux"\nID_LIKE="rhel fedora centos anolis"\n', "alinux", Family.REDHAT),
        (b'ID="anolis"\nID_LIKE="rhel fedora centos"\n', "anolis", Family.REDHAT),
        (b'ID=nobara\nID_LIKE="rhel centos fedora"\n', "redhat-based", Family.REDHAT),
        (b'ID=pop\nID_LIKE="ubuntu debian"\n', "debian-based", Family.DEBIAN),
        (b"ID=deepin\nID_LIKE=debian\n", "debian-based", Family.DEBIAN),
        (b'ID="sl-micro"\nID_LIKE="suse"\n', "suse-based", Family.SUSE),
        (b'ID="opensuse-microos"\nID_LIKE="suse opensuse opensuse-tumbleweed"\n', "suse-based", Family.SUSE),
        (b"ID=alpine\nVERSION_ID=3.20.3\n", "alpinelinux", Family.ALPINE),
        (b"ID=postmarketos\nID_LIKE=alpine\n", "alpinelinux", Family.ALPINE),
        (b"ID=arch\nBUILD_ID=rolling\n", "archlinux", Family.ARCH),
        (b"ID=manjaro\nID_LIKE=arch\n", "archlinux", Family.ARCH),
        (b"ID=photon\nVERSION_ID=5.0\n", "photon", Family.PHOTON),
        (b"ID=slackware\n", "slackware", Family.OTHER),
        (b"ID='../../etc'\n", "unknown", Family.OTHER),
        (b"ID='never ends\n", "unknown", Family.OTHER),
        (b"", "unknown", Family.OTHER),
    ],
)
def test_the_guest_says_what_it_is(phony: Callable[..., Any], release: bytes, distro: str, family: Family) -> None:
    guest = phony({"/usr/lib/os-release": release, "/usr/bin/rpm": b""}, distro="unknown")
    distribution.recognise(guest.session, guest.files)
    assert guest.session.inspection.distro == distro
    assert family_of(guest.session.inspection.distro) is family


def test_amazon_linux_counts_for_itself(phony: Callable[..., Any]) -> None:
    """cloudbase/coriolis#269: Amazon Linux is migrated, too; its version 2 is not older than RHEL 5."""
    release = b'NAME="Amazon Linux"\nID="amzn"\nID_LIKE="centos rhel fedora"\nVERSION_ID="2"\n'
    guest = phony({"/etc/os-release": release}, distro="unknown")
    distribution.recognise(guest.session, guest.files)
    found = replace(guest.session.inspection, major_version=2)
    assert (found.distro, family_of(found.distro), release_of(found)) == ("amzn", Family.REDHAT, 0)
    assert guest.report.warnings == []


@pytest.mark.parametrize(
    ("files", "distro"),
    [
        ({"/var/lib/dpkg/status": b"Package: dpkg\n"}, "debian-based"),
        ({"/var/lib/rpm/rpmdb.sqlite": b"x", "/usr/bin/dnf": b""}, "redhat-like"),
        ({"/usr/lib/sysimage/rpm/rpmdb.sqlite": b"x", "/usr/bin/zypper": b"", "/usr/bin/dnf": b""}, "suse-based"),
        # rpm without a frontend that is known, and two databases
        ({"/var/lib/rpm/rpmdb.sqlite": b"x"}, "acme"),
        ({"/var/lib/rpm/Packages": b"x", "/var/lib/dpkg/status": b"Package: dpkg\n"}, "acme"),
        ({}, "acme"),
    ],
)
def test_an_unknown_one_is_told_by_its_package_manager(
    phony: Callable[..., Any], files: dict[str, bytes], distro: str
) -> None:
    guest = phony({"/etc/os-release": b'ID=acme\nPRETTY_NAME="Acme OS 2"\n', **files}, distro="unknown")
    distribution.recognise(guest.session, guest.files)
    assert guest.session.inspection.distro == distro
    assert distribution.why_not(guest.session, guest.files) is None
    (warning,) = guest.report.warnings
    assert warning.startswith("Acme OS 2 is not a distribution that this converter was tested with: ")


def test_a_version_of_one_that_is_not_known_says_nothing(phony: Callable[..., Any]) -> None:
    files = {"/etc/os-release": b"ID=acme\n", "/var/lib/rpm/Packages": b"x", "/usr/bin/yum": b""}
    guest = phony(files, distro="unknown")
    distribution.recognise(guest.session, guest.files)
    assert release_of(replace(guest.session.inspection, major_version=4)) == 0


def test_a_system_that_is_made_from_a_description_is_refused_with_the_reason(phony: Callable[..., Any]) -> None:
    """MSF-OCB/NixOS#62: what an initramfs of NixOS contains is said in the description of the system."""
    release = b'ID=nixos\nPRETTY_NAME="NixOS 24.05 (Uakari)"\n'
    guest = phony({"/etc/os-release": release}, distro="unknown")
    distribution.recognise(guest.session, guest.files)
    why_not = distribution.why_not(guest.session, guest.files)
    assert why_not is not None
    assert why_not[0].startswith("NixOS 24.05 (Uakari) makes its boot menu and its initramfs from a description")
    assert "boot.initrd.availableKernelModules" in why_not[1]
    assert len(" ".join(why_not)) < 500


def test_what_libguestfs_knows_stays(phony: Callable[..., Any]) -> None:
    guest = phony({"/etc/os-release": b"ID=somebody\nID_LIKE=debian\n", "/usr/bin/rpm": b""}, distro="rhel")
    before = guest.session.inspection
    distribution.recognise(guest.session, guest.files)
    assert guest.session.inspection is before


@pytest.mark.parametrize(("distro", "release"), [("kylin", b"ID=kylin\n"), ("unknown", b"ID=uos\n")])
def test_one_name_for_two_families_is_told_by_the_packages(
    phony: Callable[..., Any], distro: str, release: bytes
) -> None:
    # Each may have the other one's program.
    files = {"/etc/os-release": release, "/var/lib/dpkg/status": b"Package: dpkg\n", "/usr/bin/rpm": b""}
    desktop = phony(files, distro=distro)
    distribution.recognise(desktop.session, desktop.files)
    found = desktop.session.inspection
    assert (found.distro, found.package_format, found.package_management) == ("debian-based", "deb", "apt")
    server = phony({**files, "/var/lib/rpm/Packages": b"x"}, distro=distro)
    distribution.recognise(server.session, server.files)
    assert family_of(server.session.inspection.distro) is Family.REDHAT


def test_only_those_that_count_like_red_hat_are_old_by_their_number(phony: Callable[..., Any]) -> None:
    found = replace(phony({}).session.inspection, major_version=2)
    assert release_of(replace(found, distro="amzn")) == 0
    assert release_of(replace(found, distro="rhel", major_version=4)) == 4
    assert prefix_of(Bus.IDE, replace(found, distro="amzn")) == "sd"
    # Devuan 2 and others count for themselves.
    assert prefix_of(Bus.IDE, replace(found, distro="debian-based")) == "sd"
    assert prefix_of(Bus.IDE, replace(found, distro="rhel", major_version=4)) == "hd"
    assert prefix_of(Bus.IDE, replace(found, distro="rhel", major_version=0)) == "sd"
