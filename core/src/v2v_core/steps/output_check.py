# SPDX-License-Identifier: GPL-2.0-or-later
"""Step output_check: finds everything that would make the output fail, before the long work begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from v2v_core import claims, metadata, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import DestinationError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OutputCheckRequest, OutputCheckResult, OutputPrecheckRequest
from v2v_core.model import Guest, QemuImage
from v2v_core.plugins import LoadedPlugin, load_plugin
from v2v_core.reporting import failing_as, running
from v2v_core.served import ServedSource
from v2v_core.serving import data_of
from v2v_core.settings import InputChoice, OutputChoice
from v2v_core.steps.output_choice import save_choice, settings_of

#: Seconds for the map of a disk, which only an estimate needs.
_PATIENCE = 10.0
#: In the conversion directory: the files that stand for the guest at the destination (``OutputCheckResult.claims``).
_NAMES = "output_names.json"


def precheck(
    directory: ConversionDir,
    choice: OutputChoice,
    sinks: Sequence[EventSink] = (),
    *,
    source: InputChoice | None = None,
) -> None:
    """Check the output as far as it does not depend on the guest, before the source is opened.

    It is no step: nothing is recorded but a failure, and the step comes later.

    :param source: what the user named as the source, if that is known.
    :raises V2VError: the output would fail for any guest.
    """
    with failing_as(directory, Step.OUTPUT_CHECK, sinks) as report:
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        result = plugin.output_precheck(
            OutputPrecheckRequest(
                directory=directory.private("output"),
                settings=settings_of(plugin, choice, choice.name or ""),
                source_files=tuple(path for path in map(Path, source.arguments if source else ()) if path.exists()),
                report=report,
            )
        )
        claims.look(result.claims, directory)
        _save_names(directory, result)


def reserve(directory: ConversionDir, sinks: Sequence[EventSink] = ()) -> None:
    """Reserve the names at the destination that the last check has found, for this run.

    :raises DestinationError: another run has reserved one.
    """
    with failing_as(directory, Step.OUTPUT_CHECK, sinks):
        reserve_names(directory)


def reserve_names(directory: ConversionDir) -> None:
    """Reserve the names as a part of another step.

    :raises DestinationError: another run has reserved one.
    """
    if (directory.path / _NAMES).exists():
        claims.claim(directory.read_record(_NAMES, OutputCheckResult).claims, directory)


def run(directory: ConversionDir, choice: OutputChoice, sinks: Sequence[EventSink] = ()) -> None:
    """Check the output. Afterwards ``output_choice.json`` holds what the user asked of it.

    :raises V2VError: the output would fail.
    """
    with running(directory, Step.OUTPUT_CHECK, sinks) as report:
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        guest = metadata.read_source(directory.metadata_in)
        _check_profile(guest, plugin)
        source = served.read_source(directory)
        result = plugin.output_check(
            OutputCheckRequest(
                directory=directory.private("output"),
                settings=settings_of(plugin, choice, guest.name),
                guest=guest,
                source_files=source.files,
                data=dict(_data(source)),
                report=report,
            )
        )
        claims.look(result.claims, directory)
        _save_names(directory, result)
        save_choice(directory, choice)


def _save_names(directory: ConversionDir, result: OutputCheckResult) -> None:
    directory.write_record(_NAMES, result)


def _data(source: ServedSource) -> Iterator[tuple[int, int]]:
    """Yield the number of each disk and the bytes of data that it holds, where its server can tell in a short time."""
    for disk in source.disks:
        # a server of something else may report all of a disk as data because it knows no better
        if isinstance(disk.service, QemuImage):
            data = data_of(disk.base or disk.uri, timeout=_PATIENCE)
            if data is not None:
                yield disk.index, data


def _check_profile(guest: Guest, plugin: LoadedPlugin) -> None:
    most = plugin.profile.most_disks
    if most is not None and len(guest.disks) > most:
        raise DestinationError(
            f"the guest has {len(guest.disks)} disks, but -o {plugin.name} allows at most {most}",
            hint="choose another target, or convert without some of the disks",
        )
