# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_Place = Annotated[
    Path, typer.Argument(metavar="DIR", help="A conversion directory, or the logs that were kept of a failed run.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def report(directory: _Place, as_json: _Json = False) -> int:
    """Print what a run did to the guest, from what it left in its conversion directory."""
    from v2v_cli.render.report import report_as_json, report_as_text
    from v2v_core.run_report import read_report

    found = read_report(directory)
    sys.stdout.write(report_as_json(found) if as_json else report_as_text(found))
    return 0
