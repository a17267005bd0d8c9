# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel images whose names do not contain the kernel's version: ``/boot/vmlinuz-linux``, ``/boot/vmlinuz-lts``.

Arch Linux and Alpine Linux name images after packages and keep the name in every version. Files beside the modules say
which package it is; otherwise the header of an image for PCs contains the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles, read_content
from v2v_convert_guestfs.session import Session

_IMAGES = (
    *("/boot/vmlinuz*", "/boot/kernel*", "/boot/bzImage*"),
    # Flatcar and CoreOS: the copies that the boot loader loads, and the one in the image.
    *("/boot/flatcar/vmlinuz*", "/boot/coreos/vmlinuz*", "/usr/boot/vmlinuz*"),
)
_PREFIX = re.compile(r"(?:vmlinuz|kernel|bzImage)-?")
#: Images of other systems and copies; they have the version of an ordinary kernel.
_NOT_ORDINARY = re.compile(r"rescue|kdump|memtest|\.(?:old|bak|orig|hmac|sig|gz|pre-v2v)$")
#: How many names an error has of each kind.
_NAMED = 4
#: Images to look into at most.
_LIMIT = 48
#: The header of Linux's boot protocol for x86: its magic number, and the field that says where the version is.
_MAGIC, _MAGIC_AT, _VERSION_AT, _START = b"HdrS", 0x202, 0x20E, 0x200
_HEADER = 0x10000 + _START + 256


def images_by_version(
    session: Session, files: GuestFiles, versions: Iterable[str], known: Iterable[str]
) -> dict[str, str]:
    """Return the paths of images in /boot by their kernels' versions.

    :param versions: those with a directory of modules. :param known: the names of images that need not be looked at.
    """
    found: dict[str, str] = {}
    wanted, skipped = set(versions), set(known)
    for version in sorted(wanted):
        name = _flavour(files, f"/lib/modules/{version}/pkgbase")
        path = f"/boot/vmlinuz-{name}"
        if name and name != version and files.resolve(path):
            found[version] = path
    for path in files.glob("/usr/share/kernel/*/kernel.release"):
        release, image = _flavour(files, path), f"/boot/vmlinuz-{path.split('/')[-2]}"
        if release in wanted and files.resolve(image):
            found.setdefault(release, image)
    candidates = [path for pattern in _IMAGES for path in files.glob(pattern)]
    paths = [path for path in candidates if not _NOT_ORDINARY.search(path) and path.rpartition("/")[2] not in skipped]
    for path in sorted(paths, key=lambda path: (len(path), path))[:_LIMIT]:
        if path not in found.values() and (version_found := _version_of(session, files, path)) in wanted:
            found.setdefault(version_found, path)
    return found


def what_is_there(files: GuestFiles) -> str:
    """Return the images and the directories of modules that were found, for an error."""
    images = [path.rpartition("/")[2] for pattern in _IMAGES for path in files.glob(pattern)]
    versions = [path.rstrip("/").rpartition("/")[2] for path in files.glob("/lib/modules/*")]
    if not (images or versions):
        return ""
    texts = [", ".join(sorted(names)[:_NAMED]) or "nothing" for names in (images, versions)]
    return f" (there is {texts[0]} in /boot, and {texts[1]} in /lib/modules)"


def suffix_of(image: str) -> str:
    """Return what distinguishes an image from others, which its initramfs and its configuration have in their names."""
    return _PREFIX.sub("", image.rpartition("/")[2], count=1)


def version_in(header: bytes) -> str | None:
    """Return the version in the header of an image for PCs, or None."""
    if header[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        return None
    start = _START + int.from_bytes(header[_VERSION_AT : _VERSION_AT + 2], "little")
    match = re.match(rb"[0-9][A-Za-z0-9.+~^_-]{0,200}(?=[ \0])", header[start : start + 256])
    return match[0].decode("ascii") if match and start > _START else None


def _version_of(session: Session, files: GuestFiles, path: str) -> str | None:
    try:
        # A link to an image whose name has the version is not another image.
        if session.handle.is_symlink(path) or not session.handle.is_file(path):
            return None
        return version_in(read_content(session.handle, path, min(int(session.handle.filesize(path)), _HEADER)))
    except RuntimeError as err:
        session.report.debug(f"{path} cannot be read: {brief(err)}")
        return None


def _flavour(files: GuestFiles, path: str) -> str:
    data = files.read(path) if files.glob(path) else None
    match = re.fullmatch(rb"[A-Za-z0-9][A-Za-z0-9.+_-]{0,100}", (data or b"").strip())
    return match[0].decode("ascii") if match else ""
