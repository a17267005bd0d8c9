# SPDX-License-Identifier: GPL-2.0-or-later
r"""The database of drivers of Windows 8 and later: ``DriverDatabase`` of the SYSTEM hive, and the driver store.

What is written is what Windows writes for a driver from outside (``oem5.inf``) that it has installed. So Windows keeps
the driver when it is upgraded, and ``pnputil`` lists and removes it like any other.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from v2v_convert_guestfs.windows.drivers.plan import SCSI_CLASS, Edits
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import Type, Value, binary, dword, multi_sz, sz
from v2v_convert_guestfs.windows.virtio_win.catalogue import Trust, read_catalogue
from v2v_convert_guestfs.windows.virtio_win.inf import ARCHITECTURES, Model
from v2v_convert_guestfs.windows.virtio_win.packages import DriverPackage

_WHY = "Windows finds the driver of the disk that it boots from"
#: PROCESSOR_ARCHITECTURE_*, in the version of a package.
_PROCESSORS = {"i386": 0, "x86_64": 9, "aarch64": 12}
#: How Windows rates who signed a driver: its own hardware programme, any other signature that it trusts.
_SCORES = {Trust.MICROSOFT: 0x0D000005, Trust.CROSS_SIGNED: 0x0F000000}
_UNSIGNED = 0x80000000
#: The package is installed, and Windows may need it to boot.
_STATUS = 0x112
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Stored:
    """A package in the driver store: the name of its INF, its key, and its files by their paths in the guest."""

    inf: str
    package: str
    files: dict[str, bytes]


def add(guest: WindowsGuest, package: DriverPackage, service: str, ids: tuple[str, ...], edits: Edits) -> Stored:
    """Add a driver to the database and to the driver store. One that is there already is written again."""
    key = package_key(package, guest.system.arch)
    database = guest.registry.key(HiveName.SYSTEM, "DriverDatabase")
    inf = _inf_of(database, key) or _free_inf(guest, database)
    _add_inf(package, key, inf, edits)
    _mark_number(database, inf, edits)
    _add_package(guest, package, key, inf, edits)
    _add_devices(package, service, key, inf, ids, edits)
    root = guest.system.systemroot
    stored = [package.inf_name, *(name for name in package.inf.files() if name in package.files)]
    if (catalogue := package.catalogue(guest.system.arch)) is not None:
        stored.append(catalogue)
    files = {f"{root}/System32/DriverStore/FileRepository/{key}/{name}": package.files[name] for name in stored}
    return Stored(inf, key, {**files, f"{root}/INF/{inf}": package.files[package.inf_name]})


def package_key(package: DriverPackage, arch: str) -> str:
    """Return the name of a package: like those of Windows, with 16 digits that depend on the INF."""
    digits = hashlib.sha256(package.files[package.inf_name]).hexdigest()[:16]
    return f"{package.inf_name}_{ARCHITECTURES.get(arch, arch)}_{digits}"


def version_value(package: DriverPackage, arch: str) -> Value:
    """Return the version of a package, as Windows keeps it: processor, class, date and version, 48 bytes."""
    date, version = package.inf.driver_version
    guid = uuid.UUID(package.inf.class_guid or SCSI_CLASS)
    return binary(
        bytes((0, 0xFF, _PROCESSORS.get(arch, 9), 0, 0, 0, 0, 0))
        + guid.bytes_le
        + filetime(date)
        + b"".join(number.to_bytes(2, "little") for number in reversed(_numbers(version)))
        + bytes(8)
    )


def filetime(date: str) -> bytes:
    """Return a date (MM/DD/YYYY) as Windows counts time; zeros for what is no date."""
    try:
        when = datetime.datetime.strptime(date.strip(), "%m/%d/%Y").replace(tzinfo=datetime.UTC)
    except ValueError:
        return bytes(8)
    ticks = (when - _EPOCH) // datetime.timedelta(microseconds=1) * 10
    return max(ticks, 0).to_bytes(8, "little")


def _numbers(version: str) -> list[int]:
    parts = [int(part) for part in re.findall(r"\d{1,5}", version)[:4]]
    return [min(part, 0xFFFF) for part in [*parts, 0, 0, 0, 0][:4]]


def _inf_of(database: Key | None, key: str) -> str | None:
    """Return the INF of a package that is in the database already."""
    known = database.key(rf"DriverPackages\{key}") if database is not None else None
    value = known.value("") if known is not None else None
    text = value.text if value is not None else None
    return text if text is not None and re.fullmatch(r"oem\d{1,5}\.inf", text, re.IGNORECASE) else None


def _free_inf(guest: WindowsGuest, database: Key | None) -> str:
    """Return the first name ``oem….inf`` that neither the database nor the guest's files use."""
    infs = database.key("DriverInfFiles") if database is not None else None
    used = {key.name.lower() for key in infs.keys()} if infs is not None else set()  # noqa: SIM118 - keys of a hive
    directory = guest.files.find(f"{guest.system.systemroot}/INF")
    used |= {name.lower() for name in guest.files.names(directory)} if directory is not None else set()
    taken = set(_taken_numbers(database))
    numbers = range(len(used) + len(taken) + 1)
    return next(f"oem{number}.inf" for number in numbers if f"oem{number}.inf" not in used and number not in taken)


