# SPDX-License-Identifier: GPL-2.0-or-later
"""cloud-init: the NICs that it was told about, and whether it will configure the network anew on other hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network import netplan
from v2v_convert_guestfs.linux.network.contents import contents
from v2v_convert_guestfs.linux.network.names import nic_name
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.session import Session

_CONFIGURATION = ("/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg")
#: Network data that the source of the data gave, and what cloud-init was configured with.
_NETWORK_DATA = (
    "/var/lib/cloud/seed/*/network-config",
    "/var/lib/cloud/instance/network-config.json",
    *_CONFIGURATION,
)
_PROGRAMS = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/bin/cloud-init")
_DISABLED = "/etc/cloud/cloud-init.disabled"
#: Sources of data that only VMware or a cloud has. ``None`` stands for no data at all.
_ELSEWHERE = frozenset(
    {
        *("VMware", "OVF", "Azure", "Ec2", "GCE", "Oracle", "DigitalOcean", "Hetzner", "Scaleway", "SmartOS", "Vultr"),
        *("Exoscale", "AliYun", "UpCloud", "IBMCloud", "Akamai", "RbxCloud", "Bigstep", "NWCS", "VMwareGuestInfo"),
    }
)


def names(session: Session, files: GuestFiles) -> dict[str, tuple[str, str]]:
    """Return the names that cloud-init gives to NICs, and the file that says so, by MAC address."""
    found: dict[str, tuple[str, str]] = {}
    for pattern in _NETWORK_DATA:
        for path, data in contents(session, files, pattern):
            found |= {mac: (name, path) for mac, name in named(netplan.load(data)).items()}
    return found


def warn(session: Session, files: GuestFiles) -> None:
    """Warn if cloud-init will take the new machine for a new instance, and will then configure the network anew."""
    if not any(files.glob(path) for path in _PROGRAMS) or files.glob(_DISABLED):
        return
    sources: list[str] = []
    told_by, network = "", True
    for path, settings in _settings(session, files):
        if isinstance(listed := settings.get("datasource_list"), list):
            sources, told_by = [str(entry) for entry in listed], path
        if isinstance(wanted := settings.get("network"), dict):
            network = wanted.get("config") != "disabled"
    lost = [source for source in sources if source not in {"None", "null", ""}]
    if not network or not lost or not set(lost) <= _ELSEWHERE:
        return
    session.report.warning(
        f"cloud-init in the guest takes its data only from {', '.join(ascii(source).strip(chr(39)) for source in lost)}"
        f" (datasource_list in {told_by}), which the target does not have: at the first boot, it may take the machine "
        "for a new one, and replace the network configuration by DHCP, and the SSH host keys. To keep them, create "
        f"{_DISABLED} in the guest, or a file in /etc/cloud/cloud.cfg.d with 'network: {{config: disabled}}'"
    )


def _settings(session: Session, files: GuestFiles) -> list[tuple[str, Mapping[Any, Any]]]:
    """Return the files of the configuration, in the order in which cloud-init merges them."""
    found = ((path, netplan.load(data)) for one in _CONFIGURATION for path, data in contents(session, files, one))
    return [(path, settings) for path, settings in found if isinstance(settings, dict)]


def named(document: Any) -> dict[str, str]:
    """Return the names by MAC address of network data, version 1 or 2."""
    if not isinstance(document, dict):
        return {}
    network = document.get("network", document)
    if isinstance(network, dict) and isinstance(network.get("network"), dict):
        network = network["network"]
    if not isinstance(network, dict):
        return {}
    pairs: list[tuple[object, object]] = []
    config = network.get("config")
    for entry in config if isinstance(config, list) else []:
        if isinstance(entry, dict) and entry.get("type") == "physical":
            pairs.append((entry.get("name"), entry.get("mac_address")))
    for _, settings in netplan.entries(network, "ethernets"):
        match = settings.get("match")
        if isinstance(match, dict):
            pairs.append((settings.get("set-name"), match.get("macaddress")))
    valid = (
        (mac_address(mac), nic_name(name)) for name, mac in pairs if isinstance(name, str) and isinstance(mac, str)
    )
    return {mac: name for mac, name in valid if mac and name}
