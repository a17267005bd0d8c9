# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces that tell which NIC had which name when the guest ran: leases of DHCP, logs, and systemd's journal.

The journal is binary, but short messages are in it as they are. Everything is bounded: logs can be of any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network.command_lines import command_lines
from v2v_convert_guestfs.linux.network.names import nic_name
from v2v_convert_guestfs.linux.network.scheme import Scheme, is_of
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.session import Session

_MEBIBYTE = 1024 * 1024
#: Bytes: of the end of a log, of the beginning and the end of a journal, of a lease, and of all together.
_LOG, _JOURNAL, _LEASE, _ALL = 2 * _MEBIBYTE, 4 * _MEBIBYTE, 64 * 1024, 24 * _MEBIBYTE
_CHUNK = 2 * _MEBIBYTE
_FILES_LIMIT = 30
#: From the oldest that they can tell of to the newest.
_LOGS = (
    "/var/log/installer/syslog",
    "/var/log/anaconda/syslog",
    "/var/log/anaconda/journal.log",
    "/var/log/dmesg",
    "/var/log/kern.log",
    "/var/log/messages",
    "/var/log/syslog",
    "/var/log/cloud-init-output.log",
)
_JOURNALS = "/var/log/journal/*/system.journal"
_LEASES = (
    (re.compile(r"dhclient6?[-.](?:[0-9a-f-]{36}-|-)?(?P<name>[^/]+?)\.leases?"), "/var/lib/dhcp/dhclient*.lease*"),
    (re.compile(r"dhclient6?-(?:[0-9a-f-]{36}-|-)?(?P<name>[^/]+?)\.leases?"), "/var/lib/dhclient/dhclient*.lease*"),
    (
        re.compile(r"(?:internal|dhclient)6?-[0-9a-f-]{36}-(?P<name>[^/]+?)\.leases?"),
        "/var/lib/NetworkManager/*.lease",
    ),
    (re.compile(r"lease-(?P<name>[^/]+?)-dhcp-ipv[46]\.xml"), "/var/lib/wicked/lease-*.xml"),
    (re.compile(r"(?:dhcpcd-)?(?P<name>[^/]+?)\.(?:lease6?|info)"), "/var/lib/dhcpcd*/*.lease*"),
)
_COMMAND_LINE = "the kernel command line"
_PLAIN = re.compile(r"(?:ens|eno|enp\d{1,3}s|eth)\d{1,8}", re.ASCII)
_NAME = rb"(?P<name>[A-Za-z0-9_-]{1,15})"
_HEX = rb"[0-9A-Fa-f]{2}"
_ADDRESS = rb"(?P<mac>" + _HEX + rb"(?::" + _HEX + rb"){5})"
#: A PCI address, or what else the kernel calls the place of a NIC in a virtual machine.
_PLACE = rb"(?P<place>[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|virtio\d{1,3}|vif-\d{1,3}|[0-9a-f-]{36})"
#: What the kernel, udev, dhclient and cloud-init write.
_RENAMED = re.compile(_PLACE + rb" " + _NAME + rb": renamed from [A-Za-z0-9_-]{1,15}")
_FOUND = re.compile(_PLACE + rb" [A-Za-z0-9_-]{1,15}: \([^()\n]{1,60}\) " + _ADDRESS)
_LISTENS = re.compile(rb"(?:Listening on|Sending on  ) LPF/" + _NAME + rb"/" + _ADDRESS)
_CI_INFO = re.compile(rb"ci-info: \|\s*" + _NAME + rb"\s*\|\s*True\s*\|(?:[^|\n]{0,60}\|){3}\s*" + _ADDRESS + rb"\s*\|")
_CLIENTS = (
    re.compile(rb"^CLIENTID=01([0-9A-Fa-f]{12})$", re.MULTILINE),
    re.compile(rb"<client-id>01:?([0-9A-Fa-f:]{12,17})</client-id>"),
    re.compile(rb"dhcp-client-identifier 1:([0-9A-Fa-f:]{11,17});"),
)


@dataclass
class Traces:
    """What the guest's traces tell.

    :param by_mac: the name, and the file that tells it, by MAC address. :param by_place: the same by PCI address.
    :param macs_of_places: MAC addresses by PCI address. :param names: names without any address, and their file.
    """

    by_mac: dict[str, tuple[str, str]] = field(default_factory=dict)
    by_place: dict[str, tuple[str, str]] = field(default_factory=dict)
    macs_of_places: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def known(
        self, places: Mapping[str, str], macs: Sequence[str | None], scheme: Scheme
    ) -> dict[str, tuple[str, str]]:
        """Return name and file by MAC address, for names that are possible in the guest as it is now.

        :param places: MAC addresses by PCI address (``0000:03:00.0``), as the source states them. :param macs: those of
            all NICs of the source.
        """
        by_place = {**self.macs_of_places, **places}
        found = {by_place[place]: told for place, told in self.by_place.items() if place in by_place}
        if len(macs) == len(self.by_place) == 1 and macs[0] is not None:
            (found[macs[0]],) = self.by_place.values()
        return {mac: told for mac, told in {**found, **self.by_mac}.items() if is_of(told[0], scheme)}

    def all_names(self, scheme: Scheme) -> list[str]:
        """Return all names that are possible in the guest as it is now, whether their NIC is known or not."""
        told = (*self.by_mac.values(), *self.by_place.values())
        return [name for name in dict.fromkeys([*(name for name, _ in told), *self.names]) if is_of(name, scheme)]


