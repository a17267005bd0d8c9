# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v report --disk`` finds what a Windows guest wrote down about its first boot, in any capitals."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.operating_system import operating_system_of
from v2v_core.api import ConversionError, ScriptState
from windows_guest import SimulatedGuest, windows_guest

STATUS = (
    b"#1;finished;2;1\r\n2000-drivers;done;0;1;29.11.2026 03:22:10\r\n5000-tools;given-up;249;5;29.11.2026 03:24:51\r\n"
    b"#end\r\n"
)


def guest_with(files: dict[str, bytes], systemroot: object = "/Windows") -> SimulatedGuest:
    guest = windows_guest(files)

    def answer(_root: str) -> object:
        if isinstance(systemroot, Exception):
            raise systemroot
        return systemroot

    handle: Any = guest.session.handle
    handle.inspect_get_windows_systemroot = answer
    return guest


@pytest.mark.parametrize("systemroot", ["/Windows", RuntimeError("no such root")])
def test_the_status_of_a_windows_guest(systemroot: object) -> None:
    place = "/PROGRAM FILES/V2V-FirstBoot"
    guest = guest_with({f"{place}/Status.txt": STATUS, f"{place}/log.txt": b"a\r\nb\x1b[2J\r\n"}, systemroot)
    status = operating_system_of(guest.session).read_first_boot()
    assert (status.planned, status.finished, status.succeeded) == (True, True, False)
    assert [(one.name, one.state, one.exit_code, one.attempts) for one in status.scripts] == [
        ("2000-drivers", ScriptState.DONE, 0, 1),
        ("5000-tools", ScriptState.GIVEN_UP, 249, 5),
    ]
    assert status.log.startswith("a\n")
    assert "\x1b" not in status.log


def test_a_windows_without_anything_of_a_first_boot() -> None:
    """To call that a success would hide that the wrong disk was given."""
    guest = guest_with({"/Windows/explorer.exe": b""})
    with pytest.raises(ConversionError, match="has nothing of a first boot") as caught:
        operating_system_of(guest.session).read_first_boot()
    assert "--root" in (caught.value.hint or "")
