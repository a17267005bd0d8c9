# SPDX-License-Identifier: GPL-2.0-or-later
"""The hooks, in the order in which they are called.

Each hook takes one frozen request record and returns one frozen result record. A plugin is a class with these methods,
each marked ``@hookimpl``. An entry point of its distribution names the class, in the group of its role::

    [project.entry-points."v2v.output"]
    foo = "v2v_output_foo:FooOutput"

Everything that a later step needs goes into the result, because each step may run in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pluggy

from v2v_core.deep_inspection import InspectResult
from v2v_core.events import Event, Reporter
from v2v_core.finding import Finding
from v2v_core.model import (
    Capabilities,
    Change,
    DiskEndpoint,
    DiskService,
    Firmware,
    Guest,
    Inspection,
    OptionValues,
    PluginOption,
    SourceDisk,
    StaticAddress,
    TargetGuest,
    TargetProfile,
)

PROJECT = "v2v"
#: Incremented when a hook or a record changes so that older plugins cannot work with it.
HOOK_API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Ledger(Protocol):
    """Records each object that a plugin creates outside the conversion directory, before it is created."""

    def record(self, kind: str, identity: str) -> None:
        """Write down, durably, that ``identity`` is about to be created. Only recorded objects are ever deleted."""


class NoLedger:
    """Stands in where a request carries no ledger, so that a plugin cannot create what no cleanup would find."""

    def record(self, kind: str, identity: str) -> None:
        """Refuse to record an object.

        :raises RuntimeError: always.
        """
        raise RuntimeError(f"this request carries no ledger: {kind} {identity} must not be created")


@dataclass(frozen=True, kw_only=True)
class OwnedObject:
    """An object outside the conversion directory that a plugin created, or was about to create."""

    kind: str
    identity: str


@dataclass(frozen=True, kw_only=True)
class AbortResult:
    """What an abort could not delete.

    :param left: objects that still exist, or may exist. They stay in the ledger, and the next cleanup asks again.
    """

    left: tuple[OwnedObject, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InputSetupRequest:
    """What the user asked of the source.

    :param directory: private to the plugin, inside the conversion directory, mode 0700.
    :param arguments: the arguments on the command line: files, names, URIs.
    :param connection: ``-ic``. :param format: ``-if``. :param transport: ``-it``.
    :param password_file: ``-ip``.
    :param temporary: directory for large temporary files; it is removed at the end of the conversion.
    :param in_place: the source itself is converted, so its disks must be served writable.
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
    ledger: Ledger = field(default=NoLedger(), repr=False)


@dataclass(frozen=True, kw_only=True)
class InputResult:
    """The source's metadata, and how each of its disks is served (one ``DiskService`` for each of ``guest.disks``).

    :param domain_xml: the libvirt domain XML of the source, if there is one. What core does not understand in it is
        kept in the metadata.
    :param assumed: fields of ``guest`` that the source says nothing about, and that the plugin made up: ``memory``,
        ``cpu``, ``nics``. The user is told, unless the options say what they are.
    """

    guest: Guest
    disks: tuple[DiskService, ...]
    domain_xml: bytes | None = None
    assumed: tuple[str, ...] = ()


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
class ConvertSettings:
    """What the user asked of the conversion.

    :param root: which operating system to convert: ``ask``, ``single``, ``first``, or the device of its root.
    :param block_driver: driver for the disks of Windows guests: ``virtio-blk`` or ``virtio-scsi``.
    :param memory: memory of the appliance in bytes; None for the converter's choice.
    :param cpus: number of CPUs of the appliance; None for the converter's choice.
    :param trim: trim file systems so that free space is not copied.
    :param keys: selectors as in ``--key``; a secret.
    :param emulation: use emulation, because hardware virtualization does not work on this machine.
    :param static_addresses: ``--mac MAC:ip:…``, in the order of the command line; a MAC may have several.
    :param serial_console: the target has a serial port. If false, nothing in the guest should wait for a login there.
    :param extra: settings of this converter only (customisation), JSON values by name.
    """

    root: str = "ask"
    block_driver: str = "virtio-blk"
    memory: int | None = None
    cpus: int | None = None
    trim: bool = True
    keys: tuple[str, ...] = field(default=(), repr=False)
    emulation: bool = False
    verbose: bool = False
    static_addresses: tuple[StaticAddress, ...] = ()
    serial_console: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """The guest and its disks, which the converter may write.

    :param directory: private to the converter. :param temporary: directory for large temporary files.
    """

    directory: Path
    temporary: Path
    guest: Guest
    disks: tuple[DiskEndpoint, ...]
    settings: ConvertSettings
    report: Reporter = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ConvertResult:
    """What the converter found in the guest, what hardware the guest can use now, and what was changed in it.

    :param boot_disk: number of the disk that it boots from, from 1; None if that is not known.
    :param nic_order: positions of the source's network interfaces, from 0, in the order in which the guest must find
        them at the target; () for the source's order.
    :param block_sizes: bytes of a logical block of each disk, in the order of the disks, as their partition tables
        show it; () for what the source says.
    """

    inspection: Inspection
    capabilities: Capabilities
    firmware: Firmware
    boot_disk: int | None = None
    changes: tuple[Change, ...] = ()
    nic_order: tuple[int, ...] = ()
    nic_macs: Mapping[int, str] = field(default_factory=dict)
    block_sizes: tuple[int, ...] = ()


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
    """

    disks: tuple[DiskService, ...]
    state: Mapping[str, Any] = field(default_factory=dict)
    request_size: int | None = None
    zeroed: bool = False
    copier: str | None = None


@dataclass(frozen=True, kw_only=True)
class CopyRequest:
    """One disk to copy, NBD to NBD.

    :param allocation: ``sparse``, or ``preallocated``: zeros are written, too.
    :param request_size: size of a request that suits the destination best, in bytes; None for the copier's choice.
    :param connections: number of NBD connections; 0 for the copier's choice.
    :param zeroed: the destination is known to read as zeros.
    :param output_directory: the ``OutputSetupRequest.directory`` of the output. A copier that belongs to the output
        finds there the files that setup has left for it.
    """

    index: int
    source: DiskEndpoint
    destination: DiskEndpoint
    report: Reporter = field(repr=False)
    allocation: str = "sparse"
    request_size: int | None = None
    connections: int = 0
    zeroed: bool = False
    output_directory: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CopyResult:
    """One disk was copied and flushed. ``size`` is its virtual size in bytes."""

    index: int
    size: int


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


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """What ``v2v doctor`` wants to know.

    :param quick: leave out what takes longer than a second or two, such as booting an appliance.
    """

    quick: bool = False


class ProbeHooks(Protocol):
    """A hook of every role: what the plugin needs on this machine."""

    @hookspec(firstresult=True)
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for the programs, libraries and devices that this plugin needs. Optional; called by ``v2v doctor``.

        Change nothing, connect to no remote machine, and import no large library: ``importlib.util.find_spec`` finds
        out whether one is installed.

        Example::

            @hookimpl
            def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
                spec = find_spec("foosdk")
                where = spec.origin if spec is not None else None
                return (present_or("foosdk for Python", where, Status.MISSING, "not installed", "pip install foosdk"),)
        """
        return ()


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


