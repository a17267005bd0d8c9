# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v inspect`` found: a text for people, and JSON for programs.

The JSON is one object. New members may be added; the version changes if one is removed or changes its meaning::

    format, version     "v2v-inspection", 1
    guest               what the source says: name, hypervisor, memory (bytes), cpu, firmware, disks, removables,
                        nics, …
    deep                null without --deep, or:
      convertible       whether the guest can be converted
      obstacles         why not, a list: reason, remedy
      system            null, or what inspection found: name, root, os_type, distro, arch, … , mountpoints,
                        windows (null, or what only Windows has)
      firmware          "bios", "uefi" or "unknown"
      boot_loader       null, or its name
      boot_disk         null, or the number of the disk that it boots from, from 1
      kernels           a list: version, initramfs, in_boot_menu, default, chosen (the converted guest boots it),
                        drives_target, drivers (an object: "built-in", "initramfs", "module" or "missing" by driver)
      drivers           a list of texts: the drivers that a Windows guest gets
      filesystems       a list: device, kind, size (bytes), mountpoint
      hypervisor_tools  a list of packages
      hardware          null, or what the guest would get: machine, block_bus, net_model, …
      changes           a list of what a conversion would change: subject ("file", "package" or "registry"),
                        path, value (name of the value of a registry key, or null), what, why
      facts             a list of what was examined after these changes: name, verdict, detail
    notes               a list of texts: what a conversion would report
    warnings            a list: step, text, hint
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from v2v_cli.render.print_source import describe_source
from v2v_cli.render.report import (
    change_record,
    changes_by_reason,
    facts_as_lines,
    facts_heading,
    harmless,
    size_text,
)
from v2v_cli.render.sanitize import sanitize
from v2v_cli.render.system import system_record, windows_properties
from v2v_core.deep_inspection import DriverPlace, FilesystemFound, InspectResult, KernelFound
from v2v_core.events import Event, EventKind
from v2v_core.model import Guest, SourceDisk

VERSION = 1
_PLACES = {
    DriverPlace.BUILT_IN: "built in",
    DriverPlace.INITRAMFS: "in the initramfs",
    DriverPlace.MODULE: "a module, not in the initramfs",
    DriverPlace.MISSING: "missing",
}


