# SPDX-License-Identifier: GPL-2.0-or-later
"""Rename disks in systemd's units: in their contents, and in the names of swap units, which are the names of devices.

systemd refuses a swap unit whose name is not that of the device in What=.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import systemd_units
from v2v_convert_guestfs.session import Session

_DIRECTORY = "/etc/systemd/system"
_WHAT, _WHY = "disks are called by their new names", "disks have other names with virtio"


@dataclass(frozen=True)
class _Move:
    old: str
    new: str


def rename_units(session: Session, files: GuestFiles, names: DeviceNames) -> None:
    """Rename swap units whose device gets another name, drop-in directories of devices, and the links to both.

    Their contents must have been edited.
    """
    moves = []
    for path in files.glob(f"{_DIRECTORY}/*.swap"):
        if session.handle.is_symlink(path):
            # A link in this directory is another name of a unit, or masks it.
            continue
        moves += _move_of(path, names)
    links = [path for kind in ("wants", "requires") for path in files.glob(f"{_DIRECTORY}/*.{kind}/*")]
    _move(session, moves)
    for path in links:
        _relink(session, files, path, names)


def _move_of(path: str, names: DeviceNames) -> list[_Move]:
    directory, _, name = path.rpartition("/")
    new = systemd_units.renamed(name, names)
    return [_Move(path, f"{directory}/{new}")] if new != name else []


def _move(session: Session, moves: Sequence[_Move]) -> None:
    """Move the files. The old name of one can be the new name of another, so each gets a name of its own first."""
    try:
        for move in moves:
            session.handle.rename(move.old, f"{move.old}.v2v-moved")
        for move in moves:
            session.handle.rename(f"{move.old}.v2v-moved", move.new)
            session.changed(
                move.new, f"renamed from {move.old.rpartition('/')[2]}", "systemd expects the device's name"
            )
    except RuntimeError as err:
        session.report.warning(f"a swap unit in the guest cannot be renamed, it may fail on KVM: {brief(err)}")


def _relink(session: Session, files: GuestFiles, path: str, names: DeviceNames) -> None:
    """Give a link to a renamed unit the new name and the new target."""
    directory, _, name = path.rpartition("/")
    new = systemd_units.renamed(name, names)
    if new == name or not session.handle.is_symlink(path):
        return
    try:
        target = str(session.handle.readlink(path))
    except RuntimeError as err:
        session.warn(f"{path} in the guest keeps its name", err)
        return
    beginning, _, last = target.rpartition("/")
    renamed = systemd_units.renamed(last, names)
    files.link(f"{beginning}/{renamed}" if beginning else renamed, f"{directory}/{new}", what=_WHAT, why=_WHY)
    files.remove(path, what="removed", why=f"{new} replaces it")
