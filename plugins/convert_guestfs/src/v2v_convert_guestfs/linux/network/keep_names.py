# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep the names of NICs: examine the guest's configuration, warn about names that cannot be kept, and pin the others.

The link files match by MAC address and by ``Path=*``. Bridges, bonds and VLANs have the MAC address of a port, but no
path. All versions of systemd that read link files agree on this, in contrast to ``Type=!``, ``Kind=`` and
``PermanentMACAddress=``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network import (
    cloud_init,
    ifcfg,
    ifupdown,
    ini,
    link_settings,
    netplan,
    patterns,
    remembered,
    reports,
    udev_rules,
)
from v2v_convert_guestfs.linux.network.contents import contents
from v2v_convert_guestfs.linux.network.kernel_order import order_of_nics
from v2v_convert_guestfs.linux.network.link_settings import LinkFile, settings_of
from v2v_convert_guestfs.linux.network.mentions import Mention, read_mentions
from v2v_convert_guestfs.linux.network.names import Reading, merged, without_alternatives
from v2v_convert_guestfs.linux.network.pairing import Evidence, Pairing, Pin, pair
from v2v_convert_guestfs.linux.network.scheme import (
    Naming,
    Scheme,
    by_mac,
    names_by_slot,
    naming_of,
)
from v2v_convert_guestfs.linux.network.traces import place_of, read_traces
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.vmware_slots import pci_place
from v2v_core.api import Nic

_PLACES: tuple[tuple[str, Callable[[bytes, str], Reading]], ...] = (
    ("/etc/network/interfaces", lambda data, _: ifupdown.interfaces(data)),
    ("/etc/network/interfaces.d/*", lambda data, _: ifupdown.interfaces(data)),
    ("/etc/netplan/*.yaml", lambda data, _: netplan.netplan(data)),
    ("/etc/NetworkManager/system-connections/*", lambda data, _: ini.keyfile(data)),
    ("/usr/lib/NetworkManager/system-connections/*", lambda data, _: ini.keyfile(data)),
    ("/etc/sysconfig/network-scripts/ifcfg-*", ifcfg.ifcfg),
    ("/etc/sysconfig/network/ifcfg-*", ifcfg.ifcfg),
    ("/etc/systemd/network/*.network", lambda data, _: ini.network(data)),
    ("/usr/local/lib/systemd/network/*.network", lambda data, _: ini.network(data)),
    ("/etc/systemd/network/*.netdev", lambda data, _: ini.netdev(data)),
)
_Read = tuple[str, Reading]
_LINKS = "/etc/systemd/network"
_RULES = "/etc/udev/rules.d/70-v2v-net.rules"


@dataclass(frozen=True)
class NicNames:
    """The files that pin names, and the resulting names.

    :param files: content and reason, by path. :param by_mac: the known names of NICs on KVM, by MAC address.
    :param order: the positions of the source's NICs in the order that they need on KVM, or () for the source's order.
    :param macs: the MAC addresses that the guest remembers, by the position of the NIC, where the source states none.
    """

    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    by_mac: dict[str, str] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    macs: dict[int, str] = field(default_factory=dict)


def examine(session: Session, files: GuestFiles, need_names: Sequence[str] = ()) -> NicNames:
    """Find out which names to keep and how, and warn about those that cannot be kept.

    :param need_names: MAC addresses of NICs that must get a name if they have none.
    """
    links = link_settings.read_link_files(session, files)
    readings = [
        (path, read(data, path)) for pattern, read in _PLACES for path, data in contents(session, files, pattern)
    ]
    rules = _rules(session, files)
    naming = naming_of(session, files, links)
    given = session.request.guest.nics
    macs = remembered.addresses(given, merged(reading for _, reading in readings), merged(one for _, one in rules))
    nics = tuple(replace(nic, mac=macs.get(position, nic.mac)) for position, nic in enumerate(given))
    if macs:
        listed = ", ".join(macs.values())
        session.report.info(f"The source states no MAC address, and the guest remembers it: the target gets {listed}")
    pins, named = _find_pins(session, files, nics, (readings, rules), naming)
    named |= {pin.mac: pin.name for pin in pins}
    nameless = [mac for mac in need_names if mac not in named]
    for number, mac in enumerate(nameless):
        named[mac] = f"v2v{number}"
        pins.append(Pin(named[mac], mac, "its configuration needs a name, and it had none"))
    order = order_of_nics(named, [mac_address(nic.mac) for nic in nics])
    if order:
        listed = ", ".join(f"{name} is {mac}" for mac, name in sorted(named.items(), key=lambda item: item[1]))
        session.report.info(f"The NICs come in another order than on the source, so that the kernel finds: {listed}")
    cloud_init.warn(session, files)
    if not naming.reads_links:
        return NicNames(_rules_of_pins(pins), named, order, macs)
    return NicNames(_links_of_pins(session, nics, pins, links), named, order, macs)