def inspection_as_json(guest: Guest, found: InspectResult | None, said: Sequence[Event]) -> str:
    """Return what was found as JSON, ASCII only.

    :param said: the infos and warnings on the way.
    """
    described = asdict(guest)
    if guest.display is not None:
        described["display"].pop("password")
    record = {
        "format": "v2v-inspection",
        "version": VERSION,
        "guest": described,
        "deep": None if found is None else _deep(found),
        "notes": [event.text for event in said if event.kind is EventKind.INFO],
        "warnings": [
            {"step": event.step.value, "text": event.text, "hint": event.hint}
            for event in said
            if event.kind is EventKind.WARNING
        ],
    }
    return json.dumps(harmless(record), indent=1, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def inspection_as_text(guest: Guest, found: InspectResult | None, said: Sequence[Event]) -> str:
    """Return what was found as lines for people.

    :param said: the infos and warnings on the way.
    """
    warnings = [event for event in said if event.kind is EventKind.WARNING]
    blocks: list[tuple[str, list[str]]] = []
    if found is not None:
        changes = list(changes_by_reason(found.changes))
        blocks = [
            ("System", list(_system(found))),
            ("Kernels", [line for kernel in found.kernels for line in _kernel(kernel)]),
            ("Drivers that the guest gets", [sanitize(name) for name in found.drivers]),
            ("Disks and file systems", [*map(_disk, guest.disks), *map(_filesystem, found.filesystems)]),
            ("Packages of the old hypervisor", [sanitize(name) for name in found.hypervisor_tools]),
            ("What keeps the guest from being converted", list(_obstacles(found))),
        ]
        if found.convertible:
            blocks.append((f"What a conversion would change ({len(found.changes)})", changes or ["nothing"]))
        blocks.append((facts_heading(found.facts), list(facts_as_lines(found.facts))))
        notes = [event for event in said if event.kind is EventKind.INFO]
        blocks.append(("What a conversion would report", [f"* {sanitize(event.text)}" for event in notes]))
    blocks.append(("Warnings: please look at these", [f"* {_warning(event)}" for event in warnings]))
    source = f"Source guest information:\n\n{describe_source(guest)}\n"
    text = source + "\n".join(
        "".join(f"{line}\n" for line in (heading, *(f"  {line}" for line in lines)))
        for heading, lines in blocks
        if lines
    )
    return text if found is None else f"{text}\n{_verdict(found)}\n"


def _deep(found: InspectResult) -> dict[str, Any]:
    system = found.inspection
    return {
        "convertible": found.convertible,
        "obstacles": [asdict(obstacle) for obstacle in found.obstacles],
        "system": None if system is None else {"name": found.system, **system_record(system)},
        "firmware": found.firmware.value,
        "boot_loader": found.boot_loader,
        "boot_disk": found.boot_disk,
        "kernels": [
            {
                **asdict(kernel),
                "drives_target": kernel.drives_target,
                "drivers": {name: place.value for name, place in kernel.drivers},
            }
            for kernel in found.kernels
        ],
        "drivers": list(found.drivers),
        "filesystems": [asdict(filesystem) for filesystem in found.filesystems],
        "hypervisor_tools": list(found.hypervisor_tools),
        "hardware": None if found.capabilities is None else asdict(found.capabilities),
        "changes": [change_record(change) for change in found.changes],
        "facts": [asdict(fact) for fact in found.facts],
    }


def _system(found: InspectResult) -> Iterator[str]:
    system = found.inspection
    if system is not None:
        version = f"{system.distro} {system.major_version}.{system.minor_version}"
        yield _property("system", f"{found.system or system.product_name or system.distro} ({version})")
        yield _property("processor", system.arch)
        if system.windows is not None:
            yield from (_property(label, value) for label, value in windows_properties(system.windows))
    yield _property("firmware", found.firmware.value)
    if found.boot_loader is not None:
        boots = "" if found.boot_disk is None else f", on disk {found.boot_disk}"
        yield _property("boot loader", f"{found.boot_loader}{boots}")
    if found.capabilities is not None:
        hardware = found.capabilities
        yield _property(
            "gets", f"{hardware.machine}, {hardware.block_bus.value} disks, {hardware.net_model} interfaces"
        )


def _kernel(kernel: KernelFound) -> Iterator[str]:
    marks = [
        *(["boots now"] if kernel.default else []),
        *(["boots after a conversion"] if kernel.chosen else []),
        *([] if kernel.in_boot_menu else ["not found in the boot menu"]),
    ]
    yield sanitize(kernel.version + (f" ({', '.join(marks)})" if marks else ""))
    for name, place in kernel.drivers:
        yield f"  {sanitize(name)}: {_PLACES[place]}"


def _disk(disk: SourceDisk) -> str:
    words = [
        *([] if disk.size is None else [size_text(disk.size)]),
        *([] if disk.bus is None else [disk.bus.value]),
        *([] if disk.origin is None else [sanitize(disk.origin)]),
    ]
    return f"disk {disk.index}: {', '.join(words)}"


def _filesystem(filesystem: FilesystemFound) -> str:
    size = "" if filesystem.size is None else f", {size_text(filesystem.size)}"
    place = "" if filesystem.mountpoint is None else f", mounted at {filesystem.mountpoint}"
    return sanitize(f"{filesystem.device}: {filesystem.kind}{size}{place}")


def _obstacles(found: InspectResult) -> Iterator[str]:
    for number, obstacle in enumerate(found.obstacles, start=1):
        yield f"{number}. {sanitize(obstacle.reason)}"
        yield f"   what to do: {sanitize(obstacle.remedy)}"


def _warning(event: Event) -> str:
    return sanitize(f"{event.text} ({event.hint})" if event.hint else event.text)


def _verdict(found: InspectResult) -> str:
    if found.convertible:
        return "The guest can be converted. Nothing was changed."
    return "The guest cannot be converted as it is. Nothing was changed."


def _property(label: str, value: str) -> str:
    return f"{label:13}{sanitize(value)}"
