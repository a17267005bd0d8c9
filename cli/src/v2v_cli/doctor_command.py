# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v doctor``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Quick = Annotated[bool, typer.Option("--quick", help="Leave out booting the libguestfs appliance.")]


def doctor(as_json: _Json = False, quick: _Quick = False) -> int:
    """Find out what this machine can do, and print the commands that mend the rest."""
    from v2v_cli.doctor.examination import conversions_can_run, examine
    from v2v_cli.render.findings import findings_as_json, findings_as_text

    findings = examine(quick=quick)
    sys.stdout.write(findings_as_json(findings) if as_json else findings_as_text(findings))
    return 0 if conversions_can_run(findings) else 1
