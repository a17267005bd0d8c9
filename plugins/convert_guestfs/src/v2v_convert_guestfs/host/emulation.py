# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the appliance runs with hardware virtualization or with emulation."""

from __future__ import annotations

import dataclasses

from v2v_convert_guestfs.host.kvm import emulation_forced, kvm_works
from v2v_core.api import ConvertRequest


def with_emulation(request: ConvertRequest) -> ConvertRequest:
    """Return the request with ``settings.emulation`` decided: an existing ``/dev/kvm`` is no proof that KVM works."""
    if request.settings.emulation or emulation_forced():
        return request
    verdict = kvm_works()
    request.report.debug(f"KVM: {verdict}")
    if verdict.works:
        return request
    request.report.warning(
        f"hardware virtualization does not work here ({verdict.reason}): the conversion uses emulation and takes longer"
    )
    return dataclasses.replace(request, settings=dataclasses.replace(request.settings, emulation=True))
