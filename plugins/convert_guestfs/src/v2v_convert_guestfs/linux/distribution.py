# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributions that libguestfs does not know, or takes for another: they say themselves what they are."""

from __future__ import annotations

from dataclasses import replace

from v2v_convert_guestfs.editors import shell
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import REDHAT_RELATIVES, Family, family_of
from v2v_convert_guestfs.linux.packages.dpkg import STATUS_LIMIT
from v2v_convert_guestfs.linux.packages.rpm import DATABASES, PLACES
from v2v_convert_guestfs.session import Session

_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
#: What others are like (ID_LIKE), in the order in which it counts: libguestfs's name for a relative of each.
_LIKE = (
    (frozenset({"rhel", "centos", "fedora"}), "redhat-based"),
    (frozenset({"sles", "suse", "opensuse"}), "suse-based"),
    (frozenset({"ubuntu", "debian"}), "debian-based"),
    (frozenset({"altlinux"}), "altlinux"),
)
_PACKAGES = {Family.DEBIAN: ("deb", "apt")}


def recognise(session: Session, files: GuestFiles) -> None:
    """Put right what inspection says of the distribution, by what the guest and its packages say."""
    found = session.inspection
    distro = found.distro
    if family_of(distro) is None:
        distro = _own_word(files) or distro
    if family_of(distro) is Family.REDHAT and _has_dpkg_only(files):
        # Some have one name for a server that is like Red Hat's and a desktop that is like Debian's: Kylin, UOS.
        distro = "debian-based"
    if distro == found.distro:
        return
    session.report.debug(f"the distribution, {found.distro} for libguestfs, is {distro}")
    family = family_of(distro)
    package_format, management = _PACKAGES.get(family, ("rpm", None)) if family else (None, None)
    session.found = replace(
        found, distro=distro, package_format=package_format, package_management=found.package_management or management
    )


def named(files: GuestFiles) -> str | None:
    """Give the ID in the guest's os-release, for a message."""
    data = _release(files)
    name = shell.value(data, "ID")
    return name[:40] if name and name.isprintable() else None


def _own_word(files: GuestFiles) -> str | None:
    data = _release(files)
    name = (shell.value(data, "ID") or "").lower()
    if name in REDHAT_RELATIVES or family_of(name):
        return name
    like = set((shell.value(data, "ID_LIKE") or "").lower().split())
    return next((distro for words, distro in _LIKE if words & like), None)


def _release(files: GuestFiles) -> bytes:
    return next((data for path in _RELEASES if (data := files.read(path))), b"")


def _has_dpkg_only(files: GuestFiles) -> bool:
    # Either program may be there beside the other one's packages.
    databases = (f"{place}/{name}" for place in PLACES for name in DATABASES)
    return bool(files.read("/var/lib/dpkg/status", limit=STATUS_LIMIT)) and not any(map(files.resolve, databases))
