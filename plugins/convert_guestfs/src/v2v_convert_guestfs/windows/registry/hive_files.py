# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the files of the guest's hives, and refuse those that Windows did not close or that are damaged."""

from __future__ import annotations

from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.files import WindowsFiles
from v2v_convert_guestfs.windows.registry import header
from v2v_convert_guestfs.windows.registry.header import State
from v2v_convert_guestfs.windows.registry.hives import HiveName

#: Hives that the conversion does not edit: that one of them is dirty says only how the guest was stopped.
_OTHERS = ("SAM", "SECURITY", "DEFAULT", "DRIVERS", "COMPONENTS")

_SHUT_DOWN = "start Windows once at the source and shut it down fully (shutdown /s /t 0)"
_CHECK = "check the guest's disk with chkdsk /f at the source, start Windows there and shut it down fully"


def find_hives(session: Session, files: WindowsFiles, systemroot: str, blockers: Blockers) -> dict[HiveName, str]:
    """Return the paths of the hives without the damaged ones. One that is missing, dirty or damaged is a blocker."""
    config = f"{systemroot}/System32/config"
    found = {}
    for name in HiveName:
        path = files.find(f"{config}/{name}")
        if path is None or not files.is_file(path):
            blockers.add(
                f"the hive {name} of the guest's registry is missing ({config}/{name})",
                "check that --root names the system of the guest; restore the file from a backup at the source",
            )
            continue
        said = _examine(files, path)
        if said is None:
            blockers.add(f"the hive {name} of the guest's registry ({path}) cannot be read", _CHECK)
            continue
        if said.state is State.DIRTY:
            blockers.add(
                f"Windows has not written its last edits into the hive {name} of the registry ({path}): "
                f"{said.reason}. They are only in its logs, and would be lost",
                _SHUT_DOWN,
            )
        if said.state is State.DAMAGED:
            blockers.add(f"the hive {name} of the guest's registry ({path}) is damaged: {said.reason}", _CHECK)
        else:
            found[name] = path
    _tell_others(session, files, config)
    return found


def _tell_others(session: Session, files: WindowsFiles, config: str) -> None:
    states = {name: _examine(files, f"{config}/{name}") for name in _OTHERS if files.is_file(f"{config}/{name}")}
    dirty = [name for name, said in states.items() if said is not None and said.state is State.DIRTY]
    if dirty:
        session.report.info(
            f"Windows has not written its last edits into these hives of the registry: {', '.join(dirty)}. "
            "It does so from their logs when it starts"
        )


def _examine(files: WindowsFiles, path: str) -> header.Header | None:
    size, start = files.size(path), files.read_start(path, header.LENGTH)
    return None if size is None or start is None else header.examine(start, size)
