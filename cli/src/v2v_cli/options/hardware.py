# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user says about the guest's hardware: the values of ``--memory``, ``--nic`` and ``--metadata``."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from v2v_core.errors import UsageError
from v2v_core.model import Nic

_MIB = 1024**2
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([KMGT]?)(?:I?B)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
#: Bytes. No guest of today runs with less, and no host has more.
_LEAST_MEMORY, _MOST_MEMORY = 16 * _MIB, 64 * 1024**4
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_NIC_FORM = "network=NAME or bridge=NAME, then ,mac=MAC if it has a certain MAC address; or none"


def memory_size(option: str, word: str) -> int:
    """Read an amount of memory: ``4G``, ``4GiB``, ``1.5G``, ``4096MiB``; a number alone counts MiB. Return bytes.

    Memory is counted in powers of two, so GB is the same as GiB.
    """
    match = _SIZE.fullmatch(word.strip())
    if match is None:
        raise UsageError(f"{option}: {word!r} is not an amount of memory", hint=f"write, for example, {option} 4G")
    number, unit = Decimal(match[1]), match[2].upper()
    alone = match[0].strip() == match[1]
    size = number * (_MIB if alone else _UNITS[unit])
    if size % 1024:
        raise UsageError(f"{option}: {word!r} is not a whole number of KiB", hint=f"write, for example, {option} 1536M")
    if size < _LEAST_MEMORY:
        meant = (
            f"did you mean {word}G? a number alone counts MiB"
            if alone and number
            else f"the least is {_LEAST_MEMORY // _MIB}M"
        )
        raise UsageError(f"{option}: {word!r} is too little memory for a guest", hint=meant)
    if size > _MOST_MEMORY:
        meant = "a number alone counts MiB" if alone else f"the most is {_MOST_MEMORY // 1024**4}T"
        raise UsageError(f"{option}: {word!r} is more memory than any host has", hint=meant)
    return int(size)


def nic_list(option: str, words: tuple[str, ...]) -> tuple[Nic, ...]:
    """Read the interfaces of the guest: ``network=NAME[,mac=MAC]``, ``bridge=NAME[,mac=MAC]``; ``none`` is for none."""
    if words == ("none",):
        return ()
    nics = tuple(_nic(option, word) for word in words)
    macs = [nic.mac for nic in nics if nic.mac is not None]
    twice = next((mac for mac in macs if macs.count(mac) > 1), None)
    if twice is not None:
        raise UsageError(f"{option}: two interfaces have the MAC address {twice}", hint="give each one of its own")
    return nics


def _nic(option: str, word: str) -> Nic:
    kind, sign, rest = _split(word)
    # the name may have a comma in it, the MAC address has none
    name, comma, mac_word = rest.rpartition(",mac=") if ",mac=" in rest else (rest, "", "")
    if kind not in {"network", "bridge"} or not sign or not name:
        raise UsageError(f"{option}: cannot understand {word!r}", hint=f"write {_NIC_FORM}")
    return Nic(kind=kind, network=name, mac=_mac(option, mac_word) if comma else None)


def _split(word: str) -> tuple[str, str, str]:
    # --map and --mac have a colon there, virt-install an equals sign
    match = re.match("([a-z]*)([=:])", word)
    return (match[1], match[2], word[match.end() :]) if match else (word, "", "")


def _mac(option: str, word: str) -> str:
    mac = word.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or mac == "00:00:00:00:00:00":
        raise UsageError(
            f"{option}: {word!r} is not a MAC address", hint="write six pairs of hexadecimal digits: 52:54:00:12:34:56"
        )
    if int(mac[:2], 16) & 1:
        raise UsageError(
            f"{option}: {word!r} is the MAC address of a group, not of one interface",
            hint="the second digit of an interface's address is even",
        )
    return mac


def metadata_file(_option: str, word: str) -> Path:
    """Return the absolute path of a file that is read later, and only once: it may be a pipe."""
    return Path(word).absolute()
