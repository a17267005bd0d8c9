# SPDX-License-Identifier: GPL-2.0-or-later
"""The findings of ``v2v doctor``, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from v2v_cli.doctor.examination import conversions_can_run
from v2v_cli.render.sanitize import sanitize
from v2v_core.finding import Finding, Status


def findings_as_text(findings: Sequence[Finding]) -> str:
    """Return a line for each finding, with its remedy below it if it needs one, and a verdict."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.status.value:<9} {sanitize(finding.name)}: {sanitize(finding.detail)}")
        if finding.remedy is not None and finding.status is not Status.OK:
            lines.append(f"{'':<9} -> {sanitize(finding.remedy)}")
    verdict = "can" if conversions_can_run(findings) else "cannot"
    lines += ["", f"Conversions {verdict} run on this machine."]
    return "".join(f"{line}\n" for line in lines)


def findings_as_json(findings: Sequence[Finding]) -> str:
    """Return one JSON object."""
    record = {"conversions_can_run": conversions_can_run(findings), "findings": [asdict(one) for one in findings]}
    return json.dumps(record, indent=1) + "\n"
