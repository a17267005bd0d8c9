# SPDX-License-Identifier: GPL-2.0-or-later
"""Have the guest install the QEMU guest agent, and the service that reports its memory, at its first boot."""

from __future__ import annotations

from v2v_convert_guestfs.windows.drivers.plan import DriversPlan
from v2v_convert_guestfs.windows.firstboot.plan import AGENT
from v2v_convert_guestfs.windows.guest import WindowsGuest

#: What the installer is called in the guest, whatever its name was.
INSTALLER = "qemu-ga.msi"

# The agent listens at a port of the virtio serial driver. That has a device as soon as its Enum has a value "0".
# Windows Installer ends with 3010 or 1641 if a restart is needed, with 1638 if another version of the product is there,
# and with 1618 as long as another installation runs: it is waited for, ten minutes, and again after a restart.
# "ping" is the only program to sleep with that every Windows has.
_AGENT = rf"""setlocal
set "tries=0"
:driver
reg query "HKLM\SYSTEM\CurrentControlSet\Services\VirtioSerial\Enum" /v 0 >nul 2>&1
if not errorlevel 1 goto ready
set /a tries+=1
if %tries% geq 12 goto no_driver
ping -n 11 127.0.0.1 >nul
goto driver
:no_driver
echo the driver of the virtio serial port has no device yet: the agent is installed all the same
:ready
set "tries=0"
:install
msiexec /i "%V2V%\{INSTALLER}" /qn /norestart /l*v "%V2V%\qemu-ga.log"
set "code=%errorlevel%"
echo msiexec ended with %code%
if "%code%"=="0" exit 250
if "%code%"=="1638" exit 250
if "%code%"=="3010" exit 0
if "%code%"=="1641" exit 0
if not "%code%"=="1618" exit %code%
set /a tries+=1
if %tries% geq 20 exit 249
ping -n 31 127.0.0.1 >nul
goto install
"""

_BALLOON = r""""%SystemRoot%\Drivers\VirtIO\{name}" -i
set "code=%errorlevel%"
echo {name} ended with %code%
if "%code%"=="0" exit 250
exit %code%
"""


def change(guest: WindowsGuest, drivers: DriversPlan) -> None:
    """Add the scripts and the installer, if virtio-win has them for this guest."""
    if drivers.agent_msi is not None:
        guest.first_boot.add_file(INSTALLER, drivers.agent_msi[1])
        guest.first_boot.add(AGENT, "guest-agent", _AGENT, why="installs the QEMU guest agent")
    if drivers.balloon_service is not None:
        body = _BALLOON.format(name=drivers.balloon_service[0])
        guest.first_boot.add(AGENT, "balloon-service", body, why="starts the service that reports the guest's memory")
