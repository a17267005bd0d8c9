# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine files in the guest: the driver, its INF and catalogue, the files of the first boot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.windows.access_rights import other_writers
from v2v_convert_guestfs.windows.examine.expected import BootDriver, WrittenFile
from v2v_convert_guestfs.windows.examine.verdicts import UnknownError, fact
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Fact

#: Bytes of a driver in which its header is, and of an INF that is looked at.
_HEADER, _INF_LIMIT = 4096, 4 * 1024 * 1024
_MACHINES = {0x14C: "x86", 0x8664: "x64", 0xAA64: "ARM64", 0x200: "Itanium", 0x1C4: "ARM"}


def driver_facts(guest: WindowsGuest, driver: BootDriver) -> Iterator[Fact]:
    """Yield whether the driver's file is there as it was at its source, and for the guest's machine."""
    name = driver.path.rpartition("/")[2]
    yield fact(f"the file of the driver {name} is there, for the machine of the guest", lambda: _driver(guest, driver))
    if driver.catalogue is not None:
        catalogue = driver.catalogue
        yield fact(f"the catalogue of the driver {driver.service} is there", lambda: _there(guest, [catalogue]))


def written_facts(guest: WindowsGuest, files: Sequence[WrittenFile]) -> Iterator[Fact]:
    """Yield whether the drivers' files are there as they were at their source, the INFs in facts of their own."""
    infs = [file for file in files if file.path.lower().endswith(".inf")]
    for inf in infs:
        yield fact(f"the INF {inf.path} is as it was at its source", partial(_same, guest, inf))
    others = [file for file in files if file not in infs]
    if others:
        yield fact(
            f"the {len(others)} other files of the drivers are as they were at their source",
            lambda: (line for file in others for line in _same(guest, file)),
        )


def first_boot_facts(guest: WindowsGuest, files: Sequence[str]) -> Iterator[Fact]:
    """Yield whether the files of the first boot are there, and that no user of the guest can change what they do."""
    yield fact("the files of the first boot are there", lambda: _there(guest, files))
    directories = sorted({path.rpartition("/")[0] for path in files})
    yield fact(
        "only administrators and the system can change the files of the first boot",
        lambda: _open_to_others(guest, [*directories, *files]),
    )


def _driver(guest: WindowsGuest, driver: BootDriver) -> Iterator[str]:
    start = guest.files.read_start(driver.path, _HEADER)
    if start is None:
        if guest.files.find(driver.path) is None or driver.sha256:
            yield f"{driver.path} is missing or cannot be read"
            return
        raise UnknownError(f"{driver.path} cannot be read in the appliance")
    machine = machine_of(start)
    if machine is None:
        yield f"{driver.path} is no program"
    elif machine != driver.machine:
        yield f"{driver.path} is for {_named(machine)}, and the guest is {_named(driver.machine)}"
    if driver.sha256 and _sha256(guest, driver.path) != driver.sha256:
        yield f"{driver.path} ({guest.files.size(driver.path)} bytes) differs from its source"


def machine_of(start: bytes) -> int | None:
    """Return the machine type of a program (PE) by its beginning, or None if it is none."""
    if start[:2] != b"MZ" or len(start) < 64:
        return None
    place = int.from_bytes(start[60:64], "little")
    header = start[place : place + 6]
    return int.from_bytes(header[4:], "little") if header[:4] == b"PE\0\0" and len(header) == 6 else None


def _named(machine: int) -> str:
    return _MACHINES.get(machine, f"of the machine type {machine:#x}")


def _same(guest: WindowsGuest, file: WrittenFile) -> Iterator[str]:
    """Yield how a file differs from its source."""
    found = _sha256(guest, file.path)
    if found is None:
        yield f"{file.path} is missing or cannot be read"
    elif found != hashlib.sha256(file.content).hexdigest():
        size = guest.files.size(file.path)
        how = f"has {size} bytes in place of {len(file.content)}" if size != len(file.content) else "has other bytes"
        data = guest.files.read(file.path, limit=_INF_LIMIT) if file.path.lower().endswith(".inf") else None
        if data is not None and data.replace(b"\r", b"") == file.content.replace(b"\r", b""):
            how = "has other line ends (LF for CRLF)"
        yield f"{file.path} {how}"


def _there(guest: WindowsGuest, files: Sequence[str]) -> Iterator[str]:
    for path in files:
        size = guest.files.size(path)
        if not size:
            yield f"{path} is {'missing' if size is None else 'empty'}"


def _open_to_others(guest: WindowsGuest, paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        found = guest.files.find(path)
        if found is None:
            continue
        try:
            writers = other_writers(bytes(guest.session.handle.getxattr(found, "system.ntfs_acl")))
        except RuntimeError as err:
            raise UnknownError(f"the access rights of {path} cannot be read: {brief(err)}") from err
        if writers:
            yield f"{path} can be changed by {', '.join(writers)}"


def _sha256(guest: WindowsGuest, path: str) -> str | None:
    found = guest.files.find(path)
    if found is None or not guest.files.is_file(found):
        return None
    try:
        return str(guest.session.handle.checksum("sha256", found))
    except RuntimeError as err:
        guest.session.report.debug(f"{path} in the guest: {brief(err)}")
        return None
