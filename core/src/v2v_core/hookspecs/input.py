# SPDX-License-Identifier: GPL-2.0-or-later
"""The hooks of inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from v2v_core.events import Reporter
from v2v_core.hookspecs.common import AbortResult, Ledger, NoLedger, OwnedObject, hookspec
from v2v_core.model import DiskService, Guest, OptionValues


@dataclass(frozen=True, kw_only=True)
class InputSetupRequest:
    """What the user asked of the source.

    :param directory: private to the plugin, inside the conversion directory, mode 0700.
    :param arguments: the arguments on the command line: files, names, URIs.
    :param connection: ``-ic``. :param format: ``-if``. :param transport: ``-it``.
    :param password_file: ``-ip``.
    :param temporary: directory for large temporary files; it is removed at the end of the conversion.
    :param in_place: the source itself is converted, so its disks must be served writable.
    :param metadata_only: only the guest's metadata is wanted. A plugin that would download the disks serves empty ones
        of their size instead.
    :param ledger: for what the plugin creates at the source, such as a snapshot. ``v2v_input_abort`` deletes it.
    """

    directory: Path
    arguments: tuple[str, ...]
    report: Reporter = field(repr=False)
    connection: str | None = None
    format: str | None = None
    transport: str | None = None
    password_file: Path | None = None
    options: OptionValues = OptionValues()
    in_place: bool = False
    temporary: Path | None = None
    metadata_only: bool = False
    ledger: Ledger = field(default=NoLedger(), repr=False)


@dataclass(frozen=True, kw_only=True)
class InputResult:
    """The source's metadata, and how each of its disks is served (one ``DiskService`` for each of ``guest.disks``).

    :param domain_xml: the libvirt domain XML of the source, if there is one. What core does not understand in it is
        kept in the metadata.
    :param assumed: fields of ``guest`` that the source says nothing about, and that the plugin made up: ``memory``,
        ``cpu``, ``nics``. The user is told, unless the options say what they are.
    :param versions: for each disk a text that changes whenever its content changes, such as VMware's changeId; None
        where the source does not say. Empty if it never says. Core knows the versions of local files itself. An input
        that has versions has ``v2v_input_versions``, too.
    """

    guest: Guest
    disks: tuple[DiskService, ...]
    domain_xml: bytes | None = None
    assumed: tuple[str, ...] = ()
    versions: tuple[str | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InputVersionsRequest:
    """What was asked of the source when it was set up: the fields are those of ``InputAbortRequest``."""

    directory: Path
    report: Reporter = field(repr=False)
    arguments: tuple[str, ...] = ()
    connection: str | None = None
    transport: str | None = None
    password_file: Path | None = None
    options: OptionValues = OptionValues()


@dataclass(frozen=True, kw_only=True)
class InputVersions:
    """The versions of the disks as they are now, in the order of ``InputResult.versions``."""

    versions: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class InputAbortRequest:
    """The source is no longer read: undo what setup created there.

    :param directory: private to the plugin. :param connection: ``-ic``. :param transport: ``-it``.
    :param password_file: ``-ip``.
    :param options: those that are not declared secret; what is needed of these, setup leaves in ``directory``.
    :param owned: the objects in the ledger, in the order of creation. Delete nothing else.
    """

    directory: Path
    owned: tuple[OwnedObject, ...]
    report: Reporter = field(repr=False)
    arguments: tuple[str, ...] = ()
    connection: str | None = None
    transport: str | None = None
    password_file: Path | None = None
    options: OptionValues = OptionValues()


class InputHooks(Protocol):
    """The role ``input``: where a guest comes from."""

    @hookspec(firstresult=True)
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Find the guest, read its metadata, and say how each disk is served.

        Called first, once. Start no server and write nothing outside ``request.directory`` and
        ``request.temporary``: core serves the disks, under a protective overlay. A plugin that has to create something
        at the source, such as a snapshot, records it in ``request.ledger`` first and has a ``v2v_input_abort``.

        Example::

            @hookimpl
            def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
                image = Path(request.arguments[0]).absolute()
                guest = Guest(name=image.stem, disks=(SourceDisk(index=1, origin=str(image)),))
                return InputResult(guest=guest, disks=(QemuImage(path=image, format="raw"),))

        :raises UsageError: the arguments or options make no sense.
        :raises SourceError: the guest cannot be used; say which file or object, why, and what to do.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_input_abort(self, request: InputAbortRequest) -> AbortResult:
        """Delete what setup created at the source. Return what could not be deleted. Optional.

        Called by the cleanup, after success as well as after a failure, if the ledger holds something of this plugin.

        Example::

            @hookimpl
            def v2v_input_abort(self, request: InputAbortRequest) -> AbortResult:
                with connect(request.connection, request.password_file) as server:
                    for snapshot in request.owned:
                        server.remove_snapshot(snapshot.identity)
                return AbortResult()
        """
        return AbortResult()

    @hookspec(firstresult=True)
    def v2v_input_versions(self, request: InputVersionsRequest) -> InputVersions:
        """Return the versions that the disks have now. Optional.

        Called by ``v2v resume``, perhaps days after the setup. What was copied before is used only if the version of
        its disk is still the same. Change nothing.

        Example::

            @hookimpl
            def v2v_input_versions(self, request: InputVersionsRequest) -> InputVersions:
                with connect(request.connection, request.password_file) as server:
                    disks = server.disks_of(request.arguments[0])
                    return InputVersions(versions=tuple(disk.change_id for disk in disks))

        :raises SourceError: the source cannot be asked.
        """
        ...
