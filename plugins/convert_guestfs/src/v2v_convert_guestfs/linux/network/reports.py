# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user is told about the names of NICs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from v2v_convert_guestfs.linux.network import patterns
from v2v_convert_guestfs.linux.network.mentions import Mention
from v2v_convert_guestfs.linux.network.names import Reading
from v2v_convert_guestfs.linux.network.pairing import Pairing, Pin
from v2v_convert_guestfs.session import Session

_LINKS = "/etc/systemd/network"
_RULES = "/etc/udev/rules.d/70-v2v-net.rules"
#: How many NICs or places a warning names.
_LISTED = 10


def report(session: Session, pairing: Pairing) -> None:
    """Report the names that are kept, and warn about those that are guessed or unknown."""
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
            "correct the address in the guest's configuration, or give the NIC that address at the target"
        )


def warn_without_macs(session: Session, configured: Reading, existing: Reading) -> None:
    """Warn that no name can be kept, because the MAC addresses are unknown."""
    listed = ", ".join(sorted(configured.nics)[:_LISTED])
    kept = ", ".join(f"{name} has {mac}" for name, mac in sorted(existing.nics.items())[:_LISTED] if mac)
    session.report.warning(
        f"the guest configures {listed} by name, but the source does not state the MAC addresses of its NICs: on KVM "
        "they may have other names, and the guest no network. Convert from a source that describes the machine, or "
        "rename them in the guest's configuration" + (f" ({kept} in the guest)" if kept else "")
    )


def warn_of_hardware(session: Session, path: str, note: str) -> None:
    """Warn about a setting that depends on the old hardware."""
    session.report.warning(
        f"{path} in the guest: {note}, which may fail on KVM: make it match by the MAC address instead"
    )


def report_chosen(session: Session, pins: Sequence[Pin], listed: str, *, several: bool) -> None:
    """Report names that were chosen so that patterns match them; warn if it is a guess which pattern is for which."""
    if not pins:
        return
    names = ", ".join(f"{pin.name} is {pin.mac}" for pin in pins)
    text = f"the guest configures NICs by the pattern {listed}, and their old names are unknown: {names} from now on"
    if several:
        session.report.warning(f"{text}. Which is which was guessed from their order")
    else:
        session.report.info(text[0].upper() + text[1:])


def warn_of_patterns(session: Session, listed: str) -> None:
    """Warn that it is unknown for which NICs patterns are."""
    session.report.warning(
        f"the guest configures NICs by the pattern {listed}, and it is unknown which of the source's NICs matched: on "
        "KVM, another or none may match. Configure the NIC by its MAC address on the source hypervisor and convert "
        "again, or in the converted guest"
    )


def warn_of_mentions(session: Session, mentioned: Sequence[Mention], known: Collection[str]) -> None:
    """Warn, once, that files name NICs, where the source's names of some NICs are unknown.

    :param known: names that are kept, or that another warning is about.
    """
    lost = [mention for mention in mentioned if not any(patterns.fits([mention.pattern], name) for name in known)]
    if not lost:
        return
    places = ", ".join(f"{mention.name} in {mention.path} line {mention.line}" for mention in lost[:_LISTED])
    more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
    session.report.warning(
        f"files of the guest name NICs, and it is unknown which of the source's NICs had these names: {places}{more}. "
        "On KVM the NICs may have other names: correct the files in the converted guest"
    )
