# SPDX-License-Identifier: GPL-2.0-or-later
"""Old names of disks in an initramfs: in its configuration, and in the names of files that wait for a disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import devices_in
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.image import Image

_Editor = Callable[[bytes, DeviceNames], bytes]

#: By the name in the image. The files of initramfs-tools and of dracut do not get in each other's way.
_EDITORS: tuple[tuple[re.Pattern[str], _Editor], ...] = tuple(
    (re.compile(pattern), editor)
    for pattern, editor in (
        (r"cryptroot/crypttab|etc/crypttab", devices_in.crypttab),
        (r"conf/conf\.d/cryptroot", devices_in.kernel_arguments),
        (r"conf/conf\.d/[^/]+|conf/[^/]+\.conf", devices_in.resume),
        (r"etc/fstab|etc/fstab\.(?:sys|empty)", devices_in.fstab),
        (r"etc/cmdline|etc/cmdline\.d/[^/]+\.conf", devices_in.kernel_arguments),
        (r"etc/block_uuid\.map", devices_in.kernel_arguments),
    )
)
#: dracut's scripts that wait for a disk, or complain of one: the name of the disk with \x2f for each slash.
_HOOK = re.compile(
    r"(?P<before>(?:.*/)?(?:initqueue/finished|initqueue-finished|emergency)/(?:devexists|\d\d)-)"
    r"(?P<disk>\\x2f[^/]+)(?P<after>\.sh)",
    re.ASCII,
)
#: dracut's settings for systemd's waiting for a disk: the name of the disk with - for each slash.
_UNIT = re.compile(
    r"(?P<before>(?:etc|run)/systemd/system/(?:[^/]+\.(?:wants|requires)/)?)(?P<disk>dev-[^/]+)"
    r"(?P<after>\.device(?:\.d(?:/[^/]+)?)?)",
    re.ASCII,
)
_UNIT_LINK = re.compile(r"(?P<before>(?:[^\n]*/)?)(?P<disk>dev-[^/]+)(?P<after>\.device)", re.ASCII)
#: Links that udev makes of a disk's serial number or of its controller: none of them exists on KVM.
_HARDWARE_LINK = ("/dev/disk/by-id/", "/dev/disk/by-path/")
#: LVM takes a disk for its own by its number at the source's controller; without the file it looks at all disks.
_LVM_DEVICES = "etc/lvm/devices/system.devices"

_NAMED = 3
#: Bytes of a configuration file, and of all that are changed.
_FILE_LIMIT, _FILES_LIMIT = 1024 * 1024, 4 * 1024 * 1024


@dataclass(frozen=True)
class Stale:
    """What is to be put right.

    :param contents: new ones by the old names; of a link it is its target.
    :param moved: new names by the old ones; "" is for what goes.
    """

    contents: Mapping[str, bytes] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.contents or self.moved)

    def __str__(self) -> str:
        """Name the first few files by their old names, without anything in them that a terminal would obey."""
        names = list(dict.fromkeys((*self.contents, *self.moved)))
        text = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        return "".join(char if char.isprintable() else "?" for char in text)


def stale_files(image: Image, names: DeviceNames) -> Stale:
    """Find what names disks by their old names in the configuration that the tools copy into their images.

    :raises ArchiveError: it is damaged, or a configuration file in it is larger than any.
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
                raise ArchiveError("too much of it names disks")
    return Stale(contents, moved)


def moved_name(name: str, names: DeviceNames) -> str | None:
    """Give the new name of a file that has a disk's old name in its own, "" if it shall go, or None if it stays."""
    if name == _LVM_DEVICES:
        return ""
    match, plain, escaped = _HOOK.fullmatch(name), _from_hook, _to_hook
    if match is None:
        match, plain, escaped = _UNIT.fullmatch(name), _from_unit, _to_unit
    if match is None:
        return None
    disk = plain(match["disk"])
    if disk.startswith(_HARDWARE_LINK):
        # What waits for it waits for ever. The root file system is waited for by root= on the command line as well.
        return ""
    new = names.rename(disk)
    return None if new in {None, disk} else match["before"] + escaped(str(new)) + match["after"]


def _editor_of(name: str) -> _Editor | None:
    if _HOOK.fullmatch(name):
        return devices_in.kernel_arguments
    return next((editor for pattern, editor in _EDITORS if pattern.fullmatch(name)), None)


def _unit_link(target: bytes, names: DeviceNames) -> bytes:
    match = _UNIT_LINK.fullmatch(target.decode("latin-1"))
    new = names.rename(_from_unit(match["disk"])) if match else None
    return (match["before"] + _to_unit(new) + match["after"]).encode("latin-1") if match and new else target


def _from_hook(text: str) -> str:
    return text.replace(r"\x2f", "/")


def _to_hook(disk: str) -> str:
    return disk.replace("/", r"\x2f")


def _from_unit(text: str) -> str:
    plain = "/" + text.replace("-", "/")
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), plain)


def _to_unit(disk: str) -> str:
    # The new names have letters and digits only, which systemd leaves as they are.
    return disk.strip("/").replace("/", "-")
