# SPDX-License-Identifier: GPL-2.0-or-later
"""All probes, in the order in which a conversion needs the things that they look for."""

from __future__ import annotations

from collections.abc import Iterable

from v2v_cli.doctor.nbdkit import probe_nbdkit
from v2v_cli.doctor.plugins import ask_plugins, probe_plugins
from v2v_cli.doctor.programs import probe_programs
from v2v_cli.doctor.space import probe_space
from v2v_core.finding import Finding, Status


def examine(*, quick: bool = False) -> tuple[Finding, ...]:
    """Run all probes; ``quick`` leaves out those that take longer than a second or two."""
    findings = [*probe_plugins(), *probe_nbdkit(), *probe_programs()]
    findings += probe_space()
    findings += ask_plugins(quick=quick)
    return tuple(findings)


def conversions_can_run(findings: Iterable[Finding]) -> bool:
    """Return whether everything that every conversion needs is there and works."""
    return not any(finding.status in {Status.MISSING, Status.BROKEN} for finding in findings)