def read_traces(session: Session, files: GuestFiles) -> Traces:
    """Read the traces of the guest; what is read last is the newest, and counts."""
    traces = Traces()
    left = _ALL
    for path in (path for pattern in _LOGS for path in files.glob(pattern)):
        data = _ends_of(session, files, path, 0, min(_LOG, left))
        left -= len(data)
        add_log(traces, path, data)
    for path in files.glob(_JOURNALS)[:_FILES_LIMIT]:
        data = _ends_of(session, files, path, min(_JOURNAL, left // 2), min(_JOURNAL, left // 2))
        left -= len(data)
        add_log(traces, path, data)
    for line in command_lines(files):
        add_command_line(traces, line)
    for name_of, pattern in _LEASES:
        for path in files.glob(pattern)[:_FILES_LIMIT]:
            match = name_of.fullmatch(path.rpartition("/")[2])
            if match and (name := nic_name(match["name"])):
                add_lease(traces, path, name, _ends_of(session, files, path, 0, min(_LEASE, left)))
    return traces


def add_log(traces: Traces, path: str, data: bytes) -> None:
    """Add what a log or a journal tells."""
    for match in _FOUND.finditer(data):
        if mac := mac_address(match["mac"].decode()):
            traces.macs_of_places[match["place"].decode()] = mac
    for place, name in _named(_RENAMED.finditer(data), lambda match: match["place"].decode()):
        traces.by_place[place] = (name, path)
    for pattern in (_LISTENS, _CI_INFO):
        for mac, name in _named(pattern.finditer(data), lambda match: mac_address(match["mac"].decode())):
            traces.by_mac[mac] = (name, path)


def add_command_line(traces: Traces, line: str) -> None:
    """Add what the kernel command line tells dracut: ``ifname=ens192:00:50:56:01:02:03`` and ``ip=…:ens192:…``."""
    for word in line.split():
        key, _, value = word.partition("=")
        parts = value.split(":")
        if key == "ifname" and (name := nic_name(parts[0])) and (mac := mac_address(":".join(parts[1:7]))):
            traces.by_mac[mac] = (name, _COMMAND_LINE)
        elif key in {"ip", "bootdev", "vlan"}:
            for part in parts:
                if _PLAIN.fullmatch(part):
                    traces.names.setdefault(part, _COMMAND_LINE)


def add_lease(traces: Traces, path: str, name: str, data: bytes) -> None:
    """Add what a lease tells: a name, and the MAC address if it is the identity that the client has sent."""
    for pattern in _CLIENTS:
        for match in pattern.finditer(data):
            digits = match[1].decode()
            parts = digits.split(":") if ":" in digits else [digits[at : at + 2] for at in range(0, 12, 2)]
            if mac := mac_address(":".join(part.zfill(2) for part in parts)):
                traces.by_mac[mac] = (name, path)
                return
    traces.names.setdefault(name, path)


def place_of(bus: int, device: int) -> str:
    """Return a PCI address as the kernel writes it."""
    return f"0000:{bus:02x}:{device:02x}.0"


def _named(
    matches: Iterable[re.Match[bytes]], key: Callable[[re.Match[bytes]], str | None]
) -> Iterable[tuple[str, str]]:
    """Yield key and name of each match that has both. NICs are renamed through names such as ``rename3``, too."""
    for match in matches:
        name, value = nic_name(match["name"].decode()), key(match)
        if name and value and not re.fullmatch(r"rename\d+", name):
            yield value, name


def _ends_of(session: Session, files: GuestFiles, path: str, first: int, last: int) -> bytes:
    """Return the first and the last bytes of a file, or b"" if it cannot be read."""
    try:
        real = files.resolve(path)
        if real is None or last <= 0:
            return b""
        size = int(session.handle.filesize(real))
        if size <= first + last:
            return _range(session, real, 0, size)
        return _range(session, real, 0, first) + b"\n" + _range(session, real, size - last, last)
    except RuntimeError as err:
        session.report.debug(f"{path}: {brief(err)}")
        return b""


def _range(session: Session, path: str, start: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = bytes(session.handle.pread(path, min(_CHUNK, count - len(data)), start + len(data)))
        if not more:
            break
        data += more
    return data
