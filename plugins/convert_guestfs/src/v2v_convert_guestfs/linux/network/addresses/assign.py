# SPDX-License-Identifier: GPL-2.0-or-later
"""Set the requested addresses of NICs, in the files that configure them or else in new files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.network.addresses import ifcfg, ifupdown, keyfile, netplan, networkd
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted

_LIMIT = 64 * 1024
_FILES_LIMIT = 200


class System(StrEnum):
    """The systems that configure a guest's network, in the order in which a new file is tried."""

    NETPLAN = "netplan"
    REDHAT = "Red Hat's ifcfg files"
    WICKED = "wicked"
    MANAGER = "NetworkManager"
    NETWORKD = "systemd-networkd"
    IFUPDOWN = "ifupdown"


_PLACES: tuple[tuple[System, str, Callable[[bytes, str, Wanted], bytes | None]], ...] = (
    (System.NETPLAN, f"{netplan.DIRECTORY}/*.yaml", lambda data, _, one: netplan.edit(data, one)),
    (System.REDHAT, f"{ifcfg.REDHAT}/ifcfg-*", ifcfg.edit_redhat),
    (System.WICKED, f"{ifcfg.SUSE}/ifcfg-*", ifcfg.edit_suse),
    (System.MANAGER, f"{keyfile.DIRECTORY}/*", lambda data, _, one: keyfile.edit(data, one)),
    (System.NETWORKD, f"{networkd.DIRECTORY}/*.network", lambda data, _, one: networkd.edit(data, one)),
    (System.IFUPDOWN, ifupdown.INTERFACES, lambda data, _, one: ifupdown.edit(data, one)),
    (System.IFUPDOWN, f"{ifupdown.INTERFACES}.d/*", lambda data, _, one: ifupdown.edit(data, one)),
)
#: Patterns of paths that exist if a system is installed.
_MARKS: Mapping[System, tuple[str, ...]] = {
    System.NETPLAN: ("/usr/sbin/netplan", "/lib/netplan/generate", "/usr/libexec/netplan/generate"),
    System.REDHAT: (
        f"{ifcfg.REDHAT}/ifup-eth",
        "/usr/lib*/NetworkManager/*/libnm-settings-plugin-ifcfg-rh.so",
        "/usr/lib*/NetworkManager/libnm-settings-plugin-ifcfg-rh.so",
    ),
    System.WICKED: ("/usr/sbin/wicked", "/sbin/wicked"),
    System.MANAGER: ("/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"),
    System.NETWORKD: ("/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",),
    System.IFUPDOWN: ("/sbin/ifup", "/usr/sbin/ifup"),
}
_RESOLVCONF = ("/sbin/resolvconf", "/usr/sbin/resolvconf")
_CHOSEN_BY_SUSE = "/etc/systemd/system/network.service"


