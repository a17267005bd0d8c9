# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from v2v_cli.options.declaration import Group, flag
from v2v_cli.options.general import Json
from v2v_core import own_stdout


@dataclass(frozen=True, kw_only=True)
class Examination(Group):
    """How thoroughly the machine is examined."""

    quick: Annotated[bool, flag("--quick", help="Do not boot the appliance of libguestfs, which takes a minute.")] = (
        False
    )


def doctor(examination: Examination, json: Json) -> int:
    """Find out what is missing on this machine, and print the commands that install it.

    Examples:
    $ v2v doctor
    $ v2v doctor --quick --json
    """
    from v2v_cli.doctor.examination import conversions_can_run, examine
    from v2v_cli.render.findings import findings_as_json, findings_as_text

    # the plugins that are asked may print something
    stdout = own_stdout.take()
    findings = examine(quick=examination.quick)
    stdout.write(findings_as_json(findings) if json.json else findings_as_text(findings))
    return 0 if conversions_can_run(findings) else 1
