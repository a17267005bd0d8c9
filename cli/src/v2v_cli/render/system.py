# SPDX-License-Identifier: GPL-2.0-or-later
"""What inspection found out about the guest's operating system, as JSON values and as properties for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from v2v_core.model import Inspection, WindowsInspection

_PRODUCTS = {"WinNT": "a client", "ServerNT": "a server", "LanmanNT": "a domain controller"}


def system_record(system: Inspection) -> dict[str, Any]:
    """Return an inspection for JSON, with objects in the place of pairs."""
    record = {
        **asdict(system),
        "mountpoints": [{"path": path, "device": device} for path, device in system.mountpoints],
    }
    if system.windows is not None:
        letters = [{"letter": letter, "device": device} for letter, device in system.windows.drive_letters]
        record["windows"]["drive_letters"] = letters
    return record


def windows_properties(windows: WindowsInspection) -> Iterator[tuple[str, str]]:
    """Yield labels and values of what only Windows has."""
    product = _PRODUCTS.get(windows.product, windows.product)
    yield "Windows", f"{product}, build {windows.build}, in {windows.systemroot}"
    current, following = windows.current_control_set, windows.default_control_set
    yield "registry", current if current == following else f"{current}, starts next with {following}"
    if windows.drive_letters:
        yield "drives", ", ".join(f"{letter.rstrip(':')}: {device}" for letter, device in windows.drive_letters)
    found = [
        *(("group policies",) if windows.group_policy else ()),
        *(("antivirus software",) if windows.antivirus else ()),
    ]
    if found:
        yield "has", " and ".join(found)
