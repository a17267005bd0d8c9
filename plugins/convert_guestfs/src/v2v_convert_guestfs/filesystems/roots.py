# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell a guest's system from the snapshots and copies of it, which libguestfs lists as systems as well.

On btrfs a system is the subvolume that it mounts as /: the one that its own fstab or kernel command line names, or else
the default subvolume. A snapshot of it has the same fstab, which names another subvolume than the snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.filesystems.limits import base_device
from v2v_convert_guestfs.session import Session

#: Where snapper, timeshift, btrbk and others keep snapshots.
_SNAPSHOT = re.compile(
    r"(?:^|/)(?:@?\.?snapshots?/\d+/snapshot|timeshift-btrfs/snapshots/|@?\.?snapshots?/|\.?btrbk[\w-]*/|\.beeshome/|"
    r"@apt-snapshot-|@_backup_)"
)
_SUBVOL = re.compile(r"(?:^|,)subvol=([^,\s]+)")
_SUBVOLID = re.compile(r"(?:^|,)subvolid=(\d{1,18})")
_ROOTFLAGS = re.compile(r"\brootflags=([^\s\"']+)")
#: Where a guest keeps its kernel command line.
_COMMAND_LINES = ("/etc/kernel/cmdline", "/etc/default/grub", "/boot/grub2/grub.cfg", "/boot/grub/grub.cfg")


@dataclass(frozen=True)
class Subvolumes:
    """The subvolumes of a btrfs file system: the path of each by its number, and the path of the default one.

    Paths begin at the top of the file system; "" is the top itself.
    """

    paths: Mapping[int, str]
    default: str

    def named(self, options: str) -> str | None:
        """Return the path of the subvolume that mount options name; None if they name none that exists."""
        if match := _SUBVOL.search(options):
            path = match[1].strip("/")
            return path if path in {"", *self.paths.values()} else None
        if match := _SUBVOLID.search(options):
            return "" if int(match[1]) in {0, 5} else self.paths.get(int(match[1]))
        return None


def systems(session: Session, roots: Sequence[str]) -> list[str]:
    """Return those root file systems that are systems of their own, at least one, in the same order.

    :param roots: as libguestfs lists them.
    """
    if len(roots) < 2:
        return list(roots)
    left = _without_other_devices(session, _without_volume_snapshots(session, roots))
    groups: dict[str, list[str]] = {}
    for root in left:
        if root.startswith("btrfsvol:") or session.filesystems.get(root) == "btrfs":
            groups.setdefault(base_device(root), []).append(root)
    for base, group in groups.items():
        if len(group) > 1:
            kept = _mounted_as_root(session, base, group)
            left = [root for root in left if root not in group or root in kept]
    if len(left) < len(roots):
        copies = [root for root in roots if root not in left]
        session.report.info(
            f"Snapshots and copies of a system are no systems of their own: {', '.join(copies[:5])}"
            + (f" and {len(copies) - 5} more" if len(copies) > 5 else "")
        )
    return left or list(roots)


def root_options(fstab: bytes) -> str | None:
    """Return the mount options of / in fstab(5); None if it is not there or not btrfs."""
    for line in fstab.decode("latin-1").split("\n"):
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith("#") and fields[1] == "/":
            return (fields[3] if len(fields) > 3 else "") if fields[2] in {"btrfs", "auto"} else None
    return None


def _mounted_as_root(session: Session, base: str, group: Sequence[str]) -> list[str]:
    """Return those subvolumes of one file system that are mounted as / by the system in them; all if none is."""
    try:
        subvolumes = _subvolumes(session, base)
    except RuntimeError as err:
        session.report.debug(f"the subvolumes of {base} cannot be listed: {brief(err)}")
        return list(group)
    own = {root: subvolumes.default if root == base else root.removeprefix(f"btrfsvol:{base}/") for root in group}
    kept = [
        root for root, path in own.items() if not _SNAPSHOT.search(path) and _boots(session, root, path, subvolumes)
    ]
    if kept and base not in own:
        return kept
    # The default subvolume may well be one of snapper's: a snapshot to which the administrator has returned.
    kept += [
        root
        for root, path in own.items()
        if root not in kept and (root == base or not kept) and _boots(session, root, path, subvolumes)
    ]
    return kept or [root for root, path in own.items() if not _SNAPSHOT.search(path)] or list(group)


def _subvolumes(session: Session, base: str) -> Subvolumes:
    handle = session.handle
    handle.mount_ro(base, "/")
    try:
        paths = {
            int(found["btrfssubvolume_id"]): str(found["btrfssubvolume_path"]).strip("/")
            for found in handle.btrfs_subvolume_list("/")
        }
        default = int(handle.btrfs_subvolume_get_default("/"))
    finally:
        handle.umount_all()
    return Subvolumes(paths, paths.get(default, ""))


def _boots(session: Session, root: str, path: str, subvolumes: Subvolumes) -> bool:
    """Return whether the system in a subvolume mounts this very subvolume as /."""
    try:
        session.handle.mount_ro(root, "/")
    except RuntimeError as err:
        session.report.debug(f"{root} cannot be mounted: {brief(err)}")
        return False
    try:
        files = GuestFiles(session)
        wanted = subvolumes.named(root_options(files.read("/etc/fstab") or b"") or "")
        if wanted is None:
            lines = (files.read(name) for name in (*_COMMAND_LINES, *files.glob("/boot/loader/entries/*.conf")))
            flags = [match for line in lines for match in _ROOTFLAGS.findall((line or b"").decode("latin-1"))]
            wanted = next((named for one in flags if (named := subvolumes.named(one)) is not None), None)
    finally:
        with suppress(RuntimeError):
            session.handle.umount_all()
    return (subvolumes.default if wanted is None else wanted) == path


def _without_other_devices(session: Session, roots: Sequence[str]) -> list[str]:
    """Leave out what is on the second and every further device of one btrfs file system."""
    first: dict[str, str] = {}
    bases = {base_device(root) for root in roots if session.filesystems.get(base_device(root)) == "btrfs"}
    if len(bases) < 2:
        return list(roots)
    for base in sorted(bases, key=lambda name: (len(name), name)):
        with suppress(RuntimeError):
            first.setdefault(str(session.handle.vfs_uuid(base)), base)
    return [root for root in roots if base_device(root) not in bases or base_device(root) in first.values()] or [*roots]


def _without_volume_snapshots(session: Session, roots: Sequence[str]) -> list[str]:
    """Leave out logical volumes that are snapshots of another one in the list."""
    volumes = [root for root in roots if not root.startswith("btrfsvol:") and root.count("/") == 3]
    if len(volumes) < 2:
        return list(roots)
    try:
        listed = str(session.handle.debug("sh", ["lvm lvs --noheadings --separator : -o vg_name,lv_name,origin"]))
    except RuntimeError as err:
        session.report.debug(f"the snapshots of logical volumes cannot be listed: {brief(err)}")
        return list(roots)
    fields = [line.strip().split(":") for line in listed.splitlines()]
    origins = {f"/dev/{found[0]}/{found[1]}": f"/dev/{found[0]}/{found[2]}" for found in fields if len(found) == 3}
    return [root for root in roots if origins.get(root) not in volumes]
