# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of options, checked and turned into records. A value that may be a secret is in no message."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from v2v_core.errors import UsageError
from v2v_core.model import StaticAddress
from v2v_core.settings import NicMapping, RawOptions

_MAC = re.compile(r"((?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}):(network|bridge|ip):(.*)", re.DOTALL)
#: Number of fields of a key selector after the ID, by kind.
_KEY_FIELDS = {"key": 2, "file": 2, "clevis": 1}
#: Characters that are read from standard input.
_KEYS_LIMIT = 1024 * 1024


def key_values(words: Iterable[str]) -> RawOptions:
    """Split ``KEY=VALUE`` at the first ``=``; a bare key has no value.

    :raises UsageError: there is no key.
    """
    options = []
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise UsageError("-io and -oo need a key", hint="write KEY=VALUE")
        options.append((key, value if equals else None))
    return tuple(options)


def nic_mappings(networks: Iterable[str], bridges: Iterable[str], macs: Iterable[str]) -> tuple[NicMapping, ...]:
    """Read ``-n``, ``-b`` and ``--mac``.

    :raises UsageError: malformed, or two for the same interface.
    """
    mappings = [
        *_map_all("-n", "network", networks),
        *_map_all("-b", "bridge", bridges),
    ]
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


def _map_all(option: str, kind: str, words: Iterable[str]) -> Iterable[NicMapping]:
    seen: set[str | None] = set()
    for word in words:
        left, colon, right = word.partition(":")
        # "x", "x:" and ":x" all map everything of this kind to x
        source, target = (left, right) if colon and left and right else (None, left or right)
        if not target:
            raise UsageError(f"{option} needs a name", hint=f"write {option} SOURCE:TARGET, or {option} TARGET")
        if source in seen:
            about = "default mapping" if source is None else f"mapping of {source!r}"
            raise UsageError(f"duplicate {option} parameter: there is more than one {about}")
        seen.add(source)
        yield NicMapping(kind=kind, target=target, source=source)


def static_addresses(macs: Iterable[str]) -> tuple[StaticAddress, ...]:
    """Read those of ``--mac`` that give an address: ``MAC:ip:ADDRESS[,GATEWAY[,LENGTH[,NAMESERVER…]]]``.

    :raises UsageError: an address or a length makes no sense.
    """
    found = [
        _static_address(word, mac, rest) for word in macs for mac, kind, rest in [_mac_words(word)] if kind == "ip"
    ]
    return tuple(dict.fromkeys(found))


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
            f"--mac: {length_word!r} is no prefix length of {address}",
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
        raise UsageError(f"--mac: {text!r} in {word!r} is no IP address") from err
    if getattr(address, "scope_id", None) is not None or address.is_multicast or address.is_unspecified:
        raise UsageError(f"--mac: {text!r} in {word!r} is not the address of one machine")
    return address


def key_selectors(words: Iterable[str]) -> tuple[str, ...]:
    """Check the form of ``--key``; ``/dev/mapper/VG-LV`` becomes ``/dev/VG/LV``.

    :raises UsageError: malformed; the message holds no part of it.
    """
    selectors = []
    for number, word in enumerate(words, start=1):
        name, *rest = word.split(":")
        if not name or not rest or len(rest) != _KEY_FIELDS.get(rest[0]) or not all(rest):
            raise UsageError(
                f"--key number {number} is malformed",
                hint="write ID:file:FILE, ID:key:STRING or ID:clevis; ID is a device, a UUID or 'all'",
            )
        if rest[0] == "file":
            readable_file("--key", Path(rest[1]))
        selectors.append(":".join([_plain_device(name), *rest]))
    return tuple(selectors)


def keys_in(stream: TextIO | None) -> tuple[str, ...]:
    """Read keys, one a line, as selectors for every device.

    :raises UsageError: there is nothing to read, or it is no text; the message holds no part of it.
    """
    if stream is None or stream.isatty():
        raise UsageError(
            "--keys-from-stdin: standard input is a terminal",
            hint="write --keys-from-stdin < FILE, or give --key ID:file:FILE",
        )
    try:
        lines = stream.read(_KEYS_LIMIT).splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError("--keys-from-stdin: standard input cannot be read as text") from err
    keys = tuple(f"all:key:{line}" for line in lines if line)
    if not keys:
        raise UsageError("--keys-from-stdin: there is no key on standard input")
    return keys


def collected(words: Sequence[str], output: Path | None) -> dict[str, Any]:
    """Check ``--collect`` and ``--collect-output``, and give them as settings of the converter.

    :raises UsageError: one without the other, a name that leads out of the archive, an archive that cannot be written.
    """
    if not words and output is None:
        return {}
    if not words or output is None:
        given, lacking = ("--collect", "--collect-output") if words else ("--collect-output", "--collect")
        raise UsageError(f"{given} needs {lacking}", hint="write --collect /etc --collect-output FILE.tar.xz")
    pairs = []
    for word in words:
        place, _, name = word.partition(":")
        if not place.startswith("/"):
            raise UsageError(f"--collect: {place!r} is no absolute path in the guest")
        if name.startswith("/") or ".." in name.split("/"):
            raise UsageError(f"--collect: {name!r} leads out of the archive")
        pairs.append([place, "" if name == "." else name])
    output = output.absolute()
    if not output.parent.is_dir() or output.is_dir():
        raise UsageError(f"--collect-output: {output} cannot be written", hint="name a file in a directory that exists")
    return {"collect": pairs, "collect_output": str(output)}


def _plain_device(name: str) -> str:
    # the device mapper doubles a hyphen of a name, and separates volume group and volume by a single one
    match = re.fullmatch(r"/dev/mapper/((?:[^-]|--)+)-((?:[^-]|--)+)", name)
    return "/dev/" + "/".join(part.replace("--", "-") for part in match.groups()) if match else name


def readable_file(option: str, path: Path | None) -> Path | None:
    """Check that a file can be read, and give its absolute path.

    :raises UsageError: it cannot.
    """
    if path is None:
        return None
    try:
        with path.open("rb"):
            return path.absolute()
    except OSError as err:
        raise UsageError(f"{option}: cannot read {path}: {err.strerror}") from err


def connection_uri(option: str, uri: str | None) -> str | None:
    """Check that a connection holds no password: the command line is visible to every user of the machine.

    :raises UsageError: it does; the message does not hold it.
    """
    try:
        password = None if uri is None else urlsplit(uri).password
    except ValueError:
        password = None
    if password is not None:
        raise UsageError(
            f"{option} holds a password, which every user of this machine could see",
            hint=f"put it into a file and name that with -{option[1]}p FILE",
        )
    return uri


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """Check a word against a list.

    :raises UsageError: it is not in it.
    """
    if value not in allowed:
        raise UsageError(f"unknown {option} {value!r}", hint=f"choose one of {', '.join(allowed)}")
    return value


def root_choice(value: str) -> str:
    """Check ``--root``.

    :raises UsageError: neither a word that is known nor a device.
    """
    if value in {"ask", "single", "first"} or value.startswith("/dev/"):
        return value
    raise UsageError(f"unknown --root {value!r}", hint="choose ask, single, first, or a device as in /dev/sda2")


def at_least_one(option: str, value: int | None) -> int | None:
    """Check a number.

    :raises UsageError: it is 0 or negative.
    """
    if value is not None and value < 1:
        raise UsageError(f"{option} must be at least 1, and not {value}")
    return value
