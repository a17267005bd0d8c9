# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user asked for, before any plugin is loaded: the command line turned into records, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from v2v_core.hookspecs import ConvertSettings
from v2v_core.model import Nic

#: ``-io`` and ``-oo`` as they were given; a bare key has the value None.
RawOptions = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the user says about the guest, which counts more than what the source says.

    :param memory: bytes (``--memory``). :param vcpus: number of virtual CPUs (``--vcpus``).
    :param nics: all interfaces of the guest (``--nic``); None for those of the source.
    :param metadata: libvirt domain XML of the guest (``--metadata``), which the other three count more than.
    """

    memory: int | None = None
    vcpus: int | None = None
    nics: tuple[Nic, ...] | None = None
    metadata: Path | None = None


@dataclass(frozen=True, kw_only=True)
class InputChoice:
    """``-i`` and what belongs to it."""

    mode: str
    arguments: tuple[str, ...] = ()
    connection: str | None = None
    format: str | None = None
    transport: str | None = None
    password_file: Path | None = None
    options: RawOptions = field(default=(), repr=False)
    in_place: bool = False
    hardware: Hardware = Hardware()


@dataclass(frozen=True, kw_only=True)
class OutputChoice:
    """``-o`` and what belongs to it. ``name`` and ``format`` are None if the user did not give them.

    :param overwrite: an existing guest of the same name may be replaced (``--overwrite``, ``-oo overwrite``).
    """

    mode: str
    name: str | None = None
    storage: str | None = None
    connection: str | None = None
    format: str | None = None
    allocation: str = "sparse"
    password_file: Path | None = None
    options: RawOptions = field(default=(), repr=False)
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class NicMapping:
    """One of ``-b``, ``-n``, ``--map``, ``--mac``: what an interface is connected to at the target.

    :param kind: ``network`` or ``bridge``: the kind of ``target``. Without ``mac`` and ``either``, the mapping applies
        only to interfaces that are connected to this kind at the source.
    :param source: name at the source. If this and ``mac`` are None, this is the default mapping of its kind.
    :param mac: MAC address in lower case, of the one interface that the mapping applies to.
    :param either: the mapping applies to networks and bridges of the source alike (``--map``).
    """

    kind: str
    target: str
    source: str | None = None
    mac: str | None = None
    either: bool = False


@dataclass(frozen=True, kw_only=True)
class ConvertChoice:
    """The conversion: which converter, its settings, and what becomes of the network interfaces."""

    mode: str = "guestfs"
    settings: ConvertSettings = ConvertSettings()
    nics: tuple[NicMapping, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CopyChoice:
    """The copy of the disks.

    :param mode: a program that copies whole disks (``--copier``); None for core's own copy, or for what the output
        recommends.
    :param parallel: how many disks are copied at once; None for what suits the source.
    :param connections: per disk; 0 for the copier's choice.
    :param from_base: copy the disks as the source has them, beside the conversion (``--from base``). A copy without
        this makes the destinations equal to the converted disks.
    :param overlap: copy while converting; None where it can pay. Supervisors that run the steps need not read it.
    :param verify: read each destination back and compare.
    :param hashing: take hashes while copying; None to take them unless the blocks are shared and not read.
    :param bandwidth: bits per second of all disks together; None for no limit.
    :param bandwidth_file: a file with such a rate, which is read again while copying.
    :param request_seconds: a server that does not answer a request for so long has failed.
    """

    mode: str | None = None
    parallel: int | None = None
    connections: int = 0
    from_base: bool = False
    overlap: bool | None = None
    verify: bool = False
    hashing: bool | None = None
    bandwidth: int | None = None
    bandwidth_file: Path | None = None
    request_seconds: float = 300.0


@dataclass(frozen=True, kw_only=True)
class RunChoice:
    """A whole conversion.

    :param directory: the conversion directory; None for a temporary one, which is removed at the end.
    :param observers: names of observer plugins.
    """

    input: InputChoice
    output: OutputChoice
    convert: ConvertChoice = ConvertChoice()
    copy: CopyChoice = CopyChoice()
    directory: Path | None = None
    observers: tuple[str, ...] = ()
    verbose: bool = False