def _find_pins(
    session: Session,
    files: GuestFiles,
    nics: Sequence[Nic],
    read: tuple[Sequence[_Read], Sequence[_Read]],
    naming: Naming,
) -> tuple[list[Pin], dict[str, str]]:
    """Return the pins to write, and the names by MAC address that need no pin.

    :param nics: those of the source. :param read: the network configuration, and the rules for names.
    """
    readings, rules = read
    configured = without_alternatives(merged(reading for _, reading in readings), max(1, len(nics)))
    for path, reading in readings:
        for note in reading.notes:
            reports.warn_of_hardware(session, path, note)
    source = [mac_address(nic.mac) for nic in nics]
    existing, by_place = merged(reading for _, reading in rules), _by_place(session, rules, nics, source)
    scheme, by_itself = naming.scheme, naming.by_itself
    kernel = by_itself and scheme is Scheme.KERNEL
    if len(source) <= 1 and list(configured.nics) == ["eth0"] and kernel:
        session.report.debug("the kernel also names the only NIC eth0 on KVM")
        return [], {mac: "eth0" for mac in source if mac is not None}
    if not any(source):
        if configured.nics and not (kernel and set(configured.nics) <= {f"eth{i}" for i in range(len(source))}):
            reports.warn_without_macs(session, configured, existing)
        return [], {}
    pinned = {**{name: mac for mac, name in configured.named.items()}, **existing.nics}
    kept = {mac: name for name, mac in pinned.items() if mac in source and mac is not None}
    placed = _placed(nics, scheme, source, by_itself=by_itself)

    def paired(more: Evidence) -> Pairing:
        return pair(configured.nics, pinned, source, configured.matched, more)

    other = by_mac(names_by_slot(scheme.other, nics), source) if scheme.other else {}
    evidence = Evidence(placed, by_place, by_itself=by_itself, alternative=other)
    pairing = paired(evidence)
    mentioned: list[Mention] = []
    if pairing.free or pairing.unknown or pairing.by_order:
        # Reading the traces takes time, and where everything is known they tell nothing new.
        traces = read_traces(session, files)
        mentioned = [mention for mention in read_mentions(session, files) if mention.is_of(scheme)]
        by_trace = traces.known(_places(nics, source), source, scheme)
        traced = {**cloud_init.names(session, files), **by_trace, **by_place}
        likely = [*traces.all_names(scheme), *(mention.name for mention in mentioned if mention.is_literal)]
        weak = [name for name in dict.fromkeys(likely) if name not in configured.virtual]
        evidence = replace(evidence, traced=traced, weak=weak)
        pairing = paired(evidence)
    reports.report(session, pairing)
    kept |= {pin.mac: pin.name for pin in pairing.by_itself}
    known = {*kept.values(), *(pin.name for pin in pairing.pins)}
    chosen = _fitting(session, configured, known, pairing.free, scheme)
    if len(pairing.free) > len(chosen):
        reports.warn_of_mentions(session, mentioned, {*known, *configured.nics})
    return [*pairing.pins, *chosen], kept


def _placed(nics: Sequence[Nic], scheme: Scheme, source: Sequence[str | None], *, by_itself: bool) -> dict[str, str]:
    """Return the names that NICs had because of their places or MAC addresses, by MAC address.

    Without their slots, the kernel is taken to have found the NICs in the order of the source.
    """
    if scheme is Scheme.MAC:
        return {mac: f"enx{mac.replace(':', '')}" for mac in source if mac is not None}
    places = names_by_slot(scheme, nics)
    if by_itself and not places:
        places = {position: f"eth{position}" for position in range(len(source))}
    # Where the guest's own rules name the NICs, the kernel's numbers are not their names.
    return by_mac(places, source) if by_itself or scheme is not Scheme.KERNEL else {}


