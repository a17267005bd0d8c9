# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognise distributions that libguestfs does not know or mistakes for others, by the guest's own files."""

from __future__ import annotations

import re
from dataclasses import replace

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.families import Family, family_of
from v2v_convert_guestfs.linux.packages import has_dpkg, has_rpm
from v2v_convert_guestfs.session import Session

_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
#: Words of ID_LIKE, and libguestfs's name for distributions derived from these. The first match counts.
_LIKE = (
    (frozenset({"rhel", "centos", "fedora"}), "redhat-based"),
    (frozenset({"sles", "suse", "opensuse"}), "suse-based"),
    (frozenset({"ubuntu", "debian"}), "debian-based"),
    (frozenset({"altlinux"}), "altlinux"),
    (frozenset({"alpine"}), "alpinelinux"),
    (frozenset({"arch", "archlinux"}), "archlinux"),
)
#: IDs of distributions that libguestfs calls otherwise.
_IDS = {"alpine": "alpinelinux", "arch": "archlinux"}
#: The package format and the package manager of each family, as libguestfs calls them.
_PACKAGES = {
    Family.DEBIAN: ("deb", "apt"),
    Family.ALPINE: ("apk", "apk"),
    Family.ARCH: ("pacman", "pacman"),
    Family.PHOTON: ("rpm", "tdnf"),
    Family.OTHER: (None, None),
}
#: Programs of package managers that use rpm, and libguestfs's name for distributions derived from those that have them.
_RPM_FRONTENDS = {"zypper": "suse-based", "dnf": "redhat-like", "dnf5": "redhat-like", "yum": "redhat-like"}
#: Distributions whose kernel and programs are an image that is not changed, by their IDs.
IMAGE_BASED = frozenset({"flatcar", "coreos"})
#: Distributions that make boot menu and initramfs from a description of the system, by their IDs.
_GENERATED = {
    "nixos": "add virtio_pci, virtio_blk and virtio_scsi to boot.initrd.availableKernelModules in its "
    "configuration.nix, name file systems by UUID there, run nixos-rebuild boot, and copy its disks as they are",
    "guix": "add virtio_pci, virtio_blk and virtio_scsi to initrd-modules of its operating-system, run guix system "
    "reconfigure, and copy its disks as they are",
}


def recognise(session: Session, files: GuestFiles) -> None:
    """Correct the distribution that inspection reported, by the guest's os-release and its package database.

    A distribution that is not known, nor derived from a known one, is treated like those with the same package manager,
    or else by the programs that are found. The user is warned of that.
    """
    inspection = session.inspection
    distro = inspection.distro
    if family_of(distro) is Family.OTHER:
        distro = _distro_in_os_release(files) or distro
    if family_of(distro) is Family.OTHER and distro not in {*_GENERATED, *IMAGE_BASED}:
        distro = _warned_of(session, files, distro)
    if family_of(distro) is Family.REDHAT and _has_dpkg_only(files):
        # Kylin and UOS use one name for a server derived from Red Hat's and a desktop derived from Debian.
        distro = "debian-based"
    if distro == inspection.distro:
        return
    session.report.debug(f"libguestfs reported the distribution as {inspection.distro}; it is treated as {distro}")
    package_format, management = _PACKAGES.get(family_of(distro), ("rpm", None))
    session.found = replace(
        inspection,
        distro=distro,
        package_format=package_format or inspection.package_format,
        package_management=inspection.package_management or management,
    )


def why_not(session: Session, files: GuestFiles) -> tuple[str, str] | None:
    """Return the reason why guests of this distribution are not converted, and what to do; None if they are."""
    remedy = _GENERATED.get(session.inspection.distro)
    if remedy is None:
        return None
    name = pretty_name(files) or session.inspection.distro
    return (
        f"{name} makes its boot menu and its initramfs from a description of the system, and would overwrite changes "
        "to them",
        f"in the guest on its source hypervisor, {remedy}",
    )


def _distro_in_os_release(files: GuestFiles) -> str | None:
    """Return libguestfs's name of the distribution, or of a related one, by ID and ID_LIKE."""
    data = _release(files)
    name = (shell.value(data, "ID") or "").lower()
    name = _IDS.get(name, name)
    if family_of(name) is not Family.OTHER:
        return name
    like = set((shell.value(data, "ID_LIKE") or "").lower().split())
    related = next((distro for words, distro in _LIKE if words & like), None)
    return related or (name if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", name, re.ASCII) else None)


def _warned_of(session: Session, files: GuestFiles, distro: str) -> str:
    """Return the name for a distribution that is not known, by the guest's package manager, and warn."""
    found = distro
    if has_rpm(files):
        found = next((name for tool, name in _RPM_FRONTENDS.items() if files.resolve(f"/usr/bin/{tool}")), distro)
    elif has_dpkg(files):
        found = "debian-based"
    like = {"suse-based": "SUSE Linux", "redhat-like": "Red Hat Enterprise Linux", "debian-based": "Debian"}.get(found)
    session.report.warning(
        f"{pretty_name(files) or distro} is not a distribution that this converter was tested with: it is converted "
        + (f"like those derived from {like}" if like else "by the boot loader and the initramfs that it has")
        + "; check the result before the source is deleted"
    )
    return found


def _release(files: GuestFiles) -> bytes:
    return next((data for path in _RELEASES if (data := files.read(path))), b"")


def _has_dpkg_only(files: GuestFiles) -> bool:
    return has_dpkg(files) and not has_rpm(files)


def pretty_name(files: GuestFiles) -> str | None:
    """Return the PRETTY_NAME of the guest's os-release, for a message."""
    name = shell.value(_release(files), "PRETTY_NAME")
    return name[:80] if name and name.isprintable() else None
