# SPDX-License-Identifier: GPL-2.0-or-later
r"""The boot configuration of Windows Vista and later (BCD): a hive of objects, each with numbered elements.

The boot manager's object names the default entry; the entry names the partition and the path of its loader. A setting
that an entry does not have may be in one that it inherits from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from v2v_convert_guestfs.windows.boot.places import BootDevice, of_element
from v2v_convert_guestfs.windows.registry.values import Type, Value

BOOT_MANAGER = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
#: The elements, by their numbers in the hive.
DEVICE, OS_DEVICE, GRAPHICS_DISABLED = "11000001", "21000001", "16000046"
_PATH, _DESCRIPTION, _SYSTEM_ROOT, _INHERITED = "12000002", "12000004", "22000002", "14000006"
_DEFAULT, _ORDER, _ONCE = "23000003", "24000001", "24000002"
_TEST_SIGNING, _NO_INTEGRITY_CHECKS, _DEBUG = "16000049", "16000048", "160000a0"
_SAFE_MODE, _HYPERVISOR = "25000080", "250000f0"
_LOADER, _LOADER_OF_XP = 0x10200003, 0x10300006
_GUID = re.compile(r"\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")
_MOST_ENTRIES = 32
_MOST_INHERITED = 16
#: Characters of a path or name.
_LONGEST = 512


class Node(Protocol):
    """A key of a hive, for any reader."""

    def key(self, path: str) -> Node | None:
        """Return a key below this one, or None."""

    def value(self, name: str) -> Value | None:
        """Return a value, or None."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    r"""An entry that starts a Windows.

    :param device: where its loader is. :param os_device: where its Windows is. :param path: of the loader.
    :param system_root: the directory of its Windows, ``\Windows``.
    :param of_xp: it starts the loader of Windows XP (ntldr) in place of winload.
    :param safe_mode: it starts Windows in safe mode. :param debug: the kernel waits for a debugger or can talk to one.
    :param hypervisor: it starts Hyper-V before Windows.
    """

    guid: str
    description: str
    device: BootDevice | None
    os_device: BootDevice | None
    path: str
    system_root: str
    of_xp: bool = False
    graphics_disabled: bool = False
    test_signing: bool = False
    no_integrity_checks: bool = False
    safe_mode: bool = False
    debug: bool = False
    hypervisor: bool = False


@dataclass(frozen=True, kw_only=True)
class BootConfiguration:
    """A boot configuration.

    :param default: the entry that starts without a choice; None if the one that is named is not there.
    :param others: the other entries that start a Windows.
    :param once: the boot manager has a list of entries that it starts once, at the next start, before the default.
    """

    default: Entry | None
    others: tuple[Entry, ...] = ()
    once: bool = False


def parse(root: Node) -> BootConfiguration | None:
    """Read a boot configuration; None if the hive is none or has no boot manager."""
    objects = root.key("Objects")
    manager = _Object.of(objects, BOOT_MANAGER)
    if objects is None or manager is None:
        return None
    order = manager.guids(_ORDER)[:_MOST_ENTRIES]
    named = manager.guid(_DEFAULT)
    # Without a default, the boot manager starts the first of its list.
    first = named or next(iter(order), None)
    entries = {guid: _entry(objects, guid) for guid in dict.fromkeys((*([first] if first else []), *order))}
    default = entries.pop(first, None) if first else None
    return BootConfiguration(
        default=default,
        others=tuple(entry for entry in entries.values() if entry is not None),
        once=bool(manager.guids(_ONCE)),
    )


def element_key(guid: str, element: str) -> str:
    """Return the key of an element."""
    return f"Objects\\{guid}\\Elements\\{element}"


def _entry(objects: Node, guid: str) -> Entry | None:
    own = _Object.of(objects, guid)
    if own is None or own.kind not in {_LOADER, _LOADER_OF_XP}:
        return None
    return Entry(
        guid=guid,
        description=own.text(_DESCRIPTION),
        device=own.device(DEVICE),
        os_device=own.device(OS_DEVICE),
        path=own.text(_PATH),
        system_root=own.text(_SYSTEM_ROOT),
        of_xp=own.kind == _LOADER_OF_XP,
        graphics_disabled=own.raw(GRAPHICS_DISABLED) is not None,
        test_signing=own.is_on(_TEST_SIGNING),
        no_integrity_checks=own.is_on(_NO_INTEGRITY_CHECKS),
        safe_mode=own.lookup(_SAFE_MODE) is not None,
        debug=own.is_on(_DEBUG),
        hypervisor=own.is_on(_HYPERVISOR),
    )


class _Object:
    """An object of the boot configuration, with those that it inherits from."""

    def __init__(self, objects: Node, node: Node) -> None:
        self._objects, self._elements = objects, node.key("Elements")
        description = node.key("Description")
        kind = description.value("Type") if description is not None else None
        self.kind = kind.number if kind is not None else None

    @classmethod
    def of(cls, objects: Node | None, guid: str) -> _Object | None:
        """Return an object, or None if there is none."""
        node = objects.key(guid) if objects is not None else None
        return cls(objects, node) if objects is not None and node is not None else None

    def raw(self, element: str) -> Value | None:
        """Return an element of its own, or None."""
        key = self._elements.key(element) if self._elements is not None else None
        return key.value("Element") if key is not None else None

    def lookup(self, element: str) -> Value | None:
        """Return an element of its own or of an object that it inherits from, or None."""
        return next((value for each in self._chain() if (value := each.raw(element)) is not None), None)

    def is_on(self, element: str) -> bool:
        """Return whether a switch is on."""
        value = self.lookup(element)
        return value is not None and any(value.data[:8])

    def text(self, element: str) -> str:
        """Return a text; "" if it has none."""
        value = self.raw(element)
        return (value.text or "").strip()[:_LONGEST] if value is not None else ""

    def device(self, element: str) -> BootDevice | None:
        """Return a device; None if it has none."""
        value = self.raw(element)
        return of_element(value.data) if value is not None and value.type == Type.BINARY else None

    def guid(self, element: str) -> str | None:
        """Return the object that an element names, or None."""
        return _guid_in(self.text(element))

    def guids(self, element: str) -> tuple[str, ...]:
        """Return the objects in a list."""
        value = self.raw(element)
        texts = (value.texts or ()) if value is not None else ()
        return tuple(guid for text in texts if (guid := _guid_in(text)))

    def _chain(self) -> Iterator[_Object]:
        waiting, seen = [self], set[str]()
        while waiting:
            own = waiting.pop(0)
            yield own
            for guid in own.guids(_INHERITED):
                if guid not in seen and len(seen) < _MOST_INHERITED:
                    seen.add(guid)
                    if (inherited := _Object.of(self._objects, guid)) is not None:
                        waiting.append(inherited)


def _guid_in(text: str) -> str | None:
    text = text.strip().lower()
    return text if _GUID.fullmatch(text) else None
