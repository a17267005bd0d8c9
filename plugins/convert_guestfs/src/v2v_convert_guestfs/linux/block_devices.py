# SPDX-License-Identifier: GPL-2.0-or-later
"""Rename disks in the guest's configuration, and say which names could not be renamed."""

from __future__ import annotations

import re
from collections.abc import Callable

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import devices_in
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

_PLACES: tuple[tuple[str, Callable[[bytes, DeviceNames], bytes]], ...] = (
    ("/etc/fstab", devices_in.fstab),
    ("/etc/crypttab", devices_in.crypttab),
    ("/etc/initramfs-tools/initramfs.conf", devices_in.resume),
    ("/etc/initramfs-tools/conf.d/*", devices_in.resume),
    ("/etc/uswsusp.conf", devices_in.resume_device),
    ("/etc/systemd/system/*.mount", devices_in.mount_unit),
)
#: Files that may name disks in ways that only their owner understands.
_LOOKED_AT = ("/etc/lvm/lvm.conf", "/etc/mdadm/mdadm.conf", "/etc/smartd.conf", "/etc/hdparm.conf")
#: What remembers the disks that were there; what needs it makes it anew.
_CACHES = ("/etc/blkid/blkid.tab", "/etc/blkid.tab", "/etc/lvm/cache/.cache", "/etc/lvm/devices/system.devices")
#: How many devices of one file are warned of.
_WARNINGS = 10
_LINKS = re.compile(r"/dev/disk/by-(?:id|path)/[^\s\"',:]+", re.ASCII)


def rename_devices(session: Session, files: GuestFiles, names: DeviceNames) -> None:
    """Rename disks everywhere but in the boot loader's files, and remove caches of their old names.

    :raises ConversionError: a file cannot be written.
    """
    for pattern, editor in _PLACES:
        for path in files.glob(pattern):
            edit = _bound(editor, names)
            files.edit(path, edit, what="disks are called by their new names", why="disks have other names with virtio")
            _warn_of_the_rest(session, files, path, names)
    for path in _LOOKED_AT:
        text = _without_comments(files.read(path) if files.glob(path) else None)
        stale = names.stale_in(text)
        if stale:
            listed = ", ".join(sorted(set(stale))[:_WARNINGS])
            session.report.warning(f"{path} in the guest names {listed}: look at it by hand")
    for path in _CACHES:
        files.remove(path, what="removed", why="it remembers disks by their old names")


def _bound(editor: Callable[[bytes, DeviceNames], bytes], names: DeviceNames) -> Callable[[bytes], bytes]:
    return lambda data: editor(data, names)


def _warn_of_the_rest(session: Session, files: GuestFiles, path: str, names: DeviceNames) -> None:
    text = _without_comments(files.read(path))
    links = sorted(set(_LINKS.findall(text)))
    for link in links[:_WARNINGS]:
        session.report.warning(f"{path} in the guest names {link}, which may not exist on KVM: use UUID= in its place")
    new = tuple(f"/dev/{disk}" for disk in names.disks.values())
    unknown = sorted(name for name in set(names.unknown_in(text)) if not name.startswith(new))
    for name in unknown[:_WARNINGS]:
        session.report.warning(f"{path} in the guest names {name}, which is none of the guest's disks")
    left = len(links[_WARNINGS:]) + len(unknown[_WARNINGS:])
    if left:
        session.report.warning(f"{path} in the guest names {left} more devices that may not exist on KVM")


def _without_comments(data: bytes | None) -> str:
    lines = (data or b"").decode("latin-1").split("\n")
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
