# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a guest without booting it: single files, a digest of every file, or both, in one appliance launch."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import guestfs  # type: ignore[import-untyped, import-not-found, unused-ignore]

from guests.host import appliance_environment, image_format

Kind = Literal["file", "directory", "link", "device", "fifo", "socket"]

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file of a guest, as far as two conversions of the same guest must agree on it."""

    kind: Kind
    mode: int  # with the type
    owner: int
    group: int
    size: int
    content: str  # a file's MD5, a link's target, a device's numbers
    attributes: tuple[tuple[str, str], ...]  # extended ones, among them capabilities, ACLs and SELinux labels


def read_files(disks: Sequence[Path], paths: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of the guest's files; what does not exist or is not a file is left out.

    A path may be a pattern of the shell's kind, such as ``/boot/grub*/grub.cfg``.
    """
    with _opened(disks) as guest:
        return _contents(guest, paths)


def files_and_digest(
    disks: Sequence[Path], paths: Sequence[str], exclude: Sequence[str] = ()
) -> tuple[dict[str, bytes], dict[str, Entry]]:
    """Return what ``read_files`` and ``guest_tree_digest`` return, from one launch of the appliance."""
    with _opened(disks) as guest:
        return _contents(guest, paths), _digest(guest, tuple(exclude))


def installed_packages(disks: Sequence[Path]) -> list[str]:
    """Return the names of the guest's packages, sorted, as libguestfs reads them from its database."""
    with _opened(disks) as guest:
        (root,) = guest.inspect_get_roots()
        return sorted(application["app2_name"] for application in guest.inspect_list_applications2(root))


def guest_tree_digest(disks: Sequence[Path], exclude: Sequence[str] = ()) -> dict[str, Entry]:
    """Return a digest of every file of the guest by its path, over all its mounted filesystems.

    Paths that match one of the excluding patterns are left out, and with a directory everything in it. Times are not
    part of it: the conversion writes files when it runs.
    """
    with _opened(disks) as guest:
        return _digest(guest, tuple(exclude))


