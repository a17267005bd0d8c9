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
            session.report.warning(f"{path} in the guest names {', '.join(sorted(set(stale)))}: look at it by hand")
    for path in _CACHES:
        files.remove(path, what="removed", why="it remembers disks by their old names")


def _bound(editor: Callable[[bytes, DeviceNames], bytes], names: DeviceNames) -> Callable[[bytes], bytes]:
    return lambda data: editor(data, names)


def _warn_of_the_rest(session: Session, files: GuestFiles, path: str, names: DeviceNames) -> None:
    text = _without_comments(files.read(path))
    for link in sorted(set(_LINKS.findall(text))):
        session.report.warning(f"{path} in the guest names {link}, which may not exist on KVM: use UUID= in its place")
    for name in sorted(set(names.unknown_in(text)) - {f"/dev/{new}" for new in names.disks.values()}):
        if not any(name.startswith(f"/dev/{new}") for new in names.disks.values()):
            session.report.warning(f"{path} in the guest names {name}, which is none of the guest's disks")


def _without_comments(data: bytes | None) -> str:
    lines = (data or b"").decode("latin-1").split("\n")
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