def _number_map(database: Key | None) -> bytes | None:
    value = database.value("OemInfMap") if database is not None else None
    return value.data if value is not None and value.type == Type.BINARY and len(value.data) < 1024 else None


def _taken_numbers(database: Key | None) -> Iterator[int]:
    for place, byte in enumerate(_number_map(database) or b""):
        yield from (place * 8 + bit for bit in range(8) if byte & (0x80 >> bit))


def _mark_number(database: Key | None, inf: str, edits: Edits) -> None:
    """Mark the number of an INF as used, in the map that Windows keeps of them."""
    known = _number_map(database)
    if known is None:
        return
    number = int(re.sub(r"\D", "", inf))
    marked = bytearray(known.ljust(number // 8 + 1, b"\0"))
    marked[number // 8] |= 0x80 >> number % 8
    if bytes(marked) != known:
        edits.set("DriverDatabase", "OemInfMap", binary(bytes(marked)), why=_WHY)


def _add_inf(package: DriverPackage, key: str, inf: str, edits: Edits) -> None:
    path = rf"DriverDatabase\DriverInfFiles\{inf}"
    edits.set(path, "", multi_sz(key), why=_WHY)
    edits.set(path, "Active", sz(key), why=_WHY)
    sections = dict.fromkeys(model.section for model in package.installation.models)
    edits.set(path, "Configurations", multi_sz(*sections), why=_WHY)


def _add_package(guest: WindowsGuest, package: DriverPackage, key: str, inf: str, edits: Edits) -> None:
    path = rf"DriverDatabase\DriverPackages\{key}"
    catalogue = package.catalogue(guest.system.arch)
    signed = read_catalogue(package.files[catalogue]) if catalogue is not None else None
    values = {
        "": sz(inf),
        "Version": version_value(package, guest.system.arch),
        "Provider": sz(package.inf.provider),
        "InfName": sz(package.inf_name),
        "OemPath": sz(r"C:\Windows\Drivers\VirtIO"),
        "SignerScore": dword(_SCORES.get(signed.trust, _UNSIGNED) if signed is not None else _UNSIGNED),
        "StatusFlags": dword(_STATUS),
    }
    if catalogue is not None:
        values["Catalog"] = sz(catalogue)
    if signed is not None and signed.signer:
        values["SignerName"] = sz(signed.signer)
    for name, value in values.items():
        edits.set(path, name, value, why=_WHY)
    used = {text.strip("%").lower() for model in package.installation.models
            for text in (model.manufacturer, model.description) if text.startswith("%")}  # fmt: skip
    for name, text in package.inf.strings().items():
        if name in used:
            edits.set(rf"{path}\Strings", name, sz(text), why=_WHY)


def _add_devices(package: DriverPackage, service: str, key: str, inf: str, ids: tuple[str, ...], edits: Edits) -> None:
    path = rf"DriverDatabase\DriverPackages\{key}"
    for section in dict.fromkeys(model.section for model in package.installation.models):
        configuration = rf"{path}\Configurations\{section}"
        edits.set(configuration, "Service", sz(service), why=_WHY)
        edits.set(configuration, "ConfigFlags", dword(0), why=_WHY)
        edits.set(configuration, "ConfigScope", dword(7), why=_WHY)
    guid = (package.inf.class_guid or SCSI_CLASS).lower()
    edits.set(rf"DriverDatabase\DeviceIds\{guid}", inf, Value(Type.NONE, b""), why=_WHY)
    for name in ids:
        model, place = _model_of(package, name)
        edits.set(rf"DriverDatabase\DeviceIds\{name}", inf, binary(bytes((place, 0xFF, 0, 0))), why=_WHY)
        descriptor = rf"{path}\Descriptors\{name}"
        edits.set(descriptor, "Configuration", sz(model.section), why=_WHY)
        edits.set(descriptor, "Manufacturer", sz(model.manufacturer.lower()), why=_WHY)
        edits.set(descriptor, "Description", sz(model.description.lower()), why=_WHY)


def _model_of(package: DriverPackage, name: str) -> tuple[Model, int]:
    """Return the model with an id and the place of the id among the ids of the model, from 1."""
    models = package.installation.models
    for model in models:
        if name in model.ids:
            return model, min(model.ids.index(name) + 1, 0xFF)
    device = name.rsplit("&", 1)[0]
    return next((model for model in models if any(i.startswith(device) for i in model.ids)), models[0]), 1