def _places(nics: Sequence[Nic], source: Sequence[str | None]) -> dict[str, str]:
    """Return the MAC addresses of NICs by PCI address, for those whose slot is known."""
    return {
        place_of(*place): mac
        for nic, mac in zip(nics, source, strict=True)
        if nic.pci_slot is not None and mac is not None and (place := pci_place(nic.pci_slot))
    }


def _fitting(
    session: Session, configured: Reading, known: Collection[str], free: Sequence[str], scheme: Scheme
) -> list[Pin]:
    """Return pins with which the patterns of the configuration match NICs whose name is unknown."""
    wanted = [
        words
        for words in configured.patterns
        if not any(patterns.fits(words, name) for name in known) and not patterns.fits_on_kvm(words, scheme)
    ]
    if not wanted or not free:
        return []
    listed = " and ".join(" ".join(words) for words in wanted)
    if len(wanted) not in {1, len(free)}:
        reports.warn_of_patterns(session, listed)
        return []
    pins: list[Pin] = []
    for words, mac in zip(wanted if len(wanted) > 1 else wanted * len(free), free, strict=True):
        name = patterns.name_for(words, {*known, *configured.nics, *(pin.name for pin in pins)}, scheme)
        if name is None:
            reports.warn_of_patterns(session, " ".join(words))
        else:
            pins.append(Pin(name, mac, f"the guest configures {' '.join(words)}; its old name is unknown"))
    reports.report_chosen(session, pins, listed, several=len(wanted) > 1)
    return pins


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


def _links_of_pins(
    session: Session, nics: Sequence[Nic], pins: Sequence[Pin], links: Sequence[LinkFile]
) -> dict[str, tuple[bytes, str]]:
    """Return a .link file for each pin, with the settings of the file that it replaces for its NIC."""
    drivers = {mac_address(nic.mac): nic.model for nic in nics}
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
        if link.path not in used and (note := link_settings.lost_settings(link, nics)):
            reports.warn_of_hardware(session, link.path, note)
    return written


def _rules_of_pins(pins: Sequence[Pin]) -> dict[str, tuple[bytes, str]]:
    """Return a file with a udev rule for each pin."""
    if not pins:
        return {}
    comment = b"# Written by virt-v2v: NICs keep the names that the configuration of this machine knows them by.\n"
    why = "; ".join(f"the NIC {pin.mac} keeps the name {pin.name}: {pin.why}" for pin in pins)
    return {_RULES: (comment + b"".join(map(udev_rule, pins)), why)}


def _rules(session: Session, files: GuestFiles) -> list[_Read]:
    """Return the names that the guest's rules and .link files give to NICs, by file."""
    found = [(path, udev_rules.rules(data)) for path, data in contents(session, files, "/etc/udev/rules.d/*.rules")]
    for path, data in contents(session, files, f"{_LINKS}/*.link"):
        link = ini.link(data)
        if link.name and link.macs:
            found.append((path, Reading({link.name: link.macs[0]})))
        elif link.name and link.by_hardware:
            place = udev_rules.pci_address(ini.sections(data).get("Match", {}).get("Path", ""))
            note = f"{link.name} is not matched by MACAddress="
            found.append((path, Reading(notes=(note,), places={place: link.name} if place else {})))
    return found


def _by_place(
    session: Session, rules: Sequence[_Read], nics: Sequence[Nic], source: Sequence[str | None]
) -> dict[str, tuple[str, str]]:
    """Return the names and files by MAC address of rules for places of the source: on KVM, NICs are in other places.

    Warn about rules for hardware whose NIC is unknown.
    """
    found: dict[str, tuple[str, str]] = {}
    places = _places(nics, source)
    for path, reading in rules:
        for place, name in reading.places.items():
            mac = source[0] if len(source) == len(reading.places) == 1 else places.get(place)
            if mac is not None:
                found[mac] = (name, path)
        settled = {name for name, _ in found.values()}
        for note in reading.notes:
            if note.split(" ", 1)[0] not in settled:
                reports.warn_of_hardware(session, path, note)
    return found
