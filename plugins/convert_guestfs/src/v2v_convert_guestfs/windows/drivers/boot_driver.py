# SPDX-License-Identifier: GPL-2.0-or-later
"""Install the driver of the boot disk's bus as Windows itself would have done: files, service, and database of devices.

Every other driver can wait for the first boot. This one cannot: without it there is none.
"""

from __future__ import annotations

import hashlib

from v2v_convert_guestfs.windows.drivers import critical_devices, driver_database
from v2v_convert_guestfs.windows.drivers.plan import BootDriver, Edits, GuestFile
from v2v_convert_guestfs.windows.drivers.services import driver_path, remove_override, service_keys
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.values import Value, binary, dword, expand_sz, multi_sz, sz
from v2v_convert_guestfs.windows.virtio_win.inf import Line, Service, number
from v2v_convert_guestfs.windows.virtio_win.packages import DriverPackage
from v2v_convert_guestfs.windows.virtio_win.programs import read_program

WHY = "the guest boots from a virtio disk"
#: The ids that every virtio device of the bus has besides those of the INF, old (0.9) and new (1.0).
_GENERAL = {
    "viostor": (r"PCI\VEN_1AF4&DEV_1001&REV_00", r"PCI\VEN_1AF4&DEV_1042&REV_01"),
    "vioscsi": (r"PCI\VEN_1AF4&DEV_1004&REV_00", r"PCI\VEN_1AF4&DEV_1048&REV_01"),
}
#: The catalogues that Windows knows of are in this directory.
_CATROOT = "System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}"
_GROUP = "SCSI miniport"
#: SCSI adapters have a type of their bus; that of virtio's drivers is SAS.
_BUS_TYPE = 10


def install(guest: WindowsGuest, package: DriverPackage, edits: Edits) -> tuple[BootDriver, list[GuestFile]]:
    """Return the driver as the guest will have it, and its files; add its edits.

    :param package: has a program that was checked.
    """
    binary_name = package.binary()
    if binary_name is None:
        raise ValueError(f"{package.inf_name} has no program")
    data = package.files[binary_name]
    program = read_program(data)
    machine = program.machine if program is not None else 0
    name = binary_name.removesuffix(".sys")
    service = next((s for s in package.installation.services if s.binary.lower() == binary_name), None)
    ids = _ids(package)
    path = driver_path(guest, binary_name)
    files = [GuestFile(path, data, WHY)]
    inf = key = None
    catalogue = package.catalogue(guest.system.arch)
    catalogue_name = catalogue
    if guest.system.driver_database:
        store = driver_database.add(guest, package, service.name if service is not None else name, ids, edits)
        inf, key = store.inf, store.package
        files += [GuestFile(path, content, WHY) for path, content in store.files.items()]
        catalogue_name = inf.replace(".inf", ".cat")
    else:
        critical_devices.add(guest, service.name if service is not None else name, ids, edits)
    catalogue_path = None
    if catalogue is not None:
        catalogue_path = f"{guest.system.systemroot}/{_CATROOT}/{catalogue_name}"
        files.append(
            GuestFile(catalogue_path, package.files[catalogue], "the catalogue of the driver that Windows boots with")
        )
    image_path = rf"System32\drivers\{binary_name}"
    group = (service.group if service is not None else "") or _GROUP
    driver = BootDriver(
        service=service.name if service is not None else name,
        path=path,
        image_path=image_path,
        group=group,
        sha256=hashlib.sha256(data).hexdigest(),
        machine=machine,
        ids=ids,
        inf=inf,
        package=key,
        catalogue=catalogue_path,
    )
    _add_service(guest, package, driver, service, edits)
    return driver, files


def _ids(package: DriverPackage) -> tuple[str, ...]:
    """Return the devices of the driver: those of its INF, and the general ids of the same devices."""
    stated = [name for name in package.installation.ids if name.startswith("PCI\\")]
    general = [
        name for name in _GENERAL.get(package.name, ()) if any(s.startswith(name.rsplit("&", 1)[0]) for s in stated)
    ]
    return tuple(dict.fromkeys((*stated, *general)))


def _add_service(
    guest: WindowsGuest, package: DriverPackage, driver: BootDriver, service: Service | None, edits: Edits
) -> None:
    existing = service_keys(guest, driver.service)
    values = {
        "Type": dword(1),
        "Start": dword(0),
        "Group": sz(driver.group),
        "ErrorControl": dword(service.error_control if service is not None else 1),
        "ImagePath": expand_sz(driver.image_path),
    }
    if service is not None and service.display:
        values["DisplayName"] = sz(_display_name(package, driver, service))
    for control_set in guest.system.control_sets:
        path = rf"{control_set}\Services\{driver.service}"
        key = existing.get(path)
        for name, value in values.items():
            edits.set(path, name, value, why=WHY)
        if driver.inf is not None:
            owners = key.value("Owners") if key is not None else None
            before = (owners.texts if owners is not None else None) or ()
            edits.set(path, "Owners", multi_sz(*dict.fromkeys((*before, driver.inf))), why=WHY)
        for below, name, value in parameters(package, service):
            edits.set(f"{path}\\{below}" if below else path, name, value, why=WHY)
        remove_override(edits, path, key, WHY)


def _display_name(package: DriverPackage, driver: BootDriver, service: Service) -> str:
    text = package.inf.replaced(service.display)
    # Windows 8 and later keep the name as a reference to the INF, with the text beside it.
    return f"@{driver.inf},{service.display};{text}" if driver.inf is not None and text != service.display else text


def parameters(package: DriverPackage, service: Service | None) -> list[tuple[str, str, Value]]:
    """Return the values that the INF puts below the service: key, name, value; at least those that storage needs."""
    found = {
        ("Parameters", "BusType"): dword(_BUS_TYPE),
        # Windows sets it for drivers of PCI devices (interface type 5) that Plug and Play starts.
        (r"Parameters\PnpInterface", "5"): dword(1),
    }
    for line in service.registry if service is not None else ():
        value = _value(package, line)
        if line.get(0).upper() == "HKR" and value is not None and ".." not in line.get(1):
            found[package.inf.replaced(line.get(1)).strip("\\"), package.inf.replaced(line.get(2))] = value
    return [(key, name, value) for (key, name), value in found.items()]


def _value(package: DriverPackage, line: Line) -> Value | None:
    """Return the value that a line of an AddReg section sets; None if it sets none, or one of a rare type."""
    flags = number(line.get(3) or "0", 0)
    fields = [package.inf.replaced(text) for text in line.fields[4:]]
    text = fields[0] if fields else ""
    # 0x10 creates a key without a value, 0x4 deletes one.
    if flags & 0x14:
        return None
    kind = flags & 0x00FF0001
    if kind == 0x00010001:
        return dword(number(text, 0))
    if kind == 0x00000001:
        return binary(bytes(number(f"0x{part}", 0) & 0xFF for part in fields if part))
    if kind == 0x00010000:
        return multi_sz(*fields)
    return {0x00000000: sz, 0x00020000: expand_sz}[kind](text) if kind in {0, 0x00020000} and line.get(2) else None
