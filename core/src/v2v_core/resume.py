# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the directory of an interrupted run one that the remaining steps can go on with.

The servers of the source are started again from ``source.json``, those of the destination from ``output.json``. What
cannot be trusted any more is thrown away: the overlays after a restart of the machine, because qemu had not flushed
them, and those of a conversion that did not end. The journals of the copy stay: they claim only what was flushed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from v2v_core import metadata, run_record, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.conversions import forget_conversion
from v2v_core.copying.ends import changed_since
from v2v_core.discovery import Role
from v2v_core.errors import SourceChanged, UsageError
from v2v_core.events import EventSink, Step
from v2v_core.file_versions import version_of
from v2v_core.hookspecs import InputVersionsRequest, OutputResumeRequest, OutputSetup
from v2v_core.model import QemuImage
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport, failing_as
from v2v_core.run_record import RunRecord
from v2v_core.served import ServedDisk, ServedOutput, ServedSource
from v2v_core.serving import serve_destination_again, serve_source_again, without_secrets
from v2v_core.settings import InputChoice, OutputChoice, RawOptions, RunChoice
from v2v_core.steps.abort import chosen_output
from v2v_core.steps.output_choice import settings_of


@dataclass(frozen=True, kw_only=True)
class Again:
    """What the user gives when a run is resumed: secrets, because they were not written down, and other limits.

    :param keys: ``--key``. :param input: ``-io``. :param output: ``-oo``.
    :param copying: fields of ``CopyChoice`` that are other ones from now on.
    """

    keys: tuple[str, ...] = field(default=(), repr=False)
    input: RawOptions = field(default=(), repr=False)
    output: RawOptions = field(default=(), repr=False)
    copying: dict[str, object] = field(default_factory=dict)

    def applied_to(self, record: RunRecord) -> RunChoice:
        """Return what the user asks of the run now.

        :raises UsageError: a secret was not given again.
        """
        choice = record.choice
        given = {
            *(["--key"] if self.keys else []),
            *(f"-io {name}" for name, _ in self.input),
            *(f"-oo {name}" for name, _ in self.output),
        }
        missing = [name for name in record.secrets if name not in given]
        if missing:
            raise UsageError(
                f"{', '.join(missing)} must be given again, because no secret is kept in the conversion directory",
                hint=f"add it to the command: v2v resume {choice.directory}",
            )
        return dataclasses.replace(
            choice,
            input=dataclasses.replace(choice.input, options=_merged(choice.input.options, self.input)),
            output=dataclasses.replace(choice.output, options=_merged(choice.output.options, self.output)),
            convert=dataclasses.replace(
                choice.convert, settings=dataclasses.replace(choice.convert.settings, keys=self.keys)
            ),
            copy=dataclasses.replace(choice.copy, **self.copying),  # type: ignore[arg-type]  # by the caller's fields
        )


def _merged(recorded: RawOptions, given: RawOptions) -> RawOptions:
    """Return the recorded options; those that were given again take the place of those of the same name."""
    again = {name for name, _ in given}
    return (*(one for one in recorded if one[0] not in again), *given)


def prepare(
    directory: ConversionDir, choice: RunChoice, record: RunRecord, sinks: Sequence[EventSink]
) -> frozenset[Step]:
    """Serve what an interrupted run has served, and return the steps that need not be repeated.

    :raises SourceError: a disk of the source has changed, or cannot be served again.
    :raises DestinationError: the output cannot be used again.
    """
    done = directory.done()
    source = served.read_recorded_source(directory)
    if Step.INPUT_SETUP not in done or source is None:
        return frozenset()
    if Step.OUTPUT_FINALIZE in done:
        return done
    # asked before anything is marked as begun again
    half_published = directory.has_begun(Step.OUTPUT_FINALIZE)
    with failing_as(directory, Step.INPUT_SETUP, sinks) as report:
        report.message(f"Going on with the conversion in {directory.path}")
        _refuse_changed(directory, choice.input, source, report)
        keep = Step.CONVERT in done and record.boot == run_record.current_boot() and _overlays_exist(source)
        if not keep:
            _forget_conversion(directory, begun=Step.CONVERT in done, report=report)
        disks = tuple(serve_source_again(directory, disk, keep_overlay=keep, report=report) for disk in source.disks)
        served.write_source(directory, dataclasses.replace(source, disks=disks))
    with failing_as(directory, Step.OUTPUT_SETUP, sinks) as report:
        # a guest that is half published is taken back as a whole: no output can say how far it has come
        if Step.OUTPUT_SETUP in done and (half_published or not _use_output_again(directory, report)):
            # the step takes back what is there, and begins anew
            directory.mark_begun(Step.OUTPUT_SETUP)
    return directory.done()


def _overlays_exist(source: ServedSource) -> bool:
    return all(disk.overlay is not None and disk.overlay.exists() for disk in source.disks)


