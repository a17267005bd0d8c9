# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognise distributions that libguestfs does not know or mistakes for others, by the guest's own files."""

from __future__ import annotations

from dataclasses import replace

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.families import REDHAT_RELATIVES, Family, family_of
from v2v_convert_guestfs.linux.packages.dpkg import STATUS_LIMIT
from v2v_convert_guestfs.linux.packages.rpm import DATABASES, PLACES
from v2v_convert_guestfs.session import Session

_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
#: Words of ID_LIKE, and libguestfs's name for distributions derived from these. The first match counts.
_LIKE = (
    (frozenset({"rhel", "centos", "fedora"}), "redhat-based"),
    (frozenset({"sles", "suse", "opensuse"}), "suse-based"),
    (frozenset({"ubuntu", "debian"}), "debian-based"),
    (frozenset({"altlinux"}), "altlinux"),
)
_PACKAGES = {Family.DEBIAN: ("deb", "apt")}


def recognise(session: Session, files: GuestFiles) -> None:
    """Correct the distribution that inspection reported, by the guest's os-release and its package database."""
    inspection = session.inspection
    distro = inspection.distro
    if family_of(distro) is None:
        distro = _distro_in_os_release(files) or distro
    if family_of(distro) is Family.REDHAT and _has_dpkg_only(files):
        # Kylin and UOS use one name for a server derived from Red Hat's and a desktop derived from Debian.
        distro = "debian-based"
    if distro == inspection.distro:
        return
    session.report.debug(f"libguestfs reported the distribution as {inspection.distro}; it is treated as {distro}")
    family = family_of(distro)
    package_format, management = _PACKAGES.get(family, ("rpm", None)) if family else (None, None)
    session.found = replace(
        inspection,
        distro=distro,
        package_format=package_format,
        package_management=inspection.package_management or management,
    )


def named(files: GuestFiles) -> str | None:
    """Return the ID in the guest's os-release, to be shown in a message."""
    data = _release(files)
    name = shell.value(data, "ID")
    return name[:40] if name and name.isprintable() else None


def _distro_in_os_release(files: GuestFiles) -> str | None:
    """Return libguestfs's name of the distribution, or of a related one, by ID and ID_LIKE."""
    data = _release(files)
    name = (shell.value(data, "ID") or "").lower()
    if name in REDHAT_RELATIVES or family_of(name):
        return name
    like = set((shell.value(data, "ID_LIKE") or "").lower().split())
    return next((distro for words, distro in _LIKE if words & like), None)


def _release(files: GuestFiles) -> bytes:
    return next((data for path in _RELEASES if (data := files.read(path))), b"")


def _has_dpkg_only(files: GuestFiles) -> bool:
    # The program alone says nothing: rpm can be installed on Debian, and dpkg on Fedora.
    databases = (f"{place}/{name}" for place in PLACES for name in DATABASES)
    return bool(files.read("/var/lib/dpkg/status", limit=STATUS_LIMIT)) and not any(map(files.resolve, databases))


def pretty_name(files: GuestFiles) -> str | None:
    """Return the PRETTY_NAME of the guest's os-release, for a message."""
    name = shell.value(files.read(_RELEASES[0]) or b"", "PRETTY_NAME")
    return name[:80] if name and name.isprintable() else None
