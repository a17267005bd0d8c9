# SPDX-License-Identifier: GPL-2.0-or-later
"""The script of the first boot that installs the drivers which Windows did not install by itself."""

from __future__ import annotations

from collections.abc import Sequence

_PENDING = (
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
)


def script(infs: Sequence[str], *, add_driver: bool, wide: bool) -> str:
    r"""Return the script.

    ``pnputil`` ends with 0 or 259 (there is no device that needs the driver, or it has a better one) if it is done,
    and with 3010 or 1641 if the driver works after a restart. What else fails will fail again: the script does not try
    it anew, but says so in its log. Only while Windows itself waits for a restart is it run again, after that restart.

    :param infs: names of the INFs in ``%SystemRoot%\Drivers\VirtIO``.
    :param wide: a 64-bit Windows, whose 32-bit programs see another part of the registry.
    :param add_driver: Windows 10 and later have options that name what they do; older ones have letters.
    """
    words = '/add-driver "%~1" /install' if add_driver else '-i -a "%~1"'
    # A 32-bit service sees the 64-bit programs only as Sysnative. Not every cmd knows && (that of Wine does not).
    view = " /reg:64" if wide else ""
    lines = [
        "@echo off",
        "setlocal",
        'set "restart=0"',
        'set "failed=0"',
        *(
            line
            for key in _PENDING
            for line in (f'reg query "{key}"{view} >nul 2>&1', "if not errorlevel 1 goto pending")
        ),
        r'set "pnputil=%SystemRoot%\Sysnative\pnputil.exe"',
        r'if not exist "%pnputil%" set "pnputil=%SystemRoot%\System32\pnputil.exe"',
        'if not exist "%pnputil%" goto missing',
        r'cd /d "%SystemRoot%\Drivers\VirtIO"',
        *(f"call :install {inf}" for inf in infs),
        'if "%restart%"=="1" exit 0',
        'if "%failed%"=="1" exit 1',
        "exit 250",
        "",
        ":install",
        f'"%pnputil%" {words}',
        'set "code=%errorlevel%"',
        "echo %~1: pnputil ended with %code%",
        'if "%code%"=="0" goto :eof',
        'if "%code%"=="259" goto :eof',
        'if "%code%"=="3010" goto restart',
        'if "%code%"=="1641" goto restart',
        'set "failed=1"',
        "goto :eof",
        "",
        ":restart",
        'set "restart=1"',
        "goto :eof",
        "",
        ":pending",
        "echo Windows waits for a restart, which comes first",
        "exit 249",
        "",
        ":missing",
        "echo This Windows has no pnputil, it installs the drivers by itself from its DevicePath",
        "exit 250",
    ]
    return "\n".join(lines) + "\n"
