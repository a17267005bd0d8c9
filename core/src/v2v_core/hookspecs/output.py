# SPDX-License-Identifier: GPL-2.0-or-later
"""The hooks of outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from v2v_core.copying.sink import Sink
from v2v_core.events import Reporter
from v2v_core.hookspecs.common import AbortResult, Ledger, OwnedObject, hookspec
from v2v_core.model import DiskService, Guest, OptionValues, SourceDisk, TargetGuest


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """What the user asked of the destination.

    :param name: ``-on``, or the name at the source. It may hold any characters; the plugin must make it fit.
    :param storage: ``-os``. :param connection: ``-oc``. :param format: ``-of`` (raw, qcow2).
    :param format_given: whether the user gave ``-of``; otherwise ``format`` is ``raw``.
    :param allocation: ``-oa``: sparse or preallocated. :param password_file: ``-op``.
    :param overwrite: ``--overwrite``: what has the name of the guest at the destination may be replaced. If false, that
        is an error.
    """

    name: str
    storage: str | None = None
    connection: str | None = None
    format: str = "raw"
    format_given: bool = False
    allocation: str = "sparse"
    password_file: Path | None = None
    options: OptionValues = OptionValues()
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputPrecheckRequest:
    """What is known before the source is opened: the options, and nothing about the guest.

    :param settings: ``name`` is ``-on``; it is empty if the name comes from the source.
    :param source_files: the local files and devices that the user named as the source, which may consist of more.
    """

    directory: Path
    settings: OutputSettings
    report: Reporter = field(repr=False)
    source_files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutputCheckResult:
    """What a check has found out.

    :param claims: the files that stand for the guest at the destination. Core reserves them for the run, so that of two
        runs that want the same name at the same time, the second one ends before its long work. One file is enough if
        the names of all others follow from it.
    """

    claims: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutputCheckRequest:
    """What is known about source and destination before the long work begins.

    :param source_files: the local files and devices that the source consists of. No output may replace one.
    :param data: the bytes of data that each disk holds, by its number, as far as known. A copy writes no more than
        this to a sparse image; it may be less, where the conversion trims free space.
    """

    directory: Path
    settings: OutputSettings
    guest: Guest
    report: Reporter = field(repr=False)
    source_files: tuple[Path, ...] = ()
    data: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputSetupRequest:
    """The guest as the source has it, and its disks, each of which needs a destination.

    The guest may be converted already, or not yet: what depends on the conversion belongs to ``v2v_output_finalize``.

    :param disks: with their sizes in bytes. A destination must be at least that large.
    :param temporary: directory for large temporary files; it is removed at the end of the conversion.
    :param target: the converted guest; None if it is not converted yet. It helps to find an error before the copy, and
        for nothing else.
    """

    directory: Path
    settings: OutputSettings
    guest: Guest
    disks: tuple[SourceDisk, ...]
    ledger: Ledger
    report: Reporter = field(repr=False)
    temporary: Path | None = None
    target: TargetGuest | None = None


@dataclass(frozen=True, kw_only=True)
class OutputSetup:
    """How the destination of each disk is served, and what the later hooks of this plugin need to know.

    :param state: JSON values, which core keeps in the conversion directory and passes to finalize and abort.
    :param request_size: size of a request that suits the destination best, in bytes; None for the copier's choice.
    :param zeroed: the destination of each disk is known to read as zeros.
    :param copier: the copier that suits this output best, used unless the user names another one; None for core's own.
        Setup can leave files for it in its directory, which is ``CopyRequest.output_directory``.
    :param sink: the disks are written through ``v2v_output_sink``, unless the user names a copier.
    :param rewritable: after an interruption, the destinations still hold what was flushed, and can be served again as
        ``disks`` says, without ``v2v_output_resume``. A local image can.
    :param identities: names each destination, and this incarnation of it, for the journal of its copy: equal only if
        what was flushed is still there. ``v2v_output_resume`` returns the same. Empty for core's own choice.
    """

    disks: tuple[DiskService, ...]
    state: Mapping[str, Any] = field(default_factory=dict)
    request_size: int | None = None
    zeroed: bool = False
    copier: str | None = None
    sink: bool = False
    rewritable: bool = False
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutputSinkRequest:
    """One disk that is about to be written without NBD.

    :param directory: private to the plugin; setup has left there what the sink needs.
    :param index: number of the disk, from 1. :param size: its virtual size in bytes.
    :param state: the state that setup returned.
    :param connections: how many the user wants; 0 for the plugin's choice.
    """

    directory: Path
    index: int
    size: int
    state: Mapping[str, Any]
    connections: int = 0


@dataclass(frozen=True, kw_only=True)
class OutputResumeRequest:
    """The run was interrupted, perhaps by a power failure, and goes on with the destinations that setup has made.

    :param setup: what ``v2v_output_setup`` returned. Its state is that of the last resume, if there was one.
    :param owned: the objects in the ledger, in the order of creation.
    """

    directory: Path
    settings: OutputSettings
    setup: OutputSetup
    disks: tuple[SourceDisk, ...]
    owned: tuple[OwnedObject, ...]
    ledger: Ledger
    report: Reporter = field(repr=False)
    temporary: Path | None = None


@dataclass(frozen=True, kw_only=True)
class OutputFinalizeRequest:
    """All disks are copied, flushed, and no longer served: make the guest exist.

    :param metadata: the file ``metadata.out``, from which ``libvirt_domain`` makes the domain XML of the target.
    """

    directory: Path
    settings: OutputSettings
    target: TargetGuest
    state: Mapping[str, Any]
    metadata: Path
    ledger: Ledger
    report: Reporter = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class OutputResult:
    """The guest exists. ``created`` names what the user now has: files, domains, ids."""

    created: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutputAbortRequest:
    """Something failed after ``v2v_output_setup`` began: undo what setup and finalize created.

    :param owned: the objects in the ledger, in the order of creation. Delete nothing else.
    :param state: the state that setup returned; empty if setup did not finish.
    """

    directory: Path
    settings: OutputSettings
    owned: tuple[OwnedObject, ...]
    state: Mapping[str, Any]
    report: Reporter = field(repr=False)


class OutputHooks(Protocol):
    """The role ``output``: where a guest goes to."""

    @hookspec(firstresult=True)
    def v2v_output_precheck(self, request: OutputPrecheckRequest) -> OutputCheckResult | None:
        """Find out what would make this output fail for any guest, before the source is opened. Optional.

        Opening the source can mean hours of unpacking and of checksums. Check the options, the programs, the place and
        the login here, and also whether the name is taken, if ``request.settings.name`` is not empty. Create nothing.
        ``v2v_output_check`` is called later, and must not rely on this call: a supervisor need not make it.

        Example::

            @hookimpl
            def v2v_output_precheck(self, request: OutputPrecheckRequest) -> None:
                if request.settings.storage is None:
                    raise UsageError("-o foo needs a directory", hint="name it with -os")

        :raises UsageError: options are missing or make no sense.
        :raises DestinationError: there is no permission, no such place, or the name is taken.
        """
        return None

    @hookspec(firstresult=True)
    def v2v_output_check(self, request: OutputCheckRequest) -> OutputCheckResult | None:
        """Find out everything that would make this output fail, before the long work begins.

        Called after input setup and before the conversion. Create nothing. A guest of the same name is an error, unless
        ``request.settings.overwrite`` is true.

        Example::

            @hookimpl
            def v2v_output_check(self, request: OutputCheckRequest) -> OutputCheckResult:
                if request.settings.storage is None:
                    raise UsageError("-o foo needs a directory", hint="name it with -os")
                xml = Path(request.settings.storage) / f"{request.settings.name}.xml"
                if not xml.parent.is_dir():
                    raise DestinationError(f"{xml.parent} is not a directory", hint="create it")
                if xml.exists() and not request.settings.overwrite:
                    raise DestinationError(f"{xml} exists", hint="choose another name with -on, or add --overwrite")
                return OutputCheckResult(claims=(xml,))

        :return: what the guest will be called, or None.
        :raises UsageError: options are missing or make no sense.
        :raises DestinationError: there is no permission, no space, no such place, or the name is taken.
        """
        return None

    @hookspec(firstresult=True)
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Create the destination of each disk and say how it is served.

        Record in ``request.ledger`` whatever you create outside ``request.directory``, *before* you create it.

        Example::

            @hookimpl
            def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
                images = []
                for disk in request.disks:
                    image = Path(request.settings.storage) / f"{request.settings.name}-{disk.index}"
                    request.ledger.record("file", str(image))
                    with image.open("xb") as stream:
                        stream.truncate(disk.size)
                    images.append(QemuImage(path=image, format="raw"))
                return OutputSetup(disks=tuple(images), state={"images": [str(image.path) for image in images]})

        :raises DestinationError: it cannot be created. ``v2v_output_abort`` is called next.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_output_sink(self, request: OutputSinkRequest) -> Sink:
        """Open the destination of one disk for a destination that is no NBD server. Optional.

        Called in the process that copies the disk, if ``OutputSetup.sink`` is true. Core reads the source, keeps the
        journal, takes the hashes and reports the progress.

        Example::

            @hookimpl
            def v2v_output_sink(self, request: OutputSinkRequest) -> Sink:
                ticket = json.loads((request.directory / f"ticket{request.index}").read_text())
                return FooSink(ticket["url"], connections=request.connections or 4)

        :raises DestinationError: it cannot be opened.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_output_resume(self, request: OutputResumeRequest) -> OutputSetup:
        """Make destinations that an interrupted run has left usable again, with all that was flushed. Optional.

        Called by ``v2v resume`` in the place of ``v2v_output_setup``. Without this hook, and if
        ``OutputSetup.rewritable`` is false, the output is taken back and set up anew, and everything is copied again.

        Example::

            @hookimpl
            def v2v_output_resume(self, request: OutputResumeRequest) -> OutputSetup:
                for volume in request.setup.state["volumes"]:
                    open_a_new_transfer(volume)
                return request.setup

        :raises DestinationError: they cannot be used again, and nothing else will help.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Make the guest exist at the destination. The servers are stopped, the data is flushed.

        Example::

            @hookimpl
            def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
                xml = Path(request.settings.storage) / f"{request.settings.name}.xml"
                request.ledger.record("file", str(xml))
                xml.write_bytes(libvirt_domain(request.metadata, name=request.settings.name, report=request.report))
                return OutputResult(created=(*request.state["images"], str(xml)))

        :raises DestinationError: it cannot. ``v2v_output_abort`` is called next.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Delete what setup and finalize created, and nothing else. Return what could not be deleted.

        May be called in another process, after a crash, and again for what was left. Give the cause of each object that
        is left in a warning. Do not raise: an error here would hide the first one, which the user must see.

        Example::

            @hookimpl
            def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
                left = []
                for thing in reversed(request.owned):
                    try:
                        Path(thing.identity).unlink(missing_ok=True)
                    except OSError as err:
                        request.report.warning(f"{thing.identity} was left behind: {err.strerror}")
                        left.append(thing)
                return AbortResult(left=tuple(left))
        """
        ...
