# SPDX-License-Identifier: GPL-2.0-or-later
"""Root file systems that are read-only on purpose: a btrfs subvolume with the property, or by their nature.

Transactional systems (openSUSE MicroOS, SLE Micro) boot from a read-only snapshot. Like their own updates, the
conversion changes it while it is writable, and makes it read-only again.
"""

from __future__ import annotations

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.filesystems.features import Set, features_of
from v2v_convert_guestfs.filesystems.limits import base_device, read_start
from v2v_convert_guestfs.session import Session

#: Where libguestfs mounts the guest's root in the appliance.
_ROOT = "/sysroot"
#: Kinds of file systems that are images: they are made once, and never written.
_IMAGES = frozenset({"squashfs", "erofs", "cramfs", "iso9660", "udf", "romfs"})
_EXT_READ_ONLY = 1 << 12


def make_writable(session: Session) -> None:
    """Make the mounted root writable if it is a read-only subvolume, until ``make_read_only``.

    If that fails, it stays read-only.
    """
    handle, root = session.handle, session.inspection.root
    if session.filesystems.get(base_device(root)) != "btrfs":
        return
    try:
        if "ro=true" not in str(handle.debug("sh", [f"btrfs property get -ts {_ROOT} ro"])):
            return
        handle.debug("sh", [f"btrfs property set -ts {_ROOT} ro false"])
    except RuntimeError as err:
        session.report.debug(f"{root} cannot be made writable: {brief(err)}")
        return
    session.read_only_root = True
    session.report.info(
        f"The root file system of the guest, {root}, is a read-only subvolume: it is writable during the conversion, "
        "and read-only again afterwards"
    )


def make_read_only(session: Session) -> None:
    """Make the root read-only again that ``make_writable`` has made writable."""
    if not session.read_only_root:
        return
    session.read_only_root = False
    try:
        session.handle.sync()
        session.handle.debug("sh", [f"btrfs property set -ts {_ROOT} ro true"])
    except RuntimeError as err:
        session.warn(
            "the root file system of the guest was a read-only subvolume and stays writable: run "
            "btrfs property set -ts / ro true in the converted guest",
            err,
        )


def why_read_only(session: Session) -> tuple[str, str] | None:
    """Return why the root file system is read-only by nature, and what to do; None if that is not known."""
    base = base_device(session.inspection.root)
    kind = session.filesystems.get(base, "")
    if kind in _IMAGES:
        return (
            f"it is an image ({kind}), which nothing can write; such systems keep their changes elsewhere",
            "install the system anew on KVM and move its data, or convert a guest whose root is on a disk",
        )
    if features_of(kind, read_start(session.handle, base)).get(Set.READ_ONLY, 0) & _EXT_READ_ONLY and kind != "btrfs":
        return (
            "it has the feature read-only, which the administrator has set",
            f"remove it in a rescue system at the source: tune2fs -O ^read-only on the guest's {base}",
        )
    return None
