# SPDX-License-Identifier: GPL-2.0-or-later
"""Step output_check: everything that would make the output fail is found before the long work begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import UsageError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OutputCheckRequest, OutputSettings
from v2v_core.plugins import LoadedPlugin, load_plugin
from v2v_core.reporting import running
from v2v_core.settings import OutputChoice
from v2v_core.steps.input_setup import INPUT

_CHOICE = "choice.json"


def run(directory: ConversionDir, choice: OutputChoice, sinks: Sequence[EventSink] = ()) -> None:
    """Check the output: afterwards ``choice.json`` holds what the later output steps must know.

    :raises V2VError: as the plugin says.
    """
    with running(directory, Step.OUTPUT_CHECK, sinks) as report:
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        guest = metadata.read_source(directory.metadata_in)
        settings = settings_of(plugin, choice, guest.name)
        plugin.output_check(
            OutputCheckRequest(
                directory=directory.private("output"),
                settings=settings,
                guest=guest,
                source_files=_source_files(directory),
                report=report,
            )
        )
        save_choice(directory, choice)


def _source_files(directory: ConversionDir) -> tuple[Path, ...]:
    # somebody else's input need not have left this
    if not (directory.path / INPUT).exists():
        return ()
    return tuple(Path(name) for name in directory.read_json(INPUT)["source_files"])


def settings_of(plugin: LoadedPlugin, choice: OutputChoice, source_name: str) -> OutputSettings:
    """Give what an output plugin is told of the user's wishes.

    :raises UsageError: a value that no output can have.
    """
    if choice.allocation not in {"sparse", "preallocated"}:
        raise UsageError(f"-oa {choice.allocation!r} is neither sparse nor preallocated")
    return OutputSettings(
        name=choice.name if choice.name is not None else source_name,
        storage=choice.storage,
        connection=choice.connection,
        format=choice.format or "raw",
        format_given=choice.format is not None,
        allocation=choice.allocation,
        password_file=choice.password_file,
        options=plugin.check_options(choice.options),
    )


def save_choice(directory: ConversionDir, choice: OutputChoice) -> None:
    """Write down the user's wishes for the steps that come later, maybe in other processes."""
    record = asdict(choice)
    record["password_file"] = str(choice.password_file) if choice.password_file is not None else None
    directory.write_json(_CHOICE, record)


def saved_choice(directory: ConversionDir) -> OutputChoice:
    """Read what ``save_choice`` wrote.

    :raises V2VError: that step was not run.
    """
    record = directory.read_json(_CHOICE)
    record["options"] = tuple((key, value) for key, value in record["options"])
    record["password_file"] = Path(record["password_file"]) if record["password_file"] is not None else None
    return OutputChoice(**record)
