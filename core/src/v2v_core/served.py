# SPDX-License-Identifier: GPL-2.0-or-later
"""The disks that are served, as records: ``source.json`` and ``output.json`` of the conversion directory.

The step that serves a disk writes down how, where, and how large it is. Every later step reads it here: no URI is
rebuilt from a naming convention, and no size is measured twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CommandError, SourceError
from v2v_core.model import DiskEndpoint, DiskService
from v2v_core.nbd_uri import is_listening, nbd_uri, size_of

_SOURCE = "source.json"
_OUTPUT = "output.json"


@dataclass(frozen=True, kw_only=True)
class ServedDisk:
    """A disk of the source that is being served.

    :param size: virtual size in bytes.
    :param uri: the endpoint that the conversion writes (``in``).
    :param base: the same disk as the source has it, read-only; None if the source itself is converted, in place, or
        another supervisor serves the disk.
    :param overlay: what the conversion writes above the base; None if there is none.
    :param service: how the source is served; secrets are the files that hold them. None if another supervisor serves
        it.
    :param origin: what to call the disk in messages.
    :param version: changes whenever the content of the source changes; None if that is not known.
    """

    index: int
    size: int
    uri: str
    base: str | None = None
    overlay: Path | None = None
    service: DiskService | None = None
    origin: str | None = None
    version: str | None = None

    @property
    def endpoint(self) -> DiskEndpoint:
        """The endpoint that the conversion writes."""
        return DiskEndpoint(index=self.index, uri=self.uri, size=self.size)


@dataclass(frozen=True, kw_only=True)
class ServedSource:
    """``source.json``: the disks of the source.

    :param files: the local files and devices that the source consists of.
    :param in_place: the disks are those of the source itself.
    """

    disks: tuple[ServedDisk, ...]
    files: tuple[Path, ...] = ()
    in_place: bool = False


@dataclass(frozen=True, kw_only=True)
class ServedOutput:
    """``output.json``: the destination, from its set-up on.

    :param owner: number of the plugin in the ledger.
    :param state: what the plugin keeps for its later hooks.
    :param disks: the endpoints (``out``) with their sizes; empty as long as they are not all served.
    :param services: how each is served.
    :param sink: the disks are written through ``v2v_output_sink``.
    :param rewritable: the destinations can be served again after an interruption, as ``services`` says.
    :param identities: names each destination for the journal of its copy; empty for core's own choice.
    """

    owner: int
    state: Mapping[str, Any] = field(default_factory=dict)
    request_size: int | None = None
    zeroed: bool = False
    copier: str | None = None
    services: tuple[DiskService, ...] = ()
    disks: tuple[DiskEndpoint, ...] = ()
    sink: bool = False
    rewritable: bool = False
    identities: tuple[str, ...] = ()


def write_source(directory: ConversionDir, source: ServedSource) -> None:
    """Write down which disks of the source are served."""
    directory.write_record(_SOURCE, source)


def forget_source(directory: ConversionDir) -> None:
    """Forget the disks of an earlier run of input setup."""
    (directory.path / _SOURCE).unlink(missing_ok=True)


def read_source(directory: ConversionDir) -> ServedSource:
    """Return the disks of the source.

    Where another supervisor has made the endpoints and ``metadata.in``, they are found as ``docs/architecture.md``
    says: disk *i* is the socket ``in<i>``, or what ``<source protocol='nbd'>`` names.

    :raises V2VError: there is neither a record nor a ``metadata.in``, or it is damaged.
    :raises SourceError: an endpoint of another supervisor does not answer.
    """
    named = metadata.named_endpoints(directory.metadata_in)
    recorded = read_recorded_source(directory)
    disks = {disk.index: disk for disk in recorded.disks} if recorded is not None else {}
    for index, uri in named.items():
        if uri is not None:
            disks[index] = _adopt(index, uri)
        elif index not in disks:
            disks[index] = _adopt(index, nbd_uri(directory.socket("in", index)))
    source = recorded or ServedSource(disks=())
    return dataclasses.replace(source, disks=tuple(disks[index] for index in sorted(named)))


def read_recorded_source(directory: ConversionDir) -> ServedSource | None:
    """Return what core itself has served; None if another supervisor serves the disks.

    :raises V2VError: the record is damaged.
    """
    return directory.read_record(_SOURCE, ServedSource) if (directory.path / _SOURCE).exists() else None


def check_served(disks: tuple[ServedDisk, ...]) -> None:
    """Check that every disk of the source is being served now.

    :raises SourceError: one is not.
    """
    for disk in disks:
        if not is_listening(disk.uri):
            raise SourceError(
                f"disk {disk.index} is not served at {disk.uri}",
                hint="run the input step first, and on the same directory",
            )


def _adopt(index: int, uri: str) -> ServedDisk:
    try:
        return ServedDisk(index=index, size=size_of(uri), uri=uri)
    except CommandError as err:
        raise SourceError(
            f"disk {index} is not served at {uri}: {err.stderr_tail.strip() or err.message}",
            hint="run the input step first, and on the same directory",
        ) from err


def write_output(directory: ConversionDir, output: ServedOutput) -> None:
    """Write down the destination."""
    directory.write_record(_OUTPUT, output)


def forget_output(directory: ConversionDir) -> None:
    """Forget the destination: it was taken back, or belongs to the user."""
    (directory.path / _OUTPUT).unlink(missing_ok=True)


def find_output(directory: ConversionDir) -> ServedOutput | None:
    """Return the destination, or None if none is set up."""
    return read_output(directory) if (directory.path / _OUTPUT).exists() else None


def read_output(directory: ConversionDir) -> ServedOutput:
    """Return the destination that output setup has prepared.

    :raises V2VError: that step was not run, or not to its end.
    """
    return directory.read_record(_OUTPUT, ServedOutput)
