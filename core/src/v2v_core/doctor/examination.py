# SPDX-License-Identifier: GPL-2.0-or-later
"""All probes, in the order in which a conversion needs what they look for."""

from __future__ import annotations

from collections.abc import Iterable

from v2v_core.doctor.extras import probe_extras
from v2v_core.doctor.finding import Finding, Status
from v2v_core.doctor.kvm import kvm_works
from v2v_core.doctor.libguestfs import probe_appliance_boots, probe_libguestfs
from v2v_core.doctor.nbdkit import probe_nbdkit
from v2v_core.doctor.plugins import probe_plugins
from v2v_core.doctor.programs import probe_compressors, probe_libnbd_binding, probe_programs
from v2v_core.doctor.space import probe_space


def examine(*, quick: bool = False) -> tuple[Finding, ...]:
    """Look at everything; ``quick`` leaves out booting the appliance."""
    findings = [*probe_plugins(), *probe_nbdkit(), *probe_programs(), *probe_compressors(), probe_libnbd_binding()]
    verdict = kvm_works()
    findings.append(
        Finding(
            "hardware virtualization",
            Status.OK if verdict.works else Status.OPTIONAL,
            verdict.reason if verdict.works else f"{verdict.reason}; conversions use emulation and take longer",
        )
    )
    findings += probe_libguestfs()
    findings += probe_space()
    findings += probe_extras()
    # when one of its parts is missing, that is the finding, and not that it does not boot
    if not quick and conversions_can_run(findings):
        findings.append(probe_appliance_boots(emulation=not verdict.works))
    return tuple(findings)


def conversions_can_run(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is missing or broken that every conversion needs."""
    return not any(finding.status in {Status.MISSING, Status.BROKEN} for finding in findings)
