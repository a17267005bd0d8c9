# SPDX-License-Identifier: GPL-2.0-or-later
"""``run.json``: what the user asked of a whole run, so that ``v2v resume`` can go on with it.

It is there as long as there is something to go on with: the cleanup removes it first. It holds no secret: options that
a plugin declares as secret, and keys, are left out, and the user has to give them again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import UsageError
from v2v_core.plugins import load_plugin
from v2v_core.settings import RawOptions, RunChoice

_FILE = "run.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run that can be resumed.

    :param choice: what the user asked, without secrets.
    :param secrets: names of what was left out: ``--key``, ``-io cookie``.
    :param place: the working directory, which relative paths start from.
    :param boot: names the time from one start of the machine to the next one.
    """

    choice: RunChoice
    secrets: tuple[str, ...] = ()
    place: Path = Path("/")
    boot: str = ""


def current_boot() -> str:
    """Return the name of the time since the machine was started."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def write(directory: ConversionDir, choice: RunChoice, place: Path | None = None) -> None:
    """Write down a run, or that it goes on after the machine was started again.

    :param place: the working directory of the run; None for that of this process.
    """
    source, target = load_plugin(Role.INPUT, choice.input.mode), load_plugin(Role.OUTPUT, choice.output.mode)
    kept_in, kept_out = source.without_secrets(choice.input.options), target.without_secrets(choice.output.options)
    left_out = [
        *(["--key"] if choice.convert.settings.keys else []),
        *(f"-io {name}" for name in _names(choice.input.options, kept_in)),
        *(f"-oo {name}" for name in _names(choice.output.options, kept_out)),
    ]
    settings = dataclasses.replace(choice.convert.settings, keys=())
    record = RunRecord(
        choice=dataclasses.replace(
            choice,
            input=dataclasses.replace(choice.input, options=kept_in),
            output=dataclasses.replace(choice.output, options=kept_out),
            convert=dataclasses.replace(choice.convert, settings=settings),
            directory=directory.path,
        ),
        secrets=tuple(dict.fromkeys(left_out)),
        place=place or Path.cwd(),
        boot=current_boot(),
    )
    directory.write_record(_FILE, record)


def read(directory: ConversionDir) -> RunRecord:
    """Return the run of a directory.

    :raises UsageError: there is none that can be resumed.
    """
    if not exists(directory.path):
        raise UsageError(
            f"{directory.path} holds no conversion that can be resumed",
            hint="only 'v2v convert --dir DIR' leaves one; "
            f"'helper-v2v-cleanup --dir {directory.path}' removes what is left",
        )
    return directory.read_record(_FILE, RunRecord)


def exists(path: Path) -> bool:
    """Return whether a conversion directory holds a run that can be resumed."""
    return (path / _FILE).exists()


def forget(directory: ConversionDir) -> None:
    """Remove the record: the directory is about to be removed, too."""
    (directory.path / _FILE).unlink(missing_ok=True)


def _names(all_options: RawOptions, kept: RawOptions) -> Sequence[str]:
    return [name for name, value in all_options if (name, value) not in kept]
