# SPDX-License-Identifier: GPL-2.0-or-later
"""The networks and bridges of the target's interfaces: ``--map``, ``-b``, ``-n``, ``--mac MAC:network|bridge:NAME``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from v2v_core.errors import UsageError
from v2v_core.model import Nic
from v2v_core.near_names import nearest
from v2v_core.settings import NicMapping

#: Interfaces and networks that a message names.
_LISTED = 10


def map_nics(nics: Sequence[Nic], mappings: Sequence[NicMapping]) -> tuple[Nic, ...]:
    """Return the interfaces with the networks or bridges that they have at the target.

    The first mapping that fits an interface is used, in this order: by its MAC address, by the name of its network or
    bridge at the source, the default for its kind. An interface without a mapping stays as it is. Only a mapping by MAC
    address or by ``--map`` changes a bridge into a network or a network into a bridge.
    """
    return tuple(_mapped(nic, _mapping_of(nic, mappings)) for nic in nics)


def check_mappings(nics: Sequence[Nic], mappings: Sequence[NicMapping]) -> tuple[str, ...]:
    """Return a warning for each mapping that fits no interface. The same mappings may be meant for many guests.

    :raises UsageError: the mapping is wrong for certain: no interface has its MAC address, or its name differs from
        that of a network or bridge without a mapping in nothing but the case of letters or the kind.
    """
    warnings = []
    for mapping in mappings:
        if any(_fits(nic, mapping) for nic in nics):
            continue
        complaint = f"{_shown(mapping)} fits no interface of the guest"
        has = _inventory(nics)
        if mapping.mac is not None and all(nic.mac for nic in nics):
            # an address that the source does not state is a new one in each run, so it cannot be named here
            hint = (
                f"{has}; describe an interface whose address the source does not state with --nic network=NAME,mac=MAC"
            )
            raise UsageError(f"{complaint}: none has this MAC address", hint=hint)
        free = [nic for nic in nics if _mapping_of(nic, mappings) is None]
        if (meant := _meant(mapping, free)) is not None:
            raise UsageError(complaint, hint=f"did you mean {meant}? {has}")
        warnings.append("; ".join((complaint, has, *_advice(mapping, free))))
    return tuple(warnings)


def unmapped(nics: Sequence[Nic], mappings: Sequence[NicMapping]) -> str | None:
    """Return a warning about networks and bridges of the source that keep their names, or None.

    A target has a network of its own with the name ``default``; others it has only if an administrator made them.
    """
    kept = dict.fromkeys(
        (nic.kind, nic.network)
        for nic in nics
        if (nic.kind, nic.network) not in {("network", "default"), ("network", "")}
        and _mapping_of(nic, mappings) is None
    )
    if not kept:
        return None
    listed = _limited([f"the {kind} {name!r}" for kind, name in kept])
    first = next(iter(kept))[1]
    example = f"{first}=network:default"
    return (
        f"the target must have {listed}, as the source has: the guest does not start without; "
        f"or connect it to another one, for example with --map {_quoted(example)}"
    )


def with_given(mappings: Sequence[NicMapping], given: Sequence[Nic]) -> tuple[NicMapping, ...]:
    """Return the mappings with one more for each network or bridge of ``--nic``: the user said where that goes."""
    said = {(nic.kind, nic.network): None for nic in given if _mapping_of(nic, mappings) is None}
    return (*mappings, *(NicMapping(kind=kind, target=name, source=name) for kind, name in said))


def _mapped(nic: Nic, mapping: NicMapping | None) -> Nic:
    return nic if mapping is None else dataclasses.replace(nic, kind=mapping.kind, network=mapping.target)


def _mapping_of(nic: Nic, mappings: Sequence[NicMapping]) -> NicMapping | None:
    """Return the mapping that applies to an interface."""
    fitting = [mapping for mapping in mappings if _fits(nic, mapping)]
    # an exact statement counts more than a general one; of two equal ones the first
    return min(fitting, key=lambda mapping: (mapping.mac is None, mapping.source is None), default=None)


def _fits(nic: Nic, mapping: NicMapping) -> bool:
    if mapping.mac is not None:
        return nic.mac is not None and nic.mac.lower() == mapping.mac
    return (mapping.either or mapping.kind == nic.kind) and mapping.source in {None, nic.network}


def _meant(mapping: NicMapping, free: Sequence[Nic]) -> str | None:
    """Return what the user certainly meant.

    :param free: the interfaces without a mapping.
    """
    if mapping.source is None:
        return None
    if any(nic.network == mapping.source for nic in free):
        # the name is right, so the kind is not: the option is for networks, and this is a bridge
        return f"--map {_quoted(f'{mapping.source}={mapping.kind}:{mapping.target}')}"
    same = (nic.network for nic in _of_kind(mapping, free) if _plain(nic.network) == _plain(mapping.source))
    return next((repr(name) for name in same), None)


def _advice(mapping: NicMapping, free: Sequence[Nic]) -> Iterator[str]:
    """Yield what the user may have meant; LAN is near to WAN, too."""
    if mapping.source is not None:
        for name in nearest(mapping.source, [nic.network for nic in _of_kind(mapping, free)]):
            yield f"did you mean {name!r}?"
    elif free and not mapping.either:
        yield f"--map {mapping.kind}:{mapping.target} is for networks and bridges alike"


def _of_kind(mapping: NicMapping, nics: Sequence[Nic]) -> list[Nic]:
    return [nic for nic in nics if mapping.either or nic.kind == mapping.kind]


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _shown(mapping: NicMapping) -> str:
    if mapping.mac is not None:
        return f"--mac {mapping.mac}:{mapping.kind}:{mapping.target}"
    if mapping.either:
        left = "" if mapping.source is None else f"{mapping.source}="
        return f"--map {_quoted(f'{left}{mapping.kind}:{mapping.target}')}"
    left = "" if mapping.source is None else f"{mapping.source}:"
    return f"--{mapping.kind} {_quoted(f'{left}{mapping.target}')}"


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _inventory(nics: Sequence[Nic]) -> str:
    """Return what the guest has, in words."""
    if not nics:
        return "the guest has no interface"
    return f"the guest has {_limited(list(_each(nics)))}"


def _each(nics: Sequence[Nic]) -> Iterator[str]:
    for nic in nics:
        yield f"{nic.mac or 'an interface without MAC address'} on the {nic.kind} {nic.network!r}"


def _limited(words: list[str]) -> str:
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f" and {more} more" if more > 0 else "")
