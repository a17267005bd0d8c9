# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the first boot into the guest: its service, the scripts, and the files that they use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from v2v_convert_guestfs.windows.firstboot import layout as names
from v2v_convert_guestfs.windows.firstboot.layout import SERVICE, Layout, new_layout
from v2v_convert_guestfs.windows.firstboot.plan import Script
from v2v_convert_guestfs.windows.firstboot.program import find_program
from v2v_convert_guestfs.windows.firstboot.status import new_status
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import Value, dword, expand_sz, sz

_WHY = "the service that runs the scripts of the first boot"
_MACHINERY = Path(__file__).with_name("firstboot.bat")

#: Names go into paths and lines of batch files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")

#: SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL
_OWN_PROCESS, _AUTO_START, _ERROR_NORMAL = 0x10, 2, 1

#: Where virt-v2v puts its own first boot, and the file that says that it has ended.
_UPSTREAM_SERVICE, _UPSTREAM_END = "firstboot", "/Program Files/Guestfs/Firstboot/complete"


@dataclass(frozen=True, kw_only=True)
class InstalledFirstBoot:
    """The first boot as it was written into the guest.

    :param service: the name of the service. :param image_path: of the service, with its arguments.
    :param command: what the service runs. :param directory: a path of the appliance, as the files are.
    :param program: of the service. :param files: all files, the program among them.
    """

    service: str
    image_path: str
    command: str
    directory: str
    program: str
    files: tuple[str, ...]


def install(guest: WindowsGuest) -> InstalledFirstBoot | None:
    """Write the scripts and files of ``guest.first_boot``, and stage the service. Without a script, do nothing.

    What an earlier conversion wrote is replaced.

    :raises ConversionError: a file cannot be written, or this installation of v2v is not whole.
    """
    scripts = _named(guest.first_boot.scripts)
    if not scripts:
        return None
    _warn_of_upstream(guest)
    program = find_program(guest.system.arch, guest.session.report)
    place = new_layout(guest.files, guest.system.systemroot)
    guest.files.remove(place.directory, why="the first boot of an earlier conversion")
    contents: dict[str, tuple[bytes | Path, str]] = {
        place.path("v2v-firstboot.exe" if program.name.startswith("v2v_") else program.name): (program, _WHY),
        place.path(names.BATCH): (_crlf(_MACHINERY.read_text(encoding="ascii")), _WHY),
        place.path(names.STATUS): (new_status(tuple(scripts)), "what is to be done at the first boot"),
        place.path(names.FIRST_STATUS): (new_status(tuple(scripts)), "what is to be done at the first boot"),
        **{place.script(name): (_crlf(f"@echo off\n{script.body}"), script.why) for name, script in scripts.items()},
        **{
            place.file(name): (content, "scripts of the first boot use it")
            for name, content in guest.first_boot.files.items()
        },
    }
    for path, (content, why) in contents.items():
        guest.files.create(path, content, why=why, private=True)
    installed = _installed(guest, place, tuple(contents))
    for control_set in guest.system.control_sets:
        _stage(guest, control_set, installed, _windows_path(guest, place.directory))
    return installed


def _named(scripts: list[Script]) -> dict[str, Script]:
    """Return the scripts in the order in which they run, each with a name of its own.

    :raises ValueError: a name cannot be one of a file. That is an error of the program, not of the guest.
    """
    named: dict[str, Script] = {}
    for script in sorted(scripts, key=lambda script: script.order):
        if not _NAME.fullmatch(script.name):
            raise ValueError(f"{script.name!r} is not a name for a script of the first boot")
        name, number = script.name, 1
        while name.lower() in {taken.lower() for taken in named}:
            number += 1
            name = f"{script.name}-{number}"
        named[name] = script
    return named


def _installed(guest: WindowsGuest, place: Layout, files: tuple[str, ...]) -> InstalledFirstBoot:
    program, batch = files[:2]
    return InstalledFirstBoot(
        service=SERVICE,
        # "-s NAME" is how rhsrvany.exe and pvvxsvc.exe know which service they are
        image_path=f'"{_windows_path(guest, program)}" -s {SERVICE}',
        command=f'cmd /c "{_windows_path(guest, batch)}"',
        directory=place.directory,
        program=program,
        files=files,
    )


def _stage(guest: WindowsGuest, control_set: str, installed: InstalledFirstBoot, directory: str) -> None:
    """Stage the service in a control set. Values of an earlier service, such as a mark of its deletion, go."""
    key = rf"{control_set}\Services\{SERVICE}"
    wanted: dict[str, dict[str, Value]] = {
        key: {
            "Type": dword(_OWN_PROCESS),
            "Start": dword(_AUTO_START),
            "ErrorControl": dword(_ERROR_NORMAL),
            "ImagePath": expand_sz(installed.image_path),
            "DisplayName": sz("v2v first boot"),
            "Description": sz("Finishes the move of this computer to its new host, and removes itself."),
            "ObjectName": sz("LocalSystem"),
        },
        rf"{key}\Parameters": {"CommandLine": sz(installed.command), "PWD": sz(directory)},
    }
    for path, values in wanted.items():
        old = guest.registry.key(HiveName.SYSTEM, path)
        known = {name.lower() for name in values}
        for name in old.values() if old is not None else ():
            if name.lower() not in known:
                guest.registry.delete_value(HiveName.SYSTEM, path, name, why=_WHY)
        for name, value in values.items():
            guest.registry.set(HiveName.SYSTEM, path, name, value, why=_WHY)


def _windows_path(guest: WindowsGuest, path: str) -> str:
    """Return a path of the appliance as one of Windows, with the letter that Windows has for its system's disk."""
    version = guest.registry.key(HiveName.SOFTWARE, r"Microsoft\Windows NT\CurrentVersion")
    value = None if version is None else version.value("SystemRoot")
    letter = re.match(r"[A-Za-z]:(?=\\)", (value.text or "") if value is not None else "")
    return (letter.group() if letter else "C:") + path.replace("/", "\\")


def _warn_of_upstream(guest: WindowsGuest) -> None:
    key = rf"{guest.system.default}\Services\{_UPSTREAM_SERVICE}"
    if guest.registry.key(HiveName.SYSTEM, key) is not None and not guest.files.is_file(_UPSTREAM_END):
        guest.session.report.warning(
            "the guest was converted by virt-v2v before, and the scripts of its first boot have not ended: "
            "they run beside those of this conversion"
        )


def _crlf(text: str) -> bytes:
    return "".join(f"{line}\r\n" for line in text.splitlines()).encode()