def _forget_conversion(directory: ConversionDir, *, begun: bool, report: StepReport) -> None:
    """Have the conversion repeated, on new overlays."""
    if begun:
        report.info("the guest is converted again: what the conversion had written may not have reached the disk")
    directory.mark_begun(Step.CONVERT)
    forget_conversion(directory)
    # another supervisor's file would stand for the finished step (``step_graph``)
    directory.metadata_out.unlink(missing_ok=True)


def _refuse_changed(directory: ConversionDir, choice: InputChoice, source: ServedSource, report: StepReport) -> None:
    """Check that the source is as it was: what was copied must not be mixed with something else.

    :raises SourceChanged: it has changed.
    """
    changed = [disk for disk in source.disks if changed_since(disk) or _is_gone(disk)]
    if not changed and any(disk.version is not None for disk in source.disks):
        changed = _changed_at_the_source(directory, choice, source, report)
    if changed:
        disk = changed[0]
        raise SourceChanged(
            f"disk {disk.index} ({disk.origin}) has changed since the conversion began: what was copied of it does not "
            "fit the rest any more",
            hint=f"begin again: run helper-v2v-cleanup --dir {directory.path}, and then the conversion",
        )


def _is_gone(disk: ServedDisk) -> bool:
    # a local image has a version as long as it exists; a server that is asked again would only fail with less to say
    return isinstance(disk.service, QemuImage) and disk.version is not None and version_of(disk.service) is None


def _changed_at_the_source(
    directory: ConversionDir, choice: InputChoice, source: ServedSource, report: StepReport
) -> list[ServedDisk]:
    plugin = load_plugin(Role.INPUT, choice.mode)
    now = plugin.input_versions(
        InputVersionsRequest(
            directory=directory.private("input"),
            report=report,
            arguments=choice.arguments,
            connection=choice.connection,
            transport=choice.transport,
            password_file=choice.password_file,
            options=plugin.check_options(choice.options),
        )
    )
    if now is None or len(now.versions) != len(source.disks):
        return []
    return [
        disk
        for disk, version in zip(source.disks, now.versions, strict=True)
        if version is not None and disk.version is not None and version != disk.version
    ]


def _use_output_again(directory: ConversionDir, report: StepReport) -> bool:
    """Serve the destinations again with all that was flushed, if the output can.

    :return: False if the output has to be set up anew.
    """
    output = served.find_output(directory)
    if output is None or not output.disks:
        return False
    choice = chosen_output(directory, output.owner)
    plugin = load_plugin(Role.OUTPUT, choice.mode)
    if plugin.resumes:
        again = _resumed(directory, output, choice, report)
    elif output.rewritable:
        again = output
    else:
        report.warning(f"-o {choice.mode} cannot go on with what it has: everything is copied again from the beginning")
        return False
    endpoints = [
        serve_destination_again(directory, index, service, report)
        for index, service in enumerate(again.services, start=1)
    ]
    served.write_output(directory, dataclasses.replace(again, disks=tuple(endpoints)))
    return True


def _resumed(directory: ConversionDir, output: ServedOutput, choice: OutputChoice, report: StepReport) -> ServedOutput:
    """Have the plugin make its destinations usable again."""
    plugin = load_plugin(Role.OUTPUT, choice.mode)
    guest = metadata.read_source(directory.metadata_in)
    sizes = {disk.index: disk.size for disk in served.read_source(directory).disks}
    owner = directory.ledger.owner(output.owner)
    temporary = directory.overlay / "output"
    temporary.mkdir(mode=0o700, exist_ok=True)
    setup = plugin.output_resume(
        OutputResumeRequest(
            directory=directory.private("output"),
            settings=settings_of(plugin, choice, guest.name),
            setup=OutputSetup(
                disks=output.services,
                state=output.state,
                request_size=output.request_size,
                zeroed=output.zeroed,
                copier=output.copier,
                sink=output.sink,
                rewritable=output.rewritable,
                identities=output.identities,
            ),
            disks=tuple(dataclasses.replace(disk, size=sizes[disk.index]) for disk in guest.disks),
            owned=tuple(owner.objects) if owner is not None else (),
            ledger=directory.ledger.of(output.owner),
            report=report,
            temporary=temporary,
        )
    )
    services = tuple(
        without_secrets(directory, "out", index, service) for index, service in enumerate(setup.disks, start=1)
    )
    again = dataclasses.replace(
        output,
        state=dict(setup.state),
        request_size=setup.request_size,
        copier=setup.copier,
        sink=setup.sink,
        rewritable=setup.rewritable,
        identities=setup.identities,
        services=services,
        zeroed=setup.zeroed,
    )
    # before anything is served, because abort must know the state
    served.write_output(directory, again)
    return again
