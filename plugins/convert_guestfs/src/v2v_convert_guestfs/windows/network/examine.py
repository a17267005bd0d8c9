# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out which settings each NIC of the target needs, without changing anything."""

from __future__ import annotations

import codecs
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from v2v_convert_guestfs import wanted_addresses
from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.wanted_addresses import Wanted
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.network import nsi, reports
from v2v_convert_guestfs.windows.network.adapters import Adapter, read_adapters
from v2v_convert_guestfs.windows.network.pairing import Pair, Pairing, pair
from v2v_convert_guestfs.windows.network.plan import NetworkPlan, Replay
from v2v_convert_guestfs.windows.network.settings import IpSettings, Route, persistent_routes, read_settings
from v2v_convert_guestfs.windows.registry.hives import HiveName

#: The names that Windows itself gives to connections, in English. Others are kept even without static settings.
_DEFAULT_NAME = re.compile(r"(?:Local Area Connection|Ethernet) ?\d{0,4}", re.ASCII)
#: What Windows refuses in the name of a connection, and what ends a line of the file with the names.
_NO_NAME = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
_LONGEST_NAME = 255
_CODEPAGE = r"Control\Nls\CodePage"


def examine(guest: WindowsGuest, blockers: Blockers) -> NetworkPlan:
    """Find out which settings each NIC of the target needs. Warn about those that cannot be carried over.

    :param blockers: nothing in the network keeps a guest from being converted.
    """
    del blockers
    adapters = read_adapters(guest)
    settings = {adapter.guid: read_settings(guest, adapter) for adapter in adapters}
    composed = [adapter for adapter in adapters if adapter.composed]
    pairing = pair([adapter for adapter in adapters if not adapter.composed], guest.session.request.guest.nics)
    settings = _with_routes(guest, adapters, settings)
    asked_for = {one.mac: one for one in wanted_addresses.asked_for(guest.session)}
    reports.report(guest, pairing, composed, settings, set(asked_for))
    replays = tuple(
        one for one in _replays(guest, pairing, settings, asked_for) if one.settings or one.name is not None
    )
    return NetworkPlan(replays, _cleared(pairing, settings, replays), pairing.macs)


def _replays(
    guest: WindowsGuest, pairing: Pairing, settings: dict[str, IpSettings], asked_for: dict[str, Wanted]
) -> Iterable[Replay]:
    """Yield what each NIC gets, in the order of the NICs."""
    by_position = {one.position: one for one in pairing.pairs}
    for position, nic in enumerate(guest.session.request.guest.nics):
        found = by_position.get(position)
        wanted = asked_for.get(nic.mac or "")
        if found is not None:
            mine = settings[found.adapter.guid]
            name = _name(guest, found, bool(mine) or wanted is not None)
            why = found.why if wanted is None else "--mac asks for them"
            yield Replay(found.mac, _with_wanted(mine, wanted), found.adapter, name, why)
        elif wanted is not None:
            yield Replay(wanted.mac, _with_wanted(IpSettings(), wanted), why="--mac asks for them")


def _with_wanted(settings: IpSettings, wanted: Wanted | None) -> IpSettings:
    """Return the settings with what the user asked for in place of the addresses and gateways of that family."""
    if wanted is None:
        return settings
    kept = [one for one in settings.addresses if one.version not in wanted.families]
    routes = [one for one in settings.routes if not (one.is_default and one.network.version in wanted.families)]
    everywhere = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
    families = {server.version for server in wanted.nameservers}
    return replace(
        settings,
        addresses=(*wanted.addresses, *kept),
        routes=(*(Route(everywhere[one.version], one) for one in wanted.gateways), *routes),
        nameservers=(*wanted.nameservers, *(one for one in settings.nameservers if one.version not in families)),
    )


def _with_routes(
    guest: WindowsGuest, adapters: Sequence[Adapter], settings: dict[str, IpSettings]
) -> dict[str, IpSettings]:
    """Return the settings with the routes that were set for good, each once.

    Windows XP and 2003 have routes that belong to no adapter: they stay.
    """
    if not guest.system.at_least(6):
        return settings
    rows = [*_rows(guest, 4), *_rows(guest, 6)]
    known: dict[str, list[Route]] = {guid: list(one.routes) for guid, one in settings.items()}
    metrics = {(route.network, route.gateway): route.metric for _, route in persistent_routes(guest)}
    for adapter in adapters:
        for row in rows:
            if adapter.luid is not None and row.luid == adapter.luid:
                metric = row.metric if row.metric is not None else metrics.get((row.network, row.gateway))
                known[adapter.guid].append(Route(row.network, row.gateway, metric))
    placed = {(row.network, row.gateway) for row in rows}
    for _, route in persistent_routes(guest):
        if (route.network, route.gateway) in placed:
            continue
        near = [guid for guid, one in settings.items() if any(route.gateway in a.network for a in one.addresses)]
        if len(near) == 1:
            known[near[0]].append(route)
        elif not route.is_default:
            reports.warn_of_route(guest, route)
    return {guid: replace(one, routes=_once(known[guid])) for guid, one in settings.items()}


def _rows(guest: WindowsGuest, family: int) -> Iterable[nsi.RouteRow]:
    table = guest.registry.key(HiveName.SYSTEM, rf"{guest.system.current}\{nsi.ROUTES[family]}")
    rows = table.values() if table is not None else {}
    found = [nsi.route(family, name, value) for name, value in rows.items()]
    return [row for row in found if row is not None and not row.gateway.is_unspecified]


def _once(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Return each destination and gateway once, the default routes first; the first metric counts."""
    found: dict[tuple[object, object], Route] = {}
    for route in routes:
        found.setdefault((route.network, route.gateway), route)
    return tuple(sorted(found.values(), key=lambda route: not route.is_default))


def _name(guest: WindowsGuest, found: Pair, has_settings: bool) -> str | None:
    """Return the name that a connection gets back, or None if it need not or cannot."""
    name = found.adapter.name
    if not name or (not has_settings and _DEFAULT_NAME.fullmatch(name)):
        return None
    try:
        name.encode(codepage(guest))
    except UnicodeEncodeError:
        reports.warn_of_name(guest, found)
        return None
    if _NO_NAME.search(name) or len(name) > _LONGEST_NAME:
        reports.warn_of_name(guest, found)
        return None
    return name


def codepage(guest: WindowsGuest) -> str:
    """Return Python's name of the code page of the guest's console, or "ascii" if it is not known."""
    key = guest.registry.key(HiveName.SYSTEM, rf"{guest.system.current}\{_CODEPAGE}")
    value = key.value("OEMCP") if key is not None else None
    number = (value.text if value is not None else None) or ""
    if number == "65001":
        return "utf-8"
    try:
        return codecs.lookup(f"cp{number}").name if re.fullmatch(r"\d{3,5}", number, re.ASCII) else "ascii"
    except LookupError:
        return "ascii"


def _cleared(pairing: Pairing, settings: dict[str, IpSettings], replays: Sequence[Replay]) -> tuple[Adapter, ...]:
    """Return the adapters whose addresses are removed: those of the NICs, and any other with one of their addresses."""
    replaced = [one.adapter for one in replays if one.adapter is not None and one.settings]
    used = {address.ip for one in replays for address in one.settings.addresses}
    others = [
        adapter
        for adapter in (*pairing.gone, *pairing.unknown)
        if any(address.ip in used for address in settings[adapter.guid].addresses)
    ]
    return (*replaced, *others)
