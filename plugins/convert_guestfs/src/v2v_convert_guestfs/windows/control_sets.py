# SPDX-License-Identifier: GPL-2.0-or-later
"""The control sets of the guest that can start."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key, Registry


@dataclass(frozen=True)
class ControlSets:
    """The control set that ran last, and the one that starts next."""

    current: str
    default: str


def find_control_sets(registry: Registry, blockers: Blockers) -> ControlSets | None:
    """Return the control sets as ``Select`` names them. None is a blocker; one that is not there is a warning."""
    select = registry.key(HiveName.SYSTEM, "Select")
    default, current = _named(registry, select, "Default"), _named(registry, select, "Current")
    if default is None and current is None:
        first = registry.key(HiveName.SYSTEM, "ControlSet001")
        others = registry.key(HiveName.SYSTEM, "ControlSet002")
        if first is None or others is not None:
            blockers.add(
                r"SYSTEM\Select of the guest's registry names no control set that exists (Default, Current): Windows "
                "cannot start like this",
                "start Windows at the source; if it does not start there, restore its registry from a backup",
            )
            return None
        registry.warn(r"SYSTEM\Select of the guest's registry names no control set that exists: ControlSet001 is taken")
        return ControlSets(first.name, first.name)
    if default is None or current is None:
        taken = default or current or ""
        missing = "Default" if default is None else "Current"
        registry.warn(
            rf"SYSTEM\Select of the guest's registry has no {missing} that names a control set that exists: "
            f"{taken} is taken"
        )
        return ControlSets(taken, taken)
    return ControlSets(current, default)


def _named(registry: Registry, select: Key | None, name: str) -> str | None:
    value = select.value(name) if select is not None else None
    number = value.number if value is not None else None
    if number is None or not 1 <= number <= 999:
        return None
    key = registry.key(HiveName.SYSTEM, f"ControlSet{number:03}")
    return key.name if key is not None else None
