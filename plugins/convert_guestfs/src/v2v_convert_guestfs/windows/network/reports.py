# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user is told about the guest's network settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.network.adapters import Adapter
from v2v_convert_guestfs.windows.network.pairing import Pair, Pairing
from v2v_convert_guestfs.windows.network.settings import IpSettings, Route

#: How many adapters a warning names.
_LISTED = 10


def report(
    guest: WindowsGuest,
    pairing: Pairing,
    composed: Sequence[Adapter],
    settings: Mapping[str, IpSettings],
    asked_for: Collection[str],
) -> None:
    """Report what is carried over, and warn about what is guessed or cannot be.

    :param asked_for: MAC addresses for which the user has stated addresses.
    """
    session = guest.session
    if pairing.macs:
        listed = ", ".join(pairing.macs.values())
        session.report.info(f"The source states no MAC address, and Windows remembers it: the target gets {listed}")
    for pair in pairing.pairs:
        if settings[pair.adapter.guid].addresses:
            session.report.info(f"{_named(pair.adapter, settings)} is the NIC {pair.mac}: {pair.why}")
        if pair.adapter.overridden not in {None, pair.mac}:
            session.report.warning(
                f"Windows used the MAC address {pair.adapter.overridden} for {_name(pair.adapter)} in place of the "
                f"machine's {pair.mac}, and on KVM it does not: give the NIC that address at the target if the network "
                "needs it"
            )
    _report_guessed(guest, pairing, settings)
    _report_unknown(guest, pairing, settings, asked_for)
    for adapter in composed:
        session.report.warning(
            f"{_named(adapter, settings)} is {adapter.composed}, whose NICs are others on KVM: make it again in the "
            "converted guest, with these addresses"
        )


def _report_guessed(guest: WindowsGuest, pairing: Pairing, settings: Mapping[str, IpSettings]) -> None:
    guessed = [pair for pair in pairing.pairs if pair.guessed]
    if not any(settings[pair.adapter.guid] for pair in guessed):
        return
    listed = "; ".join(f"{_named(pair.adapter, settings)} is {_nic(guest, pair)}" for pair in guessed)
    if pairing.macs:
        described = " ".join(f"--nic network=NAME,mac={mac}" for mac in list(pairing.macs.values())[:_LISTED])
        remedy = f"describe the NICs, each with its network: {described}"
    else:
        remedy = f"convert again with the right MAC addresses in {_options(guessed, settings)}"
    guest.session.report.warning(
        f"which of the source's NICs had which addresses was guessed from their order: {listed}. If this is wrong, "
        + remedy
    )


def _nic(guest: WindowsGuest, pair: Pair) -> str:
    network = guest.session.request.guest.nics[pair.position].network
    return f"NIC {pair.position + 1} on {network[:100]!r} ({pair.mac})"


def _report_unknown(
    guest: WindowsGuest, pairing: Pairing, settings: Mapping[str, IpSettings], asked_for: Collection[str]
) -> None:
    nics = guest.session.request.guest.nics
    free = [nics[position] for position in pairing.free]
    for_them = ", ".join(mac for nic in free if (mac := mac_address(nic.mac)) and not nic.mac_is_new) or "none known"
    unsettled = [nic for nic in free if nic.mac not in asked_for]
    unknown = [one for one in pairing.unknown if settings[one.guid].addresses]
    gone = [one for one in pairing.gone if settings[one.guid].addresses]
    if not unsettled:
        unknown, gone = [], [*unknown, *gone]
    if unknown:
        listed = "; ".join(_named(one, settings) for one in unknown[:_LISTED])
        guest.session.report.warning(
            f"it is not known which of the source's NICs ({for_them}) had which of these addresses, so they are not "
            f"carried over: {listed}. " + _how_to_say(unknown, settings, stated=not any(nic.mac_is_new for nic in free))
        )
    for adapter in gone:
        text = f"{_named(adapter, settings)} is none of the source's NICs"
        if unsettled:
            guest.session.report.warning(
                f"{text} by its MAC address, so its addresses are not carried over. If it is one (known: {for_them}), "
                + _how_to_say([adapter], settings, stated=True)
            )
        else:
            guest.session.report.info(f"{text} and was removed earlier: its addresses are not carried over")


def _how_to_say(adapters: Sequence[Adapter], settings: Mapping[str, IpSettings], *, stated: bool) -> str:
    """Return what the user can do so that it is known which NIC an adapter was."""
    known = [adapter.mac for adapter in adapters if adapter.mac is not None]
    if not stated and len(known) == len(adapters):
        options = " ".join(f"--nic network=NAME,mac={mac}" for mac in known[:_LISTED])
        return f"Describe the NICs of the machine: {options}"
    options = " ".join(f"--mac MAC:ip:{_as_option(settings[one.guid])}" for one in adapters[:_LISTED])
    return f"say so with {options}" if len(adapters) == 1 else f"Say so with {options}"


def warn_of_route(guest: WindowsGuest, route: Route) -> None:
    """Warn about a route that no connection is known for."""
    guest.session.report.warning(
        f"Windows has a persistent route to {route.network} by {route.gateway}, and that gateway is in no network "
        "of a static address: it is not carried over to the new NICs. Add it again in the guest with route -p add"
    )


def warn_of_name(guest: WindowsGuest, pair: Pair) -> None:
    """Warn that a connection has another name on KVM."""
    guest.session.report.warning(
        f"the connection {pair.adapter.name[:100]!r} ({pair.mac}) gets another name on KVM, because the code page of "
        "Windows's console lacks some of its characters: rename it in the converted guest if anything refers to it"
    )


def _options(pairs: Sequence[Pair], settings: Mapping[str, IpSettings]) -> str:
    return " ".join(
        f"--mac {pair.mac}:ip:{_as_option(settings[pair.adapter.guid])}"
        for pair in pairs[:_LISTED]
        if settings[pair.adapter.guid].addresses
    )


def _as_option(settings: IpSettings) -> str:
    """Return the first address with gateway, prefix length and name servers, as --mac wants it."""
    address = settings.addresses[0]
    gateway = next((one.gateway for one in settings.routes_of(address.version) if one.is_default), "")
    words = [address.ip, gateway, address.network.prefixlen, *settings.nameservers]
    return ",".join(str(word) for word in words)


def _name(adapter: Adapter) -> str:
    return f"the connection {adapter.name[:100]!r}" + (f" ({adapter.mac})" if adapter.mac else "")


def _named(adapter: Adapter, settings: Mapping[str, IpSettings]) -> str:
    addresses = ", ".join(str(address) for address in settings[adapter.guid].addresses[:_LISTED])
    return _name(adapter) + (f" with {addresses}" if addresses else "")
