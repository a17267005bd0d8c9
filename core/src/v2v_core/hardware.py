# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user says about the guest's hardware: ``--metadata``, ``--memory``, ``--vcpus`` and ``--nic``.

It counts more than what the source says. What neither of them says is made up by the input plugin, and told here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from v2v_core.events import Reporter
from v2v_core.hookspecs import InputResult
from v2v_core.metadata.given import GivenGuest, read_given
from v2v_core.model import Cpu, Guest, Nic
from v2v_core.settings import Hardware

_GIB, _MIB = 1024**3, 1024**2


@dataclass(frozen=True)
class KnownHardware:
    """What the user says about the guest, with the description of ``--metadata`` already read."""

    hardware: Hardware
    given: GivenGuest | None

    @property
    def domain_xml(self) -> bytes | None:
        """The libvirt domain XML that the user gave."""
        return None if self.given is None else self.given.domain_xml

    def applied_to(self, result: InputResult, report: Reporter, *, mode: str, in_place: bool) -> Guest:
        """Return the guest of an input plugin as it is with what the user says. Warn about what is made up.

        :param mode: name of the input plugin. :param in_place: no new guest is made, so its hardware does not matter.
        """
        guest, assumed = result.guest, set(result.assumed)
        if self.given is not None:
            problems = [
                *self.given.unmatched(guest),
                *(f"{one} is left out; describe it with --nic" for one in self.given.left_out),
            ]
            if problems:
                report.warning(f"--metadata {self.hardware.metadata}: {'; '.join(problems)}")
            guest = self.given.applied_to(guest)
            assumed -= self.given.named
        guest = _with_options(guest, self.hardware)
        given = {"memory": self.hardware.memory, "cpu": self.hardware.vcpus, "nics": self.hardware.nics}
        assumed -= {field for field, value in given.items() if value is not None}
        made_up = list(_made_up(guest, assumed))
        if made_up and not in_place:
            gets, options = (_listed(list(words)) for words in zip(*made_up, strict=True))
            report.warning(
                f"the source (-i {mode}) does not tell all of the guest's hardware, which therefore has {gets}; "
                f"set it with {options}, or describe the guest with --metadata FILE.xml"
            )
        return guest


def read_hardware(hardware: Hardware) -> KnownHardware:
    """Read what the user says about the guest.

    :raises UsageError: the file of ``--metadata`` cannot be used.
    """
    return KnownHardware(hardware, None if hardware.metadata is None else read_given(hardware.metadata))


def _with_options(guest: Guest, hardware: Hardware) -> Guest:
    if hardware.memory is not None:
        guest = dataclasses.replace(guest, memory=hardware.memory)
    if hardware.vcpus is not None:
        guest = dataclasses.replace(guest, cpu=_with_count(guest.cpu, hardware.vcpus))
    if hardware.nics is not None:
        guest = dataclasses.replace(guest, nics=tuple(_like_at_source(nic, guest) for nic in hardware.nics))
    return guest


def _with_count(cpu: Cpu, count: int) -> Cpu:
    # a topology of another number of CPUs would be refused
    return cpu if cpu.count == count else dataclasses.replace(cpu, count=count, topology=None)


def _like_at_source(nic: Nic, guest: Guest) -> Nic:
    """Return an interface with what the source knows about the one that has the same MAC address."""
    same = [one for one in guest.nics if nic.mac is not None and one.mac is not None and one.mac.lower() == nic.mac]
    return dataclasses.replace(same[0], network=nic.network, kind=nic.kind) if same else nic


def _made_up(guest: Guest, assumed: set[str]) -> Iterator[tuple[str, str]]:
    """Yield what is made up, and the option that says otherwise."""
    if "memory" in assumed:
        whole = guest.memory % _GIB == 0
        yield f"{guest.memory // (_GIB if whole else _MIB)} {'GiB' if whole else 'MiB'} of memory", "--memory"
    if "cpu" in assumed:
        yield f"{guest.cpu.count} virtual CPU{'' if guest.cpu.count == 1 else 's'}", "--vcpus"
    if "nics" in assumed:
        networks = _listed([f"the {nic.kind} {nic.network!r}" for nic in guest.nics])
        number = len(guest.nics)
        yield f"{number} interface{'' if number == 1 else 's'}" + (f" on {networks}" if networks else ""), "--nic"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
