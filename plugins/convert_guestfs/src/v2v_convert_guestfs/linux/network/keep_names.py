# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep the names of NICs: examine the guest's configuration, warn about names that cannot be kept, and pin the others.

The link files match by MAC address and by ``Path=*``. Bridges, bonds and VLANs have the MAC address of a port, but no
path. All versions of systemd that read link files agree on this, in contrast to ``Type=!``, ``Kind=`` and
``PermanentMACAddress=``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import grub_cfg
from v2v_convert_guestfs.linux.network import ifcfg, ifupdown, ini, link_settings, netplan, udev_rules
from v2v_convert_guestfs.linux.network.contents import contents, is_masked
from v2v_convert_guestfs.linux.network.kernel_order import order_of_nics
from v2v_convert_guestfs.linux.network.link_settings import LinkFile, settings_of
from v2v_convert_guestfs.linux.network.names import Reading, mac_address, merged
from v2v_convert_guestfs.linux.network.pairing import Pairing, Pin, pair
from v2v_convert_guestfs.session import Session

_GRUB_LIMIT = 4 * 1024 * 1024
#: How many NICs a warning names.
_LISTED = 10
_PLACES: tuple[tuple[str, Callable[[bytes, str], Reading]], ...] = (
    ("/etc/network/interfaces", lambda data, _: ifupdown.interfaces(data)),
    ("/etc/network/interfaces.d/*", lambda data, _: ifupdown.interfaces(data)),
    ("/etc/netplan/*.yaml", lambda data, _: netplan.netplan(data)),
    ("/etc/NetworkManager/system-connections/*", lambda data, _: ini.keyfile(data)),
    ("/etc/sysconfig/network-scripts/ifcfg-*", ifcfg.ifcfg),
    ("/etc/sysconfig/network/ifcfg-*", ifcfg.ifcfg),
    ("/etc/systemd/network/*.network", lambda data, _: ini.network(data)),
    ("/etc/systemd/network/*.netdev", lambda data, _: ini.netdev(data)),
)
_LINKS = "/etc/systemd/network"
_RULES = "/etc/udev/rules.d/70-v2v-net.rules"
_SETUP_LINK = "80-net-setup-link.rules"
_GENERATOR = "75-persistent-net-generator.rules"


@dataclass(frozen=True)
class NicNames:
    """The files that pin names, and the resulting names.

    :param files: content and reason, by path. :param by_mac: the known names of NICs on KVM, by MAC address.
    :param order: the positions of the source's NICs in the order that they need on KVM, or () for the source's order.
    """

    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    by_mac: dict[str, str] = field(default_factory=dict)
    order: tuple[int, ...] = ()


def examine(session: Session, files: GuestFiles, need_names: Sequence[str] = ()) -> NicNames:
    """Find out which names to keep and how, and warn about those that cannot be kept.

    :param need_names: MAC addresses of NICs that must get a name if they have none.
    """
    pins, by_mac = _find_pins(session, files)
    by_mac |= {pin.mac: pin.name for pin in pins}
    nameless = [mac for mac in need_names if mac not in by_mac]
    for number, mac in enumerate(nameless):
        by_mac[mac] = f"v2v{number}"
        pins.append(Pin(by_mac[mac], mac, "its configuration needs a name, and it had none"))
    order = order_of_nics(by_mac, [mac_address(nic.mac) for nic in session.request.guest.nics])
    if order:
        listed = ", ".join(f"{name} is {mac}" for mac, name in sorted(by_mac.items(), key=lambda item: item[1]))
        session.report.info(f"The NICs come in another order than on the source, so that the kernel finds: {listed}")
    if not _reads_links(session, files):
        return NicNames(_rules_of_pins(pins), by_mac, order)
    return NicNames(_links_of_pins(session, pins, link_settings.read_link_files(session, files)), by_mac, order)


