# SPDX-License-Identifier: GPL-2.0-or-later
"""Read ifcfg files of Red Hat's network scripts and of SUSE's wicked."""

from __future__ import annotations

import re

from v2v_convert_guestfs.linux.editors.shell import assignments, unquoted
from v2v_convert_guestfs.linux.network.names import Reading, nic_name, reading
from v2v_convert_guestfs.mac_addresses import mac_address

_PHYSICAL = frozenset({"", "ethernet"})


def ifcfg(data: bytes, file_name: str) -> Reading:
    """Read an ifcfg file: its device, its MAC address and its ports.

    At SUSE, the end of the file name is the device if the file names none.
    """
    text = data.decode("latin-1")
    values = {variable.name: unquoted(text[variable.start : variable.end]).strip() for variable in assignments(text)}
    mac = mac_address(values.get("HWADDR"))
    name = values.get("DEVICE", "")
    if not name and mac:
        return Reading(matched=frozenset({mac}))
    if not name and "/network-scripts/" not in file_name:
        # At Red Hat, the end of the file name is that of a connection: ifcfg-Wired_connection_1.
        name = file_name.rpartition("/")[2].removeprefix("ifcfg-")
    # A VLAN names its parent (PHYSDEV at Red Hat, ETHERDEVICE at SUSE); SUSE's bonds and bridges name their ports.
    ports = [values[key] for key in ("PHYSDEV", "ETHERDEVICE") if values.get(key)]
    ports += values.get("BRIDGE_PORTS", "").split()
    ports += [port for key, port in values.items() if names_port(key)]
    virtual = (
        values.get("TYPE", "").lower() not in _PHYSICAL
        or bool(ports)
        or any(values.get(key, "").lower() == "yes" for key in ("VLAN", "BONDING_MASTER", "BRIDGE"))
        or "BONDING_OPTS" in values
        or "TEAM_CONFIG" in values
    )
    nics: list[tuple[str, str | None]] = [(port, None) for port in ports if port not in {"none"}]
    if virtual:
        # The name eth0.7 contains the name of its parent.
        return reading([*nics, *([(name, None)] if "." in name else [])], [name] if "." not in name else [])
    # Old distributions also name files by the MAC address: ifcfg-eth-id-00:11:22:33:44:55.
    if old := re.fullmatch(r"eth-id-(.{17})", name):
        return Reading(matched=frozenset(filter(None, [mac_address(old[1])])))
    if nic_name(name.split(".")[0].split(":")[0]) is None or "-bus-" in name:
        return Reading()
    return reading([(name, mac)])


def names_port(key: str) -> bool:
    """Return whether a variable names a port of a bond: BONDING_SLAVE_0, BONDING_SLAVE0."""
    return key.startswith("BONDING_SLAVE") and key.removeprefix("BONDING_SLAVE").lstrip("_").isdigit()