@dataclass
class Addresses:
    """The files to write.

    :param contents: the contents of changed and new files, by path. :param modes: the modes of new files, by path.
    :param why: the requests that each file is written for, by path.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    why: dict[str, list[Wanted]] = field(default_factory=dict)

    def put(self, path: str, content: bytes, one: Wanted, mode: int | None = None) -> None:
        """Record the content of a file."""
        self.contents[path] = content
        self.why.setdefault(path, []).append(one)
        if mode is not None:
            self.modes[path] = mode


def need_names(session: Session, files: GuestFiles, requests: Sequence[Wanted]) -> list[str]:
    """Return the MAC addresses of NICs that the guest can configure only by name."""
    systems = present(session, files)
    return [one.mac for one in requests] if systems and systems[0] in {System.WICKED, System.IFUPDOWN} else []


def examine(session: Session, files: GuestFiles, requests: Sequence[Wanted], names: Mapping[str, str]) -> Addresses:
    """Find out which files to write, without writing them.

    :param requests: as returned by ``asked_for``. :param names: the known names of NICs, by MAC address.
    """
    addresses = Addresses()
    if not requests:
        return addresses
    systems = present(session, files)
    for unnamed in requests:
        one = replace(unnamed, names=(names[unnamed.mac],) if unnamed.mac in names else ())
        so_far = copy.deepcopy(addresses)
        try:
            edited = _edit(session, files, addresses, one)
            if not edited & set(systems):
                edited.add(_add(session, files, addresses, one, systems))
        except NotEditable as err:
            session.report.warning(f"--mac {one.mac}:ip: the address cannot be set: {err}")
            addresses = so_far
            continue
        _more(session, files, addresses, one, edited)
        session.report.info(f"The NIC {one.mac} gets the address {one.described()}")
    return addresses


def write(files: GuestFiles, addresses: Addresses) -> None:
    """Write the files.

    :raises ConversionError: a file cannot be written.
    """
    for path, content in addresses.contents.items():
        what = "; ".join(f"{one.mac} has the address {one.described()}" for one in addresses.why[path])
        why = "requested with " + ", ".join(f"--mac {one.mac}:ip" for one in addresses.why[path])
        if path in addresses.modes:
            files.create(path, content, mode=addresses.modes[path], what=f"created: {what}", why=why)
        elif files.read(path, limit=_LIMIT) != content:
            files.replace(path, content, what=what, why=why)


def present(session: Session, files: GuestFiles) -> list[System]:
    """Return the installed systems that configure the network, in order of preference."""
    systems = [system for system in System if any(files.glob(mark) for mark in _MARKS[system])]
    try:
        link = str(session.handle.readlink(_CHOSEN_BY_SUSE)) if session.handle.is_symlink(_CHOSEN_BY_SUSE) else ""
    except RuntimeError as err:
        session.report.debug(f"{_CHOSEN_BY_SUSE}: {brief(err)}")
        link = ""
    if link.endswith("/NetworkManager.service") and System.WICKED in systems:
        systems.remove(System.WICKED)
    return systems


def _edit(session: Session, files: GuestFiles, addresses: Addresses, one: Wanted) -> set[System]:
    """Edit the files that configure the NIC, and return the systems that read them.

    :raises NotEditable: a file configures the NIC, but the address cannot be set in it.
    """
    edited = set()
    for system, pattern, editor in _PLACES:
        for path in files.glob(pattern)[:_FILES_LIMIT]:
            data = addresses.contents.get(path)
            if data is None:
                data = files.read(path, limit=_LIMIT)
            if data is None:
                continue
            try:
                new = editor(data, path, one)
            except NotEditable as err:
                raise NotEditable(f"{path}: {err}") from err
            if new is not None:
                session.report.debug(f"{path} configures {one.mac}")
                addresses.put(path, new, one)
                edited.add(system)
    return edited


def _add(session: Session, files: GuestFiles, addresses: Addresses, one: Wanted, systems: Sequence[System]) -> System:
    """Add a new configuration of the NIC, and return the system that reads it.

    :raises NotEditable: no known system is installed, or it needs a name and the NIC has none.
    """
    for system in systems:
        made: tuple[str, bytes] | None
        if system is System.IFUPDOWN:
            data = addresses.contents.get(ifupdown.INTERFACES) or files.read(ifupdown.INTERFACES, limit=_LIMIT)
            content = ifupdown.added(data, one) if data is not None else None
            if content is None:
                continue
            addresses.put(ifupdown.INTERFACES, content, one)
            return system
        if system is System.WICKED:
            made = ifcfg.new_suse(one)
        else:
            new = {
                System.NETPLAN: netplan.new,
                System.REDHAT: ifcfg.new_redhat,
                System.MANAGER: keyfile.new,
                System.NETWORKD: networkd.new,
            }[system]
            made = new(one)
        if made is not None:
            secret = system in {System.NETPLAN, System.MANAGER}
            addresses.put(*made, one, 0o600 if secret else 0o644)
            return system
    if not systems:
        raise NotEditable("the guest has no known system that configures the network")
    raise NotEditable(f"the guest's network is configured by {', '.join(systems)}, which cannot configure this NIC")


def _more(session: Session, files: GuestFiles, addresses: Addresses, one: Wanted, edited: set[System]) -> None:
    """Edit the default routes and name servers that some systems have in separate files."""

    def edit(path: str, editor: Callable[[bytes], bytes]) -> None:
        if files.glob(path):
            data = addresses.contents.get(path) or files.read(path, limit=_LIMIT)
            if data is not None and (new := editor(data)) != data:
                addresses.put(path, new, one)

    if System.WICKED in edited and one.names:
        edit(f"{ifcfg.SUSE}/routes", lambda data: ifcfg.suse_routes(data, one))
        path = f"{ifcfg.SUSE}/ifroute-{one.names[0]}"
        gateways = ifcfg.suse_gateways(one)
        if files.glob(path):
            edit(path, lambda data: ifcfg.suse_routes(data, one).rstrip(b"\n") + b"\n" + gateways)
        elif gateways:
            addresses.put(path, gateways, one, 0o644)
        if one.nameservers:
            servers = " ".join(str(server) for server in one.nameservers)
            edit(ifcfg.SUSE_CONFIG, lambda data: shell.set_value(data, ifcfg.SUSE_SERVERS, servers))
    # For resolvconf and systemd-resolved, which write the file themselves, it is a link.
    generated = any(files.glob(mark) for mark in _RESOLVCONF) or session.handle.is_symlink(ifupdown.RESOLV_CONF)
    if System.IFUPDOWN in edited and one.nameservers and not generated:
        edit(ifupdown.RESOLV_CONF, lambda data: ifupdown.resolv_conf(data, one))
