# SPDX-License-Identifier: GPL-2.0-or-later
"""VMware's numbers of PCI slots (``ethernet0.pciSlotNumber``), and what a guest sees of them.

Below 64 they are devices behind a PCI bridge, and from 160 on they are the functions of PCI Express ports.
"""

from __future__ import annotations

#: The number has bus and device in its lower bits, and the function of the device above them.
_FUNCTION = 1024
_PORTS, _PORT_STEP, _LAST_PORT = 160, 32, 3
_FIRST_BUS, _BUSES_OF_PORT = 3, 8
_BRIDGED = range(32, 64)
_BRIDGE = 2


def slot_number(slot: int) -> int:
    """Return the number that VMware's firmware gives the guest for a slot: 160 for 160, and 161 for 1184."""
    return slot % _FUNCTION + slot // _FUNCTION


def pci_place(slot: int) -> tuple[int, int] | None:
    """Return the PCI bus and device of a slot, or None if it is in no usual place."""
    if slot in _BRIDGED:
        return _BRIDGE, slot - _BRIDGED.start
    port, rest = divmod(slot % _FUNCTION - _PORTS, _PORT_STEP)
    if rest or not 0 <= port <= _LAST_PORT or slot // _FUNCTION >= _BUSES_OF_PORT:
        return None
    return _FIRST_BUS + _BUSES_OF_PORT * port + slot // _FUNCTION, 0


def order_of_place(bus: int, device: int) -> tuple[int, int, int]:
    """Return a key that sorts PCI places in the order in which VMware gives them to ethernet0, ethernet1 and so on."""
    if bus < _FIRST_BUS:
        return 0, bus, device
    port, function = divmod(bus - _FIRST_BUS, _BUSES_OF_PORT)
    return 1, function, port