def _find_pins(session: Session, files: GuestFiles) -> tuple[list[Pin], dict[str, str]]:
    """Return the pins to write, and the names by MAC address that need no pin."""
    readings = [
        (path, read(data, path)) for pattern, read in _PLACES for path, data in contents(session, files, pattern)
    ]
    configured = merged(reading for _, reading in readings)
    for path, reading in readings:
        for note in reading.notes:
            _warn_of_hardware(session, path, note)
    existing = _existing(session, files)
    source = [mac_address(nic.mac) for nic in session.request.guest.nics]
    kept = {mac: name for name, mac in existing.nics.items() if mac in source and mac is not None}
    if not configured.nics:
        return [], kept
    kernel_names = _kernel_names(session, files)
    if len(source) <= 1 and list(configured.nics) == ["eth0"] and kernel_names:
        session.report.debug("the kernel also names the only NIC eth0 on KVM")
        return [], {mac: "eth0" for mac in source if mac is not None}
    if not any(source):
        _warn_without_macs(session, configured, existing)
        return [], {}
    nics = session.request.guest.nics
    slots = {mac: nic.pci_slot for mac, nic in zip(source, nics, strict=True) if mac and nic.pci_slot is not None}
    pairing = pair(configured.nics, existing.nics, source, configured.matched, slots)
    _report(session, pairing)
    return pairing.pins, kept


def pin_names(files: GuestFiles, names: NicNames) -> None:
    """Write the files that pin the names.

    :raises ConversionError: a file cannot be written.
    """
    for path, (content, why) in names.files.items():
        files.create(path, content, mode=0o644, what="created", why=why)


def link_file(pin: Pin, taken_over: LinkFile | None = None) -> bytes:
    """Return the systemd .link file for a NIC. Without NamePolicy=, Name= takes effect.

    :param taken_over: the file whose settings the NIC had until now.
    """
    about = f"# The settings below are those of {taken_over.path}: udev applies only one file.\n" if taken_over else ""
    return (
        "# Written by virt-v2v: the NIC keeps the name that the configuration of this machine knows it by.\n"
        f"# Path=* matches no bridge, bond or VLAN, which have the same MAC address.\n{about}"
        f"[Match]\nMACAddress={pin.mac}\nPath=*\n\n[Link]\nName={pin.name}\n"
    ).encode() + (settings_of(taken_over) if taken_over else b"")


def udev_rule(pin: Pin) -> bytes:
    """Return the udev rule for a NIC. The match on DRIVERS excludes bridges, bonds and VLANs, which have no driver."""
    return (
        f'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{{address}}=="{pin.mac}", ATTR{{type}}=="1", '
        f'NAME="{pin.name}"\n'
    ).encode()


def _links_of_pins(session: Session, pins: Sequence[Pin], links: Sequence[LinkFile]) -> dict[str, tuple[bytes, str]]:
    """Return a .link file for each pin, with the settings of the file that it replaces for its NIC."""
    drivers = {mac_address(nic.mac): nic.model for nic in session.request.guest.nics}
    beginning = link_settings.beginning(links, pins)
    written: dict[str, tuple[bytes, str]] = {}
    used: set[str] = set()
    for pin in pins:
        path = f"{_LINKS}/{beginning}{pin.name}.link"
        replaced, unknown = link_settings.with_settings(pin, links, drivers.get(pin.mac))
        why = f"the NIC {pin.mac} keeps the name: {pin.why}"
        if replaced is not None:
            used.add(replaced.path)
            why += f"; it keeps the settings of {replaced.path}, too"
        for link in unknown:
            used.add(link.path)
            session.report.warning(
                f"{link.path} in the guest sets {', '.join(link.settings())}, and it is unknown whether it does so for "
                f"the NIC {pin.mac} ({pin.name}): if it does, copy these lines to {path}, which udev reads first"
            )
        written[path] = (link_file(pin, replaced), why)
    for link in links:
        if link.path not in used and (note := link_settings.lost_settings(link, session.request.guest.nics)):
            _warn_of_hardware(session, link.path, note)
    return written