class ConvertHooks(Protocol):
    """The role ``convert``: what makes the guest boot on KVM."""

    @hookspec(firstresult=True)
    def v2v_convert_check(self, request: ConvertSettings) -> None:
        """Check the settings without reading the guest. Optional.

        Called before the source is opened, and again before the conversion. Only the converter knows the names in
        ``request.extra``.

        Example::

            @hookimpl
            def v2v_convert_check(self, request: ConvertSettings) -> None:
                if "licence_file" in request.extra and not Path(request.extra["licence_file"]).is_file():
                    raise UsageError("the licence file does not exist", hint="name another one")

        :raises UsageError: a setting makes no sense.
        """

    @hookspec(firstresult=True)
    def v2v_inspect(self, request: ConvertRequest) -> InspectResult:
        """Look into the guest, and say what a conversion would do. Optional; called by ``v2v inspect --deep``.

        Runs in a process of its own, in the place of the conversion. ``request.disks`` are overlays that nobody reads
        afterwards, so the most reliable answer is to convert the guest and see what happens.

        Example::

            @hookimpl
            def v2v_inspect(self, request: ConvertRequest) -> InspectResult:
                found = inspect(request.disks)  # an Inspection
                if has_bitlocker(request.disks):
                    obstacle = Obstacle(reason="disk 1 is encrypted with BitLocker", remedy="give its key with --key")
                    return InspectResult(inspection=found, obstacles=(obstacle,))
                return InspectResult(inspection=found, changes=planned_changes(found))

        :raises ConversionError: the guest could not be examined. What keeps an examined guest from being converted
            belongs to ``InspectResult.obstacles``.
        """
        ...

    @hookspec(firstresult=True)
    def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
        """Change the guest on ``request.disks`` so that it boots on KVM, and return what hardware it can use.

        Runs in a process of its own, which may be killed at any time.

        Example::

            @hookimpl
            def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
                found = inspect(request.disks)  # an Inspection
                install_virtio_drivers(request.disks, found)
                return ConvertResult(inspection=found, capabilities=Capabilities(), firmware=Firmware.BIOS)

        :raises ConversionError: it cannot be converted; say why and what to do.
        """
        ...


class CopyHooks(Protocol):
    """The role ``copy``: copies the data of one disk from ``in`` to ``out``."""

    @hookspec(firstresult=True)
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk and flush it. May be called for several disks at once, from several threads.

        Example::

            @hookimpl
            def v2v_copy(self, request: CopyRequest) -> CopyResult:
                run_program(["nbdcopy", "--flush", request.source.uri, request.destination.uri])
                return CopyResult(index=request.index, size=request.source.size)

        :raises CopyError: naming the disk.
        """
        ...


class ObserverHooks(Protocol):
    """The role ``observer``: watches a run. An exception in an observer is logged and never fatal."""

    @hookspec
    def v2v_event(self, event: Event) -> None:
        """Take note of an event. Return promptly.

        Example::

            @hookimpl
            def v2v_event(self, event: Event) -> None:
                if event.kind is EventKind.STEP_FAILED:
                    syslog.syslog(f"{event.step} failed: {event.text}")
        """
        ...


class Plugin(Protocol):
    """Attributes that a plugin class may have. Each has a default."""

    #: The number of the hook API that the plugin was written for, as a literal: 1.
    api_version: int
    #: One line for the listing.
    summary: str
    #: The ``-io`` or ``-oo`` options that it understands.
    options: tuple[PluginOption, ...]
    #: For outputs: what guests can have at the target.
    profile: TargetProfile
    #: For inputs: the schemes of ``-ic`` URIs that select this mode when the user writes ``-i libvirt`` (``vpx``).
    uri_schemes: tuple[str, ...]
    #: Words that ``virt-v2v --machine-readable`` prints when the plugin is installed.
    capabilities: tuple[str, ...]
