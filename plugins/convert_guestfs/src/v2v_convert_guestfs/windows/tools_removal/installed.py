# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tools are in the guest's list of installed programs, and how each is uninstalled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import Type
from v2v_convert_guestfs.windows.tools_removal.products import PRODUCTS, Product
from v2v_core.api import visible

#: 64-bit programs, and 32-bit programs on 64-bit Windows.
_VIEWS = tuple(f"{view}Microsoft\\Windows\\CurrentVersion\\Uninstall" for view in ("", "WOW6432Node\\"))
_GUID = re.compile(r"\{[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\}", re.IGNORECASE)
_PROGRAM = re.compile(r' *(?:"(?P<quoted>[^"]+)"|(?P<plain>.+?\.exe)(?= |$)) *(?P<options>.*)', re.IGNORECASE)
_OPTIONS = re.compile(r"[\w ./:=,\-]*", re.ASCII)
#: Where a program of an uninstallation may be, for what goes into a batch script.
_PATH = re.compile(r'(?:[A-Z]:|%[\w()]+%)\\[^"<>|?*\x00-\x1f\x7f]{1,240}\.exe', re.IGNORECASE)
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Tools that are installed.

    :param name: as the guest shows it. :param product_code: of an MSI; None if it is none.
    :param program: the uninstaller of others, and :param options: its options. None if it has none that can be run.
    :param expand: the path of the program has environment variables.
    """

    product: Product
    name: str
    product_code: str | None = None
    program: str | None = None
    options: str = ""
    expand: bool = False


def look(guest: WindowsGuest) -> tuple[Installed, ...]:
    """Return the tools in the guest's list of installed programs, each once."""
    found: dict[tuple[str, str], Installed] = {}
    for view in _VIEWS:
        key = guest.registry.key(HiveName.SOFTWARE, view)
        for each in _of(key.keys() if key is not None else ()):
            found.setdefault((each.name.lower(), (each.product_code or each.program or "").lower()), each)
    return tuple(found.values())


def _of(keys: tuple[Key, ...]) -> Iterator[Installed]:
    for key in keys:
        name = _text(key, "DisplayName") or key.name
        publisher = _text(key, "Publisher")
        for product in PRODUCTS:
            if product.display.search(name) and (not publisher or product.publisher.search(publisher)):
                yield _installed(key, product, visible(name)[:_LONGEST_NAME])
                break


def _installed(key: Key, product: Product, name: str) -> Installed:
    command = _text(key, "QuietUninstallString") or _text(key, "UninstallString")
    code = _GUID.fullmatch(key.name)
    installer = key.value("WindowsInstaller")
    if code is None and re.match(r'\s*"?(?:[^"]*\\)?msiexec', command, re.IGNORECASE):
        code = _GUID.search(command)
    elif code is not None and (installer is None or not installer.number) and "msiexec" not in command.lower():
        code = None
    if code is not None:
        return Installed(product=product, name=name, product_code=code[0].upper())
    match = _PROGRAM.fullmatch(command)
    program = (match["quoted"] or match["plain"]).strip() if match else ""
    if match is None or not _PATH.fullmatch(program) or not _OPTIONS.fullmatch(match["options"]):
        return Installed(product=product, name=name)
    if program.lower().endswith("\\uninst.exe") and "red hat" in name.lower():
        # What it shows is only for users; this one does the work, and can be run without a desktop.
        program = f"{program[: -len('uninst.exe')]}_uninst.exe"
    return Installed(
        product=product, name=name, program=program, options=_silent(product, match["options"]), expand=_expands(key)
    )


def _silent(product: Product, options: str) -> str:
    words = options.split()
    if product.silent and product.silent.lower() not in {word.lower() for word in words}:
        words.append(product.silent)
    return " ".join(words)


def _expands(key: Key) -> bool:
    value = key.value("QuietUninstallString") or key.value("UninstallString")
    return value is not None and value.type == Type.EXPAND_SZ


def _text(key: Key, name: str) -> str:
    value = key.value(name)
    return (value.text or "").strip() if value is not None else ""
