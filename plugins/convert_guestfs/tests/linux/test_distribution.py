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
        (b"ID=slackware\n", "unknown", None),
        (b"ID=arch-like\nID_LIKE=arch\n", "unknown", None),
        (b"ID='never ends\n", "unknown", None),
        (b"", "unknown", None),
    ],
)
def test_the_guest_says_what_it_is(
    phony: Callable[..., Any], release: bytes, distro: str, family: Family | None
) -> None:
    guest = phony({"/usr/lib/os-release": release, "/usr/bin/rpm": b""}, distro="unknown")
    distribution.recognise(guest.session, guest.files)
    assert guest.session.inspection.distro == distro
    assert family_of(guest.session.inspection.distro) is family


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
    assert prefix_of(Bus.IDE, replace(found, distro="rhel", major_version=4)) == "hd"
    assert prefix_of(Bus.IDE, replace(found, distro="rhel", major_version=0)) == "sd"
