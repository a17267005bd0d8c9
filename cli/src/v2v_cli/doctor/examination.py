# SPDX-License-Identifier: GPL-2.0-or-later
"""All probes, in the order in which a conversion needs what they look for."""

from __future__ import annotations

from collections.abc import Iterable

from v2v_cli.doctor.extras import probe_virtio_win
from v2v_cli.doctor.nbdkit import probe_nbdkit
from v2v_cli.doctor.plugins import ask_plugins, probe_plugins
from v2v_cli.doctor.programs import probe_libnbd_binding, probe_programs
from v2v_cli.doctor.space import probe_space
from v2v_core.finding import Finding, Status


def examine(*, quick: bool = False) -> tuple[Finding, ...]:
    """Look at everything; ``quick`` leaves out booting the appliance."""
    findings = [*probe_plugins(), *probe_nbdkit(), *probe_programs(), probe_libnbd_binding()]
    findings += probe_space()
    findings.append(probe_virtio_win())
    findings += ask_plugins(quick=quick)
    return tuple(findings)


def conversions_can_run(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is missing or broken that every conversion needs."""
    return not any(finding.status in {Status.MISSING, Status.BROKEN} for finding in findings)
