# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a guest without booting it: single files, or a digest of every file, each in one appliance launch."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import hashlib
import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import guestfs  # type: ignore[import-untyped, import-not-found, unused-ignore]

from guests.host import appliance_environment, image_format

Kind = Literal["file", "directory", "link", "device", "fifo"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file of a guest, as far as two conversions of the same guest must agree on it."""

    kind: Kind
    mode: int
    owner: int
    group: int
    size: int
    content: str  # a file's SHA-256, a link's target, a device's numbers
    attributes: tuple[tuple[str, str], ...]  # extended ones, among them capabilities, ACLs and SELinux labels


def read_files(disks: Sequence[Path], paths: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of the guest's files; what does not exist or is no file is left out.

    A path may be a pattern of the shell's kind, such as ``/boot/grub*/grub.cfg``.
    """
    with _opened(disks) as guest:
        found = [path for pattern in paths for path in (guest.glob_expand(pattern) if _magic(pattern) else [pattern])]
        return {path: bytes(guest.read_file(path)) for path in found if guest.is_file(path, followsymlinks=True)}


def guest_tree_digest(disks: Sequence[Path], exclude: Sequence[str] = ()) -> dict[str, Entry]:
    """Return a digest of every file of the guest by its path, over all its mounted filesystems.

    Paths that match one of the excluding patterns are left out, and with a directory everything in it. Times are not
    part of it: the conversion writes files when it runs. A further name of a file has that file's digest.
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


def _digest(guest: Any, exclude: tuple[str, ...]) -> dict[str, Entry]:
    """Stream the whole guest out as one archive and read that while it comes.

    Asking for every file by itself would take one round trip each, of which an emulated appliance does not do many.
    """
    reading, writing = os.pipe()
    failures: list[BaseException] = []

    def pour() -> None:
        try:
            guest.tar_out("/", f"/dev/fd/{writing}", numericowner=True, xattrs=True, acls=True, selinux=True)
        except RuntimeError as error:
            failures.append(error)
        finally:
            os.close(writing)

    entries: dict[str, Entry] = {}
    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        with os.fdopen(reading, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                path = "/" + member.name.removeprefix("./").strip("/.") if member.name in {".", "./"} else None
                path = path or "/" + member.name.removeprefix("./")
                entries[path] = _entry(archive, member, entries)
            # The archive ends before the stream does; a writer whose reader is gone would fail.
            while stream.read(1 << 20):
                pass
    finally:
        pouring.join()
    if failures:
        raise failures[0]
    return {path: entry for path, entry in entries.items() if not _excluded(path, exclude)}


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, before: dict[str, Entry]) -> Entry:
    """Return the digest of one member of the archive."""
    if member.islnk():
        return before["/" + member.linkname.removeprefix("./")]
    kind: Kind = "file"
    content = ""
    if member.isfile():
        stream = archive.extractfile(member)
        content = _sha256(stream) if stream is not None else ""
    elif member.isdir():
        kind = "directory"
    elif member.issym():
        kind, content = "link", member.linkname
    elif member.isfifo():
        kind = "fifo"
    else:
        kind, content = "device", f"{'b' if member.isblk() else 'c'} {member.devmajor}:{member.devminor}"
    return Entry(
        kind=kind,
        mode=member.mode,
        owner=member.uid,
        group=member.gid,
        size=member.size,
        content=content,
        attributes=tuple(sorted((key, value) for key, value in member.pax_headers.items() if key.startswith("SCHILY"))),
    )


def _sha256(stream: IO[bytes]) -> str:
    """Return the digest of what is left in the stream."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _excluded(path: str, patterns: Sequence[str]) -> bool:
    """Say whether a pattern matches the path or a directory above it."""
    above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != "/")]
    return any(fnmatch.fnmatchcase(name, pattern) for name in above for pattern in patterns)


def _magic(path: str) -> bool:
    """Say whether the path is a pattern."""
    return any(character in path for character in "*?[")


@contextlib.contextmanager
def _opened(disks: Sequence[Path]) -> Iterator[Any]:
    """Open the guest's filesystems read-only, where its own /etc/fstab has them."""
    environment = appliance_environment()
    guest = guestfs.GuestFS(python_return_dict=True)
    try:
        guest.set_backend(environment["LIBGUESTFS_BACKEND"])
        if settings := environment["LIBGUESTFS_BACKEND_SETTINGS"]:
            guest.set_backend_settings(settings.split(":"))
        for disk in disks:
            guest.add_drive_opts(str(disk), format=image_format(disk), readonly=True)
        guest.launch()
        roots = guest.inspect_os()
        if len(roots) != 1:
            names = ", ".join(map(str, disks))
            raise ValueError(f"{names}: {len(roots)} operating systems, not one")
        mounts = guest.inspect_get_mountpoints(roots[0])
        for mountpoint in sorted(mounts, key=len):
            guest.mount_ro(mounts[mountpoint], mountpoint)
        yield guest
    finally:
        guest.close()
