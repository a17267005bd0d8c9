# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that uninstalls tools at first boot, and says how it went.

Paths come from the guest's registry: what goes into the script was checked to have no character that ends a quotation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.windows.tools_removal.installed import Installed
from v2v_convert_guestfs.windows.tools_removal.products import Product

_PENDING = (
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
)
_RUN = (
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run",
    r"HKLM\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Run",
)


def name_of(product: Product) -> str:
    """Return the name of the script."""
    return "remove-" + re.sub(r"[^a-z0-9]+", "-", product.title.lower())


def body_of(product: Product, installed: Sequence[Installed]) -> str:
    """Return the script: uninstall all of them; where that fails, remove what does harm. The exit code says it."""
    lines = []
    for key in _PENDING:
        lines += [f'reg query "{key}" >nul 2>&1', "if not errorlevel 1 exit 249"]
    lines += ["set failed=0", "set restart=0"]
    for number, each in enumerate(installed, 1):
        lines += _uninstall(each, number, name_of(product))
    if _leftovers(product, installed):
        lines += ['if "%failed%"=="0" goto finish', *_leftovers(product, installed)]
    lines += [
        ":finish",
        'if not "%failed%"=="0" exit 1',
        'if "%restart%"=="1" exit 0',
        "exit 250",
    ]
    return "\n".join(lines) + "\n"


def _uninstall(each: Installed, number: int, name: str) -> list[str]:
    what = re.sub(r"[^\w .,()\-]", " ", each.name, flags=re.ASCII)
    return [
        f'echo Uninstalling "{what}"',
        _command(each, f"{name}-{number}.log"),
        "set code=%errorlevel%",
        "echo It ended with %code%",
        # Another installation is running.
        'if "%code%"=="1618" exit 249',
        'if "%code%"=="3010" set restart=1',
        'if "%code%"=="1641" set restart=1',
        # 1605: it is not installed any more.
        *(f'if "%code%"=="{good}" goto after{number}' for good in (0, 1605, 3010, 1641)),
        "set failed=%code%",
        f":after{number}",
    ]


def _command(each: Installed, log: str) -> str:
    if each.product_code is not None:
        options = " ".join(("REBOOT=ReallySuppress", "REMOVE=ALL", *each.product.msi_options))
        return f'msiexec /x{each.product_code} /qn /norestart /l*v "%V2V%\\{log}" {options}'
    program = each.program or ""
    return f'"{program if each.expand else program.replace("%", "%%")}" {each.options}'.rstrip()


def _leftovers(product: Product, installed: Sequence[Installed]) -> list[str]:
    """Return the commands that remove what does harm or fails at every start, if uninstalling has failed."""
    if not product.directories:
        return []
    lines = ["echo Uninstalling failed. Its services and files are removed, its entry in the list of programs is left"]
    lines += [f'sc delete "{service}" >nul 2>&1' for service in (*product.services, *product.leftover_services)]
    lines += [f'reg delete "{key}" /v "{value}" /f >nul 2>&1' for key in _RUN for value in product.run_values]
    lines += [f'reg delete "{key}" /f >nul 2>&1' for key in product.keys]
    lines += [f'rmdir /s /q "{directory}" >nul 2>&1' for directory in product.directories]
    return lines
