# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated Windows guest that is looked at, and what was said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks import system
from windows_guest import SimulatedGuest, windows_guest


@dataclass(frozen=True)
class Told:
    """What the examination of a guest said."""

    blockers: list[tuple[str, str]]
    warnings: list[str]
    infos: list[str]

    @property
    def nothing(self) -> bool:
        """Whether there was neither a blocker nor a warning."""
        return not self.blockers and not self.warnings

    def blocker(self) -> tuple[str, str]:
        """Return the reason and the remedy of the only blocker."""
        (found,) = self.blockers
        return found

    def warning(self) -> str:
        """Return the only warning of a guest without blockers."""
        assert self.blockers == []
        (found,) = self.warnings
        return found


def examined(guest: SimulatedGuest, **attributes: Any) -> Told:
    """Examine a guest that must be as it was afterwards."""
    handle = guest.session.handle
    for name, content in attributes.items():
        setattr(handle, name, content)
    before, directories = dict(handle.files), set(handle.directories)
    blockers = Blockers()
    system.examine(guest, blockers)
    assert guest.registry.edits == []
    assert (handle.files, handle.directories) == (before, directories)
    assert guest.first_boot.scripts == []
    assert guest.session.changes == []
    for reason, remedy in blockers.reasons:
        assert reason
        assert remedy
        assert "\n" not in reason + remedy
    return Told(blockers.reasons, guest.report.warnings, guest.report.infos)


@pytest.fixture
def examine() -> Callable[..., Told]:
    """Return a function that examines a guest of files and hives. ``control`` is below its control set."""

    def look(
        *,
        control: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
        software: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        handle: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> Told:
        hive = {**(system or {}), **({"ControlSet001": control} if control else {})}
        return examined(windows_guest(files or {}, hive, software or {}, **facts), **(handle or {}))

    return look
