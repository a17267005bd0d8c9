# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that installs the guest agent, run in Wine with recording stand-ins."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.windows import guest_agent
from v2v_convert_guestfs.windows.drivers.plan import DriversPlan
from v2v_core.api import Bus
from windows_first_boot.wine import Answer, SimulatedWindows
from windows_guest import windows_guest

pytestmark = pytest.mark.slow

INSTALL = r'/i "C:\v2v\files\qemu-ga.msi" /qn /norestart /l*v "C:\v2v\files\qemu-ga.log"'


def scripts() -> dict[str, str]:
    guest = windows_guest()
    plan = DriversPlan(
        block_bus=Bus.VIRTIO_BLK,
        net_model="virtio",
        machine="q35",
        agent_msi=("qemu-ga-x86_64.msi", b"MSI"),
        balloon_service=("blnsvr.exe", b"MZ"),
    )
    guest_agent.change(guest, plan)
    assert guest.first_boot.files == {"qemu-ga.msi": b"MSI"}
    return {script.name: script.body for script in guest.first_boot.scripts}


def test_what_the_installer_ends_with(windows: SimulatedWindows) -> None:
    """A busy Windows Installer is waited for, twenty times, and then again after a restart."""
    body = f"@echo off\n{scripts()['guest-agent']}"
    for program in ("reg", "ping"):
        windows.stand_in(program)
    calls = 0
    for code, verdict, tries in ((0, 250, 1), (1638, 250, 1), (3010, 0, 1), (1603, 1603 & 0xFF, 1), (1618, 249, 20)):
        windows.stand_in("msiexec", Answer(code=code))
        assert windows.run_batch(body, {"qemu-ga.msi": b"MSI"}).code == verdict
        calls += tries
        assert windows.calls("msiexec") == [INSTALL] * calls
    assert windows.calls("ping") == ["-n 31 127.0.0.1"] * 19


def test_a_driver_that_does_not_come(windows: SimulatedWindows) -> None:
    windows.stand_in("reg", Answer(code=1))
    for program in ("ping", "msiexec"):
        windows.stand_in(program)
    ran = windows.run_batch(f"@echo off\n{scripts()['guest-agent']}", {"qemu-ga.msi": b"MSI"})
    assert ran.code == 250
    assert "no device yet" in ran.output
    assert windows.calls("ping") == ["-n 11 127.0.0.1"] * 11
    assert windows.calls("msiexec") == [INSTALL]


@pytest.mark.parametrize(("code", "verdict"), [(0, 250), (5, 5)])
def test_the_balloon_service(windows: SimulatedWindows, code: int, verdict: int) -> None:
    windows.stand_in("blnsvr", Answer(code=code))
    program = windows.path("/windows/system32/blnsvr.exe").read_bytes()
    windows.put({"/windows/Drivers/VirtIO/blnsvr.exe": program})
    assert windows.run_batch(f"@echo off\n{scripts()['balloon-service']}").code == verdict
    assert windows.calls("blnsvr") == ["-i"]
