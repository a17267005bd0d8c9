# SPDX-License-Identifier: GPL-2.0-or-later
"""Filter drivers: those of the old hypervisor leave the lists of filters, and those that stay must be there.

A device whose list names a filter that is missing or disabled does not start. If it is a disk or its controller,
Windows does not start either.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import multi_sz
from v2v_convert_guestfs.windows.tools_removal.products import FILTERS

_LISTS = ("UpperFilters", "LowerFilters")
#: Devices that remain the same on the new machine, and that a driver of tools may filter: mice.
_BUSES = ("ACPI", "HID")
_MOST_DEVICES = 1000
#: Classes without which Windows does not start: disks, controllers of disks, volumes, the system's devices.
STARTING = frozenset(
    {
        "{4d36e967-e325-11ce-bfc1-08002be10318}",
        "{4d36e96a-e325-11ce-bfc1-08002be10318}",
        "{4d36e97b-e325-11ce-bfc1-08002be10318}",
        "{4d36e97d-e325-11ce-bfc1-08002be10318}",
        "{71a27cdd-812a-11d0-bec7-08002be2092f}",
    }
)
_DISABLED = 4
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class FilterList:
    """A list of filters. One that is no text is left as it is.

    :param key: the path of its key. :param name: of the value. :param left: what stays in it, if anything goes.
    """

    control_set: str
    key: str
    name: str
    filters: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """A filter that stays in a list, and that Windows cannot load.

    :param why: as the end of a sentence. :param broken: it is certain: the registry says it.
    """

    filters: FilterList
    driver: str
    why: str
    broken: bool = True

    @property
    def starting(self) -> bool:
        """Whether Windows does not start without it."""
        return self.filters.key.rpartition("\\")[2].lower() in STARTING


def look(guest: WindowsGuest) -> tuple[FilterList, ...]:
    """Return the lists of filters of all classes of devices, and of some devices."""
    return tuple(
        found
        for control_set in guest.system.control_sets
        for key in _keys(guest, control_set)
        for name in _LISTS
        if (found := _list(control_set, key, name)) is not None
    )


def change(guest: WindowsGuest, lists: tuple[FilterList, ...]) -> None:
    """Take the drivers of the old hypervisor out of the lists."""
    for each in lists:
        if each.left == each.filters:
            continue
        gone = ", ".join(name for name in each.filters if name not in each.left)
        why = f"{gone} belongs to the old hypervisor, and devices do not start without a filter that is in this list"
        if each.left:
            guest.registry.set(HiveName.SYSTEM, each.key, each.name, multi_sz(*each.left), why=why)
        else:
            guest.registry.delete_value(HiveName.SYSTEM, each.key, each.name, why=why)


def missing(guest: WindowsGuest, lists: tuple[FilterList, ...]) -> tuple[Missing, ...]:
    """Return the filters that stay in lists of classes and cannot be loaded."""
    names = functools.cache(lambda directory: frozenset(name.lower() for name in guest.files.names(directory)))
    why_not = functools.cache(lambda control_set, driver: _why_not(guest, control_set, driver, names))
    return tuple(
        Missing(each, driver, why, broken=broken)
        for each in lists
        for driver in each.left
        for why, broken in why_not(each.control_set, driver)
    )


def driver_file(guest: WindowsGuest, image_path: str | None, driver: str) -> str | None:
    r"""Return the file of a driver in the guest, by its ImagePath; None if that is on another drive."""
    root = guest.system.systemroot.rstrip("/")
    path = (image_path or f"system32\\drivers\\{driver}.sys").strip().strip('"').replace("\\", "/")
    path = re.sub(r"^/\?\?/", "", path)
    if match := re.match(r"(?:/?systemroot|%systemroot%|%windir%)/(.*)", path, re.IGNORECASE):
        return f"{root}/{match[1]}"
    if match := re.match(r"[a-z]:(/.*)", path, re.IGNORECASE):
        return match[1] if match[1].lower().startswith(f"{root.lower()}/") else None
    return f"{root}/{path}" if not path.startswith("/") else None


def _keys(guest: WindowsGuest, control_set: str) -> Iterator[Key]:
    classes = guest.registry.key(HiveName.SYSTEM, f"{control_set}\\Control\\Class")
    yield from classes.keys() if classes is not None else ()
    left = _MOST_DEVICES
    for bus in _BUSES:
        key = guest.registry.key(HiveName.SYSTEM, f"{control_set}\\Enum\\{bus}")
        for device in key.keys() if key is not None else ():
            instances = device.keys()[:left]
            left -= len(instances)
            yield from instances


def _list(control_set: str, key: Key, name: str) -> FilterList | None:
    value = key.value(name)
    if value is None:
        return None
    # Whatever its type is: Windows takes a single name as well.
    text = value.data[: len(value.data) & ~1].decode("utf-16-le", "replace")
    filters = tuple(each for each in text.split("\0") if each)
    if not filters:
        return None
    if _UNREADABLE in text:
        return FilterList(control_set, key.path, name, filters, filters)
    return FilterList(
        control_set, key.path, name, filters, tuple(each for each in filters if each.lower() not in FILTERS)
    )


def _why_not(
    guest: WindowsGuest, control_set: str, driver: str, names: Callable[[str], frozenset[str]]
) -> tuple[tuple[str, bool], ...]:
    """Return why a driver cannot be loaded, and whether that is certain; nothing if it can.

    Only the names of files are looked at: the appliance cannot open all that Windows can.
    """
    key = guest.registry.key(HiveName.SYSTEM, f"{control_set}\\Services\\{driver}")
    if key is None:
        return (("is no service", True),)
    start, image = key.value("Start"), key.value("ImagePath")
    if start is not None and start.number == _DISABLED:
        return (("is disabled", True),)
    path = driver_file(guest, image.text if image is not None else None, driver)
    if path is None or path.rpartition("/")[2].lower() in names(path.rpartition("/")[0]):
        return ()
    return ((f"has no file {path}", False),)
