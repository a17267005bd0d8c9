# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from v2v_cli.options.declaration import Argument, Group
from v2v_cli.options.general import Json
from v2v_cli.options.values import path
from v2v_core import own_stdout


@dataclass(frozen=True, kw_only=True)
class Place(Group):
    """Where a run left what it knows."""

    directory: Annotated[
        Path, Argument(metavar="DIR", parse=path, help="A conversion directory, or the kept logs of a failed run.")
    ]


def report(place: Place, json: Json) -> int:
    """Print what a run did to the guest, from what it left in its conversion directory.

    Examples:
    $ v2v report ~/.local/state/v2v/logs/RUN
    $ v2v report --json DIR
    """
    from v2v_cli.render.report import report_as_json, report_as_text
    from v2v_core.run_report import read_report

    run = read_report(place.directory)
    own_stdout.stdout().write(report_as_json(run) if json.json else report_as_text(run))
    return 0
