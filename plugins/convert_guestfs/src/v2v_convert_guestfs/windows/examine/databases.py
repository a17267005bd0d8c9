# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine whether the registry names the boot driver for the devices that the target gives to the guest."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_convert_guestfs.windows.examine.expected import BootDriver
from v2v_convert_guestfs.windows.examine.hive_reader import HiveReader
from v2v_convert_guestfs.windows.examine.services import differences
from v2v_convert_guestfs.windows.examine.verdicts import fact
from v2v_convert_guestfs.windows.system import WindowsSystem
from v2v_core.api import Fact


def database_facts(hive: HiveReader, system: WindowsSystem, driver: BootDriver) -> Iterator[Fact]:
    """Yield whether the databases have the driver; nothing for a driver of Windows itself."""
    if not driver.ids:
        return
    if system.driver_database:

        def wrong_database() -> Iterator[str]:
            yield from _driver_database(hive, driver)

        yield fact(f"DriverDatabase has {driver.service} for the devices of the target", wrong_database)
        return
    for control_set in system.control_sets:

        def wrong(control_set: str = control_set) -> Iterator[str]:
            for device in driver.ids:
                path = rf"{control_set}\Control\CriticalDeviceDatabase\{device.replace(chr(92), '#')}"
                yield from differences(hive, path, {"Service": driver.service})
                if not (hive.values(path) or {}).get("classguid"):
                    yield f"{path} has no ClassGUID"

        name = f"CriticalDeviceDatabase of {control_set} has {driver.service} for the devices of the target"
        yield fact(name, wrong)


def _driver_database(hive: HiveReader, driver: BootDriver) -> Iterator[str]:
    """Follow the database as Windows does: from a device to an INF, a package, a configuration and a service."""
    inf, package = driver.inf, driver.package
    if inf is None or package is None:
        yield "the driver has no INF and package"
        return
    active = rf"DriverDatabase\DriverInfFiles\{inf}"
    yield from differences(hive, active, {"Active": package})
    for device in driver.ids:
        place = rf"DriverDatabase\DeviceIds\{device}"
        if inf.lower() not in (hive.values(place) or {}):
            yield f"{place} does not name {inf}"
        descriptor = rf"DriverDatabase\DriverPackages\{package}\Descriptors\{device}"
        section = (hive.values(descriptor) or {}).get("configuration")
        if not isinstance(section, str) or not section:
            yield f"{descriptor} has no Configuration"
            continue
        configuration = rf"DriverDatabase\DriverPackages\{package}\Configurations\{section}"
        yield from differences(hive, configuration, {"Service": driver.service})
