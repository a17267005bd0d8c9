# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine services: that of the boot driver, and that of the first boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from v2v_convert_guestfs.windows.examine.expected import BootDriver, FirstBootService
from v2v_convert_guestfs.windows.examine.hive_reader import Content, HiveReader
from v2v_convert_guestfs.windows.examine.verdicts import fact
from v2v_convert_guestfs.windows.system import WindowsSystem
from v2v_core.api import Fact

#: SERVICE_KERNEL_DRIVER and SERVICE_BOOT_START, SERVICE_WIN32_OWN_PROCESS and SERVICE_AUTO_START
_DRIVER: Mapping[str, Content] = {"Type": 1, "Start": 0}
_SERVICE: Mapping[str, Content] = {"Type": 0x10, "Start": 2}


def driver_facts(hive: HiveReader, system: WindowsSystem, driver: BootDriver) -> Iterator[Fact]:
    """Yield whether the driver starts at boot, for each control set that can start."""
    wanted = {**_DRIVER, "ImagePath": driver.image_path}
    if driver.group:
        wanted["Group"] = driver.group
    for control_set in system.control_sets:
        path = rf"{control_set}\Services\{driver.service}"

        def wrong(path: str = path) -> Iterator[str]:
            yield from differences(hive, path, wanted)
            override = hive.values(rf"{path}\StartOverride")
            # Each value is for one kind of configuration; 0 lets the driver start.
            for name, content in (override or {}).items():
                if content != 0:
                    yield rf"{path}\StartOverride has {name} = {content!r}, which keeps it from starting"

        yield fact(f"the driver {driver.service} starts at boot in {control_set}", wrong, good=path)


def first_boot_facts(hive: HiveReader, system: WindowsSystem, service: FirstBootService) -> Iterator[Fact]:
    """Yield whether the service of the first boot starts, for each control set that can start."""
    wanted = {**_SERVICE, "ImagePath": service.image_path}
    for control_set in system.control_sets:
        path = rf"{control_set}\Services\{service.service}"

        def wrong(path: str = path) -> Iterator[str]:
            yield from differences(hive, path, wanted)

        yield fact(f"the service {service.service} starts in {control_set}", wrong, good=path)


def differences(hive: HiveReader, path: str, wanted: Mapping[str, Content]) -> Iterator[str]:
    """Yield what a key lacks of the wanted values. Texts are compared without case."""
    values = hive.values(path)
    if values is None:
        yield f"there is no key {path}"
        return
    for name, content in wanted.items():
        found = values.get(name.lower())
        if found is None:
            yield f"{path} has no {name}"
        elif folded(found) != folded(content):
            yield f"{name} of {path} is {found!r} and not {content!r}"


def folded(content: Content) -> Content:
    """Return a value for a comparison without case."""
    if isinstance(content, str):
        return content.lower()
    return tuple(text.lower() for text in content) if isinstance(content, tuple) else content
