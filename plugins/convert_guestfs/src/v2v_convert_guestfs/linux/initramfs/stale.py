# SPDX-License-Identifier: GPL-2.0-or-later
"""Find old disk names in an initramfs: in configuration files, and in the names of files that wait for a disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from v2v_convert_guestfs.devices import DeviceNames, split_link
from v2v_convert_guestfs.linux.editors import devices_in, systemd_units
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.image import Image
from v2v_core.api import visible

_Editor = Callable[[bytes, DeviceNames], bytes]

#: Editors, by a pattern of names in the image. Images of initramfs-tools and of dracut have no such names in common.
_EDITORS: tuple[tuple[re.Pattern[str], _Editor], ...] = tuple(
    (re.compile(pattern), editor)
    for pattern, editor in (
        (r"cryptroot/crypttab|etc/crypttab", devices_in.crypttab),
        (r"conf/conf\.d/cryptroot", devices_in.kernel_arguments),
        (r"conf/conf\.d/[^/]+|conf/[^/]+\.conf", devices_in.resume),
        (r"etc/fstab|etc/fstab\.(?:sys|empty)", devices_in.fstab),
        (r"etc/lvm/lvm(?:local)?\.conf", devices_in.lvm_filters),
        (r"etc/(?:mdadm/)?mdadm\.conf(?:\.d/[^/]+)?", devices_in.mdadm),
        (r"etc/(?:uswsusp|suspend)\.conf", devices_in.resume_device),
        (r"(?:etc|usr/lib|lib|run)/systemd/system/[^/]+\.mount", devices_in.mount_unit),
        (r"etc/cmdline|etc/cmdline\.d/[^/]+\.conf", devices_in.kernel_arguments),
        (r"etc/block_uuid\.map", devices_in.kernel_arguments),
    )
)
#: dracut's scripts that wait for a disk, or report that it is missing. The disk's name has \x2f for each slash.
_HOOK = re.compile(
    r"(?P<before>(?:.*/)?(?:initqueue/finished|initqueue-finished|emergency)/(?:devexists|\d\d)-)"
    r"(?P<disk>\\x2f[^/]+)(?P<after>\.sh)",
    re.ASCII,
)
#: dracut's settings for systemd's device units. The disk's name has - for each slash.
_UNIT = re.compile(
    r"(?P<before>(?:etc|run)/systemd/system/(?:[^/]+\.(?:wants|requires)/)?)(?P<disk>dev-[^/]+)"
    r"(?P<after>\.device(?:\.d(?:/[^/]+)?)?)",
    re.ASCII,
)
_UNIT_LINK = re.compile(r"(?P<before>(?:[^\n]*/)?)(?P<disk>dev-[^/]+)(?P<after>\.device)", re.ASCII)
#: Links that udev creates from a disk's serial number or controller. None of them exists on KVM.
_HARDWARE_LINK = ("/dev/disk/by-id/", "/dev/disk/by-path/")
#: Files that go: the disks that LVM may use, by their serial numbers at the source, and caches of old names.
_REMOVED = frozenset(
    {"etc/lvm/devices/system.devices", "etc/lvm/cache/.cache", "etc/lvm/.cache", "etc/blkid.tab", "etc/blkid/blkid.tab"}
)

#: How many files a message names.
_NAMED = 3
#: Bytes of one configuration file, and of all that are changed.
_FILE_LIMIT, _FILES_LIMIT = 1024 * 1024, 4 * 1024 * 1024


@dataclass(frozen=True)
class Stale:
    """The changes that remove old disk names from an image.

    :param contents: new contents, by the name before renaming. The content of a link is its target.
    :param moved: new names, by the old names. The new name "" removes a file.
    """

    contents: Mapping[str, bytes] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.contents or self.moved)

    def __str__(self) -> str:
        """Return the old names of the first few files, without terminal control characters."""
        names = list(dict.fromkeys((*self.contents, *self.moved)))
        text = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        return visible(text, "?")


def stale_files(image: Image, names: DeviceNames) -> Stale:
    """Find old disk names in the configuration that tools copy into their images.

    :raises ArchiveError: the image is damaged, or a configuration file in it is unreasonably large.
    """
    contents: dict[str, bytes] = {}
    moved: dict[str, str] = {}
    for name, (_, entry) in image.entries().items():
        new_name = moved_name(name, names)
        if new_name is not None:
            moved[name] = new_name
        if new_name == "":
            continue
        editor = _unit_link if entry.is_symlink else _editor_of(name)
        old = image.content(name, _FILE_LIMIT) if editor is not None else None
        if editor is not None and old is not None and (new := editor(old, names)) != old:
            contents[name] = new
            if sum(map(len, contents.values())) > _FILES_LIMIT:
                raise ArchiveError("the files that name disks are too large")
    return Stale(contents, moved)


def moved_name(name: str, names: DeviceNames) -> str | None:
    """Return the new name of a file whose name contains an old disk name, "" to remove the file, or None to keep it."""
    if name in _REMOVED:
        return ""
    plain: Callable[[str], str] = _from_hook
    escaped: Callable[[str], str] = _to_hook
    match = _HOOK.fullmatch(name)
    if match is None:
        match, plain, escaped = _UNIT.fullmatch(name), systemd_units.path_of, systemd_units.unit_of
    if match is None:
        return None
    disk = plain(match["disk"])
    if disk.startswith(_HARDWARE_LINK) or split_link(disk) is not None:
        # Waiting for such a link never ends. The wait for the root file system is also set up from root= at boot.
        return ""
    new = names.rename(disk)
    return None if new in {None, disk} else match["before"] + escaped(str(new)) + match["after"]


def _editor_of(name: str) -> _Editor | None:
    if _HOOK.fullmatch(name):
        return devices_in.kernel_arguments
    return next((editor for pattern, editor in _EDITORS if pattern.fullmatch(name)), None)


def _unit_link(target: bytes, names: DeviceNames) -> bytes:
    match = _UNIT_LINK.fullmatch(target.decode("latin-1"))
    new = names.rename(systemd_units.path_of(match["disk"])) if match else None
    return (
        (match["before"] + systemd_units.unit_of(new) + match["after"]).encode("latin-1") if match and new else target
    )


def _from_hook(text: str) -> str:
    return text.replace(r"\x2f", "/")


def _to_hook(disk: str) -> str:
    return disk.replace("/", r"\x2f")
