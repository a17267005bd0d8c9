# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses in /etc/network/interfaces of Debian's ifupdown, and name servers in /etc/resolv.conf.

The format is specified in interfaces(5).
"""

from __future__ import annotations

import re

from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.linux.network import ifupdown
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted

INTERFACES = "/etc/network/interfaces"
RESOLV_CONF = "/etc/resolv.conf"
_FAMILIES = {4: "inet", 6: "inet6"}
_ADDRESSING = frozenset({"address", "netmask", "gateway", "broadcast", "network", "pointopoint"})
#: Keywords that start a new stanza. Other lines are options of the current one.
_STANZA = re.compile(r"(?:iface|auto|allow-\S+|mapping|source(?:-directory)?|rename|template|no-auto-down)", re.ASCII)


def edit(data: bytes, wanted: Wanted) -> bytes | None:
    """Set the addresses of the NIC in its stanzas, and add a stanza for each address that has none.

    :raises NotEditable: the NIC may be a port of a bridge or bond, or a stanza cannot be edited.
    """
    text = data.decode("latin-1")
    stanzas = _stanzas(text)
    mine = [stanza for stanza in stanzas if stanza[0].split()[:1] == ["iface"] and _name(stanza) in wanted.names]
    if not mine or _name(mine[0]) not in ifupdown.interfaces(data).nics:
        return None
    if any(re.match(r"bond[-_]master$", _key(line)) for stanza in mine for line in stanza) or any(
        _method(stanza) == "manual" and _family(stanza) in wanted.families for stanza in mine
    ):
        raise NotEditable("it has no address of its own there: it may be a port of a bridge or bond")
    # Anything that is added must not continue the last line, so an empty line ends it.
    stanzas = _stanzas(ended(text)) if text.endswith(("\\", "\\\n")) else stanzas
    mine = [stanza for stanza in stanzas if stanza[0].split()[:1] == ["iface"] and _name(stanza) in wanted.names]
    left = {family: list(wanted.addresses_of(family)) for family in wanted.families}
    first, begun = True, set[int]()
    for stanza in stanzas:
        if not any(stanza is own for own in mine) or _family(stanza) not in left:
            continue
        if addresses := left[_family(stanza)]:
            # The first stanza of a family gets the gateway, the first stanza of all the name servers.
            _replace(stanza, wanted, addresses.pop(0), gateway=_family(stanza) not in begun, servers=first)
            first = False
            begun.add(_family(stanza))
        else:
            stanza[:] = ["# " + line.replace("\n", "\n# ") if line.strip() else line for line in stanza]
    out = "\n".join(line for stanza in stanzas for line in stanza)
    for family, addresses in left.items():
        for address in addresses:
            out = ended(out) + _stanza(wanted, _name(mine[0]), address, gateway=family not in begun, servers=first)
            first = False
            begun.add(family)
    return out.encode("latin-1")


def added(data: bytes, wanted: Wanted) -> bytes | None:
    """Add stanzas for a NIC that the file does not configure. Return None if the name of the NIC is unknown."""
    if not wanted.names:
        return None
    text = data.decode("latin-1")
    text = ended(text) + f"\nauto {wanted.names[0]}\n"
    for family in wanted.families:
        for number, address in enumerate(wanted.addresses_of(family)):
            servers = number == 0 and family == wanted.families[0]
            text += _stanza(wanted, wanted.names[0], address, gateway=number == 0, servers=servers)
    return text.encode("latin-1")


def resolv_conf(data: bytes, wanted: Wanted) -> bytes:
    """Replace the name servers in resolv.conf(5)."""
    kept = [line for line in data.decode("latin-1").split("\n") if line.split()[:1] != ["nameserver"]]
    while kept and not kept[-1].strip():
        kept.pop()
    return "".join(f"{line}\n" for line in (*kept, *(f"nameserver {one}" for one in wanted.nameservers))).encode(
        "latin-1"
    )


def _stanzas(text: str) -> list[list[str]]:
    """Split the text into stanzas of lines. A continued line stays one line.

    Each stanza starts with its keyword, except that the first one has the lines before any keyword.
    """
    stanzas: list[list[str]] = [[]]
    for line in re.split(r"(?<!\\)\n", text):
        word = line.split()[:1]
        if word and _STANZA.fullmatch(word[0]):
            stanzas.append([])
        stanzas[-1].append(line)
    return [stanza for stanza in stanzas if stanza]


def _replace(stanza: list[str], wanted: Wanted, address: str, *, gateway: bool, servers: bool) -> None:
    servers = servers and bool(wanted.nameservers)
    head = re.match(r"([ \t]*iface[ \t]+\S+[ \t]+inet6?[ \t]+)\S+(.*)", stanza[0], re.ASCII | re.DOTALL)
    if head is None:
        raise NotEditable("it is written in a way that cannot be edited")
    kept = [
        line
        for line in stanza[1:]
        if _key(line) not in _ADDRESSING and not (servers and _key(line) == "dns-nameservers")
    ]
    indent = next((line[: len(line) - len(line.lstrip())] for line in stanza[1:] if line.strip()), "    ")
    new = [f"{indent}{option}" for option in _options(wanted, address, gateway=gateway, servers=servers)]
    stanza[:] = [f"{head[1]}static{head[2]}", *new, *kept]


def _stanza(wanted: Wanted, name: str, address: str, *, gateway: bool, servers: bool) -> str:
    family = _FAMILIES[6 if ":" in address else 4]
    options = _options(wanted, address, gateway=gateway, servers=servers and bool(wanted.nameservers))
    return f"iface {name} {family} static\n" + "".join(f"    {option}\n" for option in options)


def _options(wanted: Wanted, address: str, *, gateway: bool, servers: bool) -> list[str]:
    family = 6 if ":" in address else 4
    interface = next(one for one in wanted.addresses if str(one) == address)
    # Old versions do not support the prefix length after the address.
    options = [
        f"address {interface.ip}",
        f"netmask {interface.netmask if family == 4 else interface.network.prefixlen}",
    ]
    options += [f"gateway {wanted.gateway_of(family)}"] if gateway and wanted.gateway_of(family) else []
    return [*options, *([f"dns-nameservers {' '.join(map(str, wanted.nameservers))}"] if servers else [])]


def _words(stanza: list[str]) -> list[str]:
    return [*stanza[0].replace("\\\n", " ").split(), "", "", "", ""]


def _name(stanza: list[str]) -> str:
    return _words(stanza)[1]


def _family(stanza: list[str]) -> int:
    return {"inet": 4, "inet6": 6}.get(_words(stanza)[2], 0)


def _method(stanza: list[str]) -> str:
    return _words(stanza)[3]


def _key(line: str) -> str:
    return (line.split()[:1] or [""])[0]
