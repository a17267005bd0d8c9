# SPDX-License-Identifier: GPL-2.0-or-later
r"""The service of a driver that starts with Windows (``Services`` of every control set that can start).

Windows starts a driver at boot if its Start is 0 and no value of its key ``StartOverride`` says otherwise. It writes
that key for the drivers of storage that the machine does not have.
"""

from __future__ import annotations

import hashlib

from v2v_convert_guestfs.windows.drivers.plan import BootDriver, Edits
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import dword, expand_sz, sz
from v2v_convert_guestfs.windows.virtio_win.programs import MACHINES, NATIVE, read_program

#: Bytes. The largest drivers of Windows have some 3 MiB.
LARGEST_DRIVER = 64 * 1024 * 1024


def service_keys(guest: WindowsGuest, name: str) -> dict[str, Key]:
    """Return the keys of a service in the control sets that have it, by their paths."""
    found = {}
    for control_set in guest.system.control_sets:
        path = rf"{control_set}\Services\{name}"
        if (key := guest.registry.key(HiveName.SYSTEM, path)) is not None:
            found[path] = key
    return found


def driver_path(guest: WindowsGuest, name: str) -> str:
    """Return where a driver is in the guest, as it is spelt there."""
    path = f"{guest.system.systemroot}/System32/drivers/{name}"
    return guest.files.find(path) or path


def enable(edits: Edits, guest: WindowsGuest, name: str, why: str) -> None:
    """Let a driver that Windows has start at boot, in every control set that has it."""
    for path, key in service_keys(guest, name).items():
        if _number(key, "Start") != 0:
            edits.set(path, "Start", dword(0), why=why)
        remove_override(edits, path, key, why)


def enable_own(edits: Edits, guest: WindowsGuest, driver: BootDriver, why: str) -> None:
    """Let a driver of the guest (``own_driver``) start at boot, from the same file in every control set."""
    enable(edits, guest, driver.service, why)
    for path, key in service_keys(guest, driver.service).items():
        if _number(key, "Type") != 1:
            edits.set(path, "Type", dword(1), why=why)
        if _text(key, "ImagePath").lower() != driver.image_path.lower():
            edits.set(path, "ImagePath", expand_sz(driver.image_path), why=why)
        if driver.group and _text(key, "Group").lower() != driver.group.lower():
            edits.set(path, "Group", sz(driver.group), why=why)


def remove_override(edits: Edits, path: str, key: Key | None, why: str) -> None:
    """Remove what keeps a driver from starting at boot although its Start is 0."""
    override = key.key("StartOverride") if key is not None else None
    if override is not None:
        edits.delete_key(rf"{path}\StartOverride", why=why)


def own_driver(guest: WindowsGuest, name: str) -> BootDriver | None:
    """Return a driver that the guest has itself: service in every control set, and file; None otherwise.

    A file that the appliance cannot read is believed in: it may be compressed as only Windows does it (CompactOS).
    """
    keys = service_keys(guest, name)
    if len(keys) < len(guest.system.control_sets):
        return None
    image = _image_path(next(iter(keys.values())), name)
    path = _path_of(guest, image)
    if path is None or not guest.files.is_file(path):
        return None
    data = guest.files.read(path, limit=LARGEST_DRIVER) or b""
    program = read_program(data)
    machine = MACHINES.get(guest.system.arch, 0)
    if program is not None and (program.machine != machine or not program.complete or program.subsystem != NATIVE):
        return None
    return BootDriver(
        service=name,
        path=path,
        image_path=image,
        group=_text(next(iter(keys.values())), "Group"),
        sha256=hashlib.sha256(data).hexdigest() if program is not None else "",
        machine=machine,
        own=True,
    )


def _path_of(guest: WindowsGuest, image: str) -> str | None:
    r"""Return the path in the guest of a driver by its ImagePath, such as ``System32\…`` or ``\SystemRoot\…``.

    Paths that are not in the directory of Windows are not followed.
    """
    parts = [part for part in image.replace("/", "\\").split("\\") if part]
    root = [part for part in guest.system.systemroot.split("/") if part]
    if parts and parts[0].lower() in {"systemroot", "%systemroot%"}:
        parts = parts[1:]
    elif parts and parts[0] == "??":
        below = [part.lower() for part in parts[2 : 2 + len(root)]]
        parts = parts[2 + len(root) :] if below == [part.lower() for part in root] else []
    if not parts or {".", ".."} & set(parts):
        return None
    return guest.files.find("/".join((guest.system.systemroot, *parts)))


def _image_path(key: Key, name: str) -> str:
    # A driver without a path is the file of its name.
    return _text(key, "ImagePath") or rf"System32\drivers\{name}.sys"


def _text(key: Key, name: str) -> str:
    value = key.value(name)
    return (value.text if value is not None else None) or ""


def _number(key: Key, name: str) -> int | None:
    value = key.value(name)
    return value.number if value is not None else None
