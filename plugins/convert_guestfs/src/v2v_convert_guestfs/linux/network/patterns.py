# SPDX-License-Identifier: GPL-2.0-or-later
"""Patterns for names of NICs, such as ``ens*``: which names they match, and a name that one of them matches."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterator, Sequence

from v2v_convert_guestfs.linux.network.names import has_wildcard, nic_name
from v2v_convert_guestfs.linux.network.scheme import Scheme, is_of

#: The usual names of the first NICs on VMware, and then on VirtualBox.
_USUAL = (
    "ens192",
    "ens224",
    "ens256",
    "ens161",
    "ens160",
    "ens33",
    "ens34",
    "enp0s3",
    "enp0s8",
    "eno1",
    "eth0",
    "eth1",
)
#: Names that the guest can give to a NIC on KVM by itself; a pattern that matches them all needs no pin.
_ON_KVM = {
    Scheme.KERNEL: ("eth0",),
    Scheme.SLOT: ("ens3", "enp1s0", "enp0s3"),
    Scheme.PATH: ("enp1s0", "enp0s3"),
    Scheme.MAC: ("enx525400010203", "enx005056010203"),
}
_LAST = 100


def fits(words: Sequence[str], name: str) -> bool:
    """Return whether a name matches one of the words."""
    return any(fnmatch.fnmatchcase(name, word.replace("[^", "[!")) for word in words)


def fits_on_kvm(words: Sequence[str], scheme: Scheme) -> bool:
    """Return whether a NIC matches on KVM whatever place it gets there."""
    return all(fits(words, name) for name in _ON_KVM[scheme])


def name_for(words: Sequence[str], taken: Collection[str], scheme: Scheme) -> str | None:
    """Return a name that matches one of the words: if possible, a usual one of a scheme, and none that is taken."""
    names = [name for name in _candidates(words) if name not in taken and nic_name(name) and fits(words, name)]
    return next(iter(sorted(names, key=lambda name: not is_of(name, scheme))), None)


def _candidates(words: Sequence[str]) -> Iterator[str]:
    yield from (word for word in words if not has_wildcard(word))
    yield from (name for name in _USUAL if fits(words, name))
    for word in words:
        for number in range(_LAST):
            digits = iter(str(number))
            # A list of characters, [0-9] or [ab], becomes its first one.
            filled = re.sub(r"\[[!^]?([^\]])[^\]]*\]", r"\1", word)
            yield "".join(next(digits, "0") if letter in "*?" else letter for letter in filled)
            yield filled.replace("*", str(number)).replace("?", "0")
