# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine reads of an OVF, by local names: both of its readers look at little else."""

from __future__ import annotations

from typing import Any

from lxml import etree

from engine_simulator.faults import Refusal

_CPU, _MEMORY, _NIC, _DRIVE = "3", "4", "10", "17"


def read_ovf(data: bytes) -> tuple[str, str, dict[str, Any]]:
    """Return the id, the name and the hardware of the machine."""
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as err:
        raise Refusal(400, f"[Cannot import VM. Invalid OVF: {err}]") from err
    systems = [element for element in root if _local(element) in {"VirtualSystem", "Content"}]
    if len(systems) != 1:
        raise Refusal(400, "[Cannot import VM. Invalid OVF: no virtual system]")
    identity = next((value for key, value in systems[0].attrib.items() if key.endswith("}id") or key == "id"), "")
    name = next((element.text or "" for element in systems[0] if _local(element) == "Name"), "")
    items = [
        {_local(child): child.text or "" for child in element}
        for element in systems[0].iter()
        if _local(element) == "Item"
    ]

    def of(kind: str) -> list[dict[str, str]]:
        return [item for item in items if item.get("ResourceType") == kind]

    disks = [
        {etree.QName(key).localname: value for key, value in element.attrib.items()}
        for element in root.iter()
        if _local(element) == "Disk"
    ]
    bios = next((element.text for element in systems[0] if _local(element) == "BiosType"), None)
    hardware = {
        "cpu": of(_CPU),
        "memory": of(_MEMORY),
        "nics": of(_NIC),
        "drives": of(_DRIVE),
        "disks": disks,
        "bios": bios,
    }
    return identity, name, hardware


def disks_of(hardware: dict[str, Any]) -> list[str]:
    """Return the ids of the disks, from where the engine's own reader looks for them."""
    return [disk["diskId"] for disk in hardware["disks"]]


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
