# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest's network interfaces are connected to: the values of ``--map``, ``-n``, ``-b`` and ``--mac``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from v2v_core.errors import UsageError
from v2v_core.model import StaticAddress
from v2v_core.settings import NicMapping

_MAC = re.compile(r"((?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}):(network|bridge|ip):(.*)", re.DOTALL)

#: A name may hold equals signs and colons, so the last "=network:" or "=bridge:" counts.
_MAP = re.compile("(?:(.+)=)?(network|bridge):(.+)", re.DOTALL)


def nic_mappings(
    networks: Iterable[str], bridges: Iterable[str], macs: Iterable[str], maps: Iterable[str] = ()
) -> tuple[NicMapping, ...]:
    """Read ``-n``, ``-b``, ``--mac`` and ``--map``.

    :raises UsageError: malformed, or two for the same interface.
    """
    by_kind = [
        *_map_all("-n", "network", networks),
        *_map_all("-b", "bridge", bridges),
    ]
    mappings = [*_map_either(maps, by_kind), *by_kind]
    seen: set[str] = set()
    for word in macs:
        mapping = _map_mac(word)
        if mapping is None:
            continue
        if mapping.mac is None or mapping.mac in seen:
            raise UsageError(f"duplicate --mac parameter for {mapping.mac}", hint="give one --mac for each interface")
        seen.add(mapping.mac)
        mappings.append(mapping)
    return tuple(mappings)


def _map_either(words: Iterable[str], others: Iterable[NicMapping]) -> Iterable[NicMapping]:
    """Read ``--map``.

    :param others: mappings by the other options; --map must not map the same network once more.
    """
    seen = {mapping.source: f"--{mapping.kind}" for mapping in others}
    for word in words:
        match = _MAP.fullmatch(word)
        if match is None:
            raise UsageError(
                f"--map: cannot understand {word!r}",
                hint="write --map SOURCE=network:TARGET or --map SOURCE=bridge:TARGET; without SOURCE=, all are meant",
            )
        source, kind, target = match.groups()
        if source in seen:
            about = "default mapping" if source is None else f"mapping of {source!r}"
            raise UsageError(
                f"duplicate --map parameter: {seen[source]} gives another {about}", hint="leave one of the two out"
            )
        seen[source] = "--map"
        yield NicMapping(kind=kind, target=target, source=source, either=True)


def _map_all(option: str, kind: str, words: Iterable[str]) -> Iterable[NicMapping]:
    seen: set[str | None] = set()
    for word in words:
        left, colon, right = word.partition(":")
        # "x", "x:" and ":x" all map every network (or bridge) to x
        source, target = (left, right) if colon and left and right else (None, left or right)
        if not target:
            raise UsageError(f"{option} needs a name", hint=f"write {option} SOURCE:TARGET, or {option} TARGET")
        if source in seen:
            about = "default mapping" if source is None else f"mapping of {source!r}"
            raise UsageError(f"duplicate {option} parameter: there is more than one {about}")
        seen.add(source)
        yield NicMapping(kind=kind, target=target, source=source)


def static_addresses(macs: Iterable[str]) -> tuple[StaticAddress, ...]:
    """Read the values of ``--mac`` that set an address: ``MAC:ip:ADDRESS[,GATEWAY[,LENGTH[,NAMESERVER…]]]``.

    :raises UsageError: an address or a prefix length is wrong.
    """
    addresses = [
        _static_address(word, mac, rest) for word in macs for mac, kind, rest in [_mac_words(word)] if kind == "ip"
    ]
    return tuple(dict.fromkeys(addresses))


def _mac_words(word: str) -> tuple[str, str, str]:
    match = _MAC.fullmatch(word)
    if match is None or not match[3]:
        raise UsageError(
            f"--mac: cannot understand {word!r}",
            hint="write --mac AA:BB:CC:DD:EE:FF:network:NAME, --mac AA:BB:CC:DD:EE:FF:bridge:NAME or "
            "--mac AA:BB:CC:DD:EE:FF:ip:ADDRESS,GATEWAY,LENGTH,NAMESERVER",
        )
    return match[1].lower(), match[2], match[3]


def _map_mac(word: str) -> NicMapping | None:
    mac, kind, target = _mac_words(word)
    return None if kind == "ip" else NicMapping(kind=kind, target=target, mac=mac)


def _static_address(word: str, mac: str, rest: str) -> StaticAddress:
    first, *others = rest.split(",")
    gateway_word, length_word, *nameservers = [*others, "", ""][: max(2, len(others))]
    address = _ip_address(word, first)
    gateway = _ip_address(word, gateway_word) if gateway_word else None
    if gateway is not None and gateway.version != address.version:
        raise UsageError(f"--mac: the gateway {gateway} is of another family than the address {address}")
    if length_word and not (re.fullmatch("[0-9]{1,3}", length_word) and int(length_word) <= address.max_prefixlen):
        raise UsageError(
            f"--mac: {length_word!r} is not a prefix length of {address}",
            hint=f"write a number from 0 to {address.max_prefixlen}",
        )
    return StaticAddress(
        mac=mac,
        address=str(address),
        gateway=str(gateway) if gateway is not None else None,
        prefix=int(length_word) if length_word else None,
        nameservers=tuple(str(_ip_address(word, name)) for name in nameservers if name),
    )


def _ip_address(word: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as err:
        raise UsageError(f"--mac: {text!r} in {word!r} is not an IP address") from err
    if getattr(address, "scope_id", None) is not None or address.is_multicast or address.is_unspecified:
        raise UsageError(f"--mac: {text!r} in {word!r} is not the address of one machine")
    return address