def difference(before: dict[str, Entry], after: dict[str, Entry]) -> dict[str, tuple[Entry | None, Entry | None]]:
    """Return what the two digests do not agree on: made, changed and deleted files."""
    return {
        path: (before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }


def _contents(guest: Any, paths: Sequence[str]) -> dict[str, bytes]:
    listed = [path for pattern in paths for path in (guest.glob_expand(pattern) if _magic(pattern) else [pattern])]
    return {path: bytes(guest.read_file(path)) for path in listed if guest.is_file(path, followsymlinks=True)}


def _digest(guest: Any, exclude: tuple[str, ...]) -> dict[str, Entry]:
    """Ask for a whole directory at a time, and for all checksums at once.

    An emulated appliance answers some hundred questions a second, so not one for each file; and pouring the guest out
    as one archive takes three times as long as to add it up inside.
    """
    checksums = _checksums(guest)
    entries: dict[str, Entry] = {}
    for directory, names in _directories(guest, exclude).items():
        stats = guest.lstatnslist(directory, names)
        links = [name for name, status in zip(names, stats, strict=True) if stat.S_ISLNK(status["st_mode"])]
        targets = dict(zip(links, guest.readlinklist(directory, links), strict=True)) if links else {}
        attributes = _attributes(guest, directory, names)
        for name, status, extended in zip(names, stats, attributes, strict=True):
            path = directory.rstrip("/") + "/" + name
            kind = _KINDS.get(stat.S_IFMT(status["st_mode"]), "device")
            device = status["st_rdev"]
            content = {
                "file": checksums.get(path, ""),
                "link": targets.get(name, ""),
                "device": f"{os.major(device)}:{os.minor(device)}",
            }
            entries[path] = Entry(
                kind=kind,
                mode=status["st_mode"],
                owner=status["st_uid"],
                group=status["st_gid"],
                # A directory's size tells how it grew, not what is in it.
                size=status["st_size"] if kind == "file" else 0,
                content=content.get(kind, ""),
                attributes=extended,
            )
    return entries


def _directories(guest: Any, exclude: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the names in every directory of the guest, without what is excluded."""
    directories: dict[str, list[str]] = {}
    with tempfile.NamedTemporaryFile(prefix="v2v-look.") as listing:
        guest.find0("/", listing.name)
        for name in Path(listing.name).read_bytes().decode(errors="surrogateescape").split("\0"):
            if name and not _excluded("/" + name, exclude):
                directory, _, last = ("/" + name).rpartition("/")
                directories.setdefault(directory or "/", []).append(last)
    return directories


def _checksums(guest: Any) -> dict[str, str]:
    """Return the MD5 of every regular file of the guest.

    No file is made to look like another one here, and SHA-256 takes an emulated processor three times as long.
    """
    checksums: dict[str, str] = {}
    with tempfile.NamedTemporaryFile(prefix="v2v-look.") as listing:
        guest.checksums_out("md5", "/", listing.name)
        for line in Path(listing.name).read_bytes().decode(errors="surrogateescape").split("\n"):
            digest, _, name = line.partition("  ./")
            # md5sum marks a line whose name it had to escape.
            if digest.startswith("\\"):
                name = re.sub(r"\\([\\nr])", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), name)
            if name:
                checksums["/" + name] = digest.lstrip("\\")
    return checksums


def _attributes(guest: Any, directory: str, names: Sequence[str]) -> list[tuple[tuple[str, str], ...]]:
    """Return the extended attributes of every name: the answer is flat, a nameless count before each file's own."""
    result: list[tuple[tuple[str, str], ...]] = []
    answers = iter(guest.lxattrlist(directory, names))
    for head in answers:
        count = int(bytes(head["attrval"]).rstrip(b"\0") or b"0")
        own = [next(answers) for _ in range(count)]
        result.append(tuple(sorted((str(each["attrname"]), bytes(each["attrval"]).hex()) for each in own)))
    return result


def _excluded(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a pattern matches the path or a directory above it."""
    above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != "/")]
    return any(fnmatch.fnmatchcase(name, pattern) for name in above for pattern in patterns)


def _magic(path: str) -> bool:
    """Return whether the path is a pattern."""
    return any(character in path for character in "*?[")


@contextlib.contextmanager
def mounted(disk: Path, device: str) -> Iterator[Any]:
    """Open one filesystem of a disk, by libguestfs's name of it, to be written."""
    with _appliance([disk], readonly=False) as guest:
        guest.mount(device, "/")
        yield guest
        guest.umount_all()
        guest.shutdown()


@contextlib.contextmanager
def _opened(disks: Sequence[Path]) -> Iterator[Any]:
    """Open the guest's filesystems read-only, where its own /etc/fstab has them."""
    with _appliance(disks, readonly=True) as guest:
        roots = guest.inspect_os()
        if len(roots) != 1:
            names = ", ".join(map(str, disks))
            raise ValueError(f"{names}: {len(roots)} operating systems, not one")
        mounts = guest.inspect_get_mountpoints(roots[0])
        for mountpoint in sorted(mounts, key=len):
            guest.mount_ro(mounts[mountpoint], mountpoint)
        yield guest


@contextlib.contextmanager
def _appliance(disks: Sequence[Path], *, readonly: bool) -> Iterator[Any]:
    environment = appliance_environment()
    guest = guestfs.GuestFS(python_return_dict=True)
    try:
        guest.set_backend(environment["LIBGUESTFS_BACKEND"])
        if settings := environment["LIBGUESTFS_BACKEND_SETTINGS"]:
            guest.set_backend_settings(settings.split(":"))
        for disk in disks:
            guest.add_drive_opts(str(disk), format=image_format(disk), readonly=readonly)
        guest.launch()
        yield guest
    finally:
        guest.close()