def _rules_of_pins(pins: Sequence[Pin]) -> dict[str, tuple[bytes, str]]:
    """Return a file with a udev rule for each pin."""
    if not pins:
        return {}
    comment = b"# Written by virt-v2v: NICs keep the names that the configuration of this machine knows them by.\n"
    why = "; ".join(f"the NIC {pin.mac} keeps the name {pin.name}: {pin.why}" for pin in pins)
    return {_RULES: (comment + b"".join(map(udev_rule, pins)), why)}


def _existing(session: Session, files: GuestFiles) -> Reading:
    """Return the names that the guest already pins."""
    readings: list[Reading] = []
    for path, data in contents(session, files, "/etc/udev/rules.d/*.rules"):
        readings.append(udev_rules.rules(data))
        for note in readings[-1].notes:
            _warn_of_hardware(session, path, note)
    for path, data in contents(session, files, f"{_LINKS}/*.link"):
        link = ini.link(data)
        if link.name and link.macs:
            readings.append(Reading({link.name: link.macs[0]}))
        elif link.name and link.by_hardware:
            _warn_of_hardware(session, path, f"{link.name} is not matched by MACAddress=")
    return merged(readings)


def _kernel_names(session: Session, files: GuestFiles) -> bool:
    """Return whether NICs keep the names that the kernel assigns: eth0, eth1 and so on."""
    if is_masked(session, f"/etc/udev/rules.d/{_SETUP_LINK}") or is_masked(session, f"{_LINKS}/99-default.link"):
        return True
    for path in ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"):
        if files.glob(path) and (data := files.read(path, limit=_GRUB_LIMIT)):
            entries = grub_cfg.menu(data)
            return bool(entries) and all("net.ifnames=0" in entry.arguments.split() for entry in entries)
    return False


def _reads_links(session: Session, files: GuestFiles) -> bool:
    """Return whether the guest's udev reads link files: it has the rule for them, and not the old rule generator."""
    if is_masked(session, f"/etc/udev/rules.d/{_SETUP_LINK}"):
        return False
    rules = [
        files.glob(f"{root}/udev/rules.d/{name}") for name in (_SETUP_LINK, _GENERATOR) for root in ("/lib", "/usr/lib")
    ]
    return any(rules[:2]) and not any(rules[2:])


def _report(session: Session, pairing: Pairing) -> None:
    for pin in pairing.pins:
        session.report.info(f"The NIC {pin.mac} keeps the name {pin.name}")
    if pairing.by_order:
        listed = ", ".join(f"{pin.name} is {pin.mac}" for pin in pairing.by_order)
        session.report.warning(
            f"which NIC has which name was guessed from their order: {listed}. If this is wrong, swap the MAC "
            f"addresses in {_LINKS}/*v2v-*.link (or {_RULES}) in the guest"
        )
    if pairing.unknown:
        session.report.warning(
            f"the guest configures {', '.join(pairing.unknown)}, but it is unknown which of the source's NICs that is: "
            "it may have another name on KVM. Add the MAC address to the guest's configuration on its source "
            "hypervisor and convert again, or rename it in the converted guest"
        )
    if pairing.stale:
        session.report.warning(
            f"the guest configures {', '.join(pairing.stale)} for a MAC address that none of the source's NICs has: "
            "give the NIC that address with --mac, or correct the guest's configuration"
        )


def _warn_without_macs(session: Session, configured: Reading, existing: Reading) -> None:
    listed = ", ".join(sorted(configured.nics)[:_LISTED])
    kept = ", ".join(f"{name} has {mac}" for name, mac in sorted(existing.nics.items())[:_LISTED] if mac)
    session.report.warning(
        f"the guest configures {listed} by name, but the source does not state the MAC addresses of its NICs: on KVM "
        "they may have other names, and the guest no network. Convert from a source that describes the machine, or "
        "rename them in the guest's configuration" + (f" ({kept} in the guest)" if kept else "")
    )


def _warn_of_hardware(session: Session, path: str, note: str) -> None:
    session.report.warning(
        f"{path} in the guest: {note}, which may fail on KVM: make it match by the MAC address instead"
    )
