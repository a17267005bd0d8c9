# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` reports about this plugin's needs: KVM, libguestfs, initramfs compressors, Windows drivers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from v2v_convert_guestfs.host.appliance_probe import probe_appliance_boots, probe_libguestfs
from v2v_convert_guestfs.host.kvm import find_emulator, kvm_works
from v2v_convert_guestfs.windows.virtio_win.places import REMEDY, find_virtio_win
from v2v_core.api import Finding, Package, Status, install, present_or

#: Without one of them, the guest's own tool rebuilds an initramfs that is compressed with it, which takes far longer.
_COMPRESSORS = {"zstd": Package("zstd", "zstd"), "lz4": Package("lz4", "lz4")}


def probe(*, quick: bool) -> tuple[Finding, ...]:
    """Return all findings; ``quick`` leaves out booting the appliance."""
    verdict = kvm_works()
    findings = [
        Finding(
            "hardware virtualization",
            Status.OK if verdict.works else Status.OPTIONAL,
            verdict.reason if verdict.works else f"{verdict.reason}; conversions use emulation and take longer",
        ),
        probe_emulator(),
        *probe_libguestfs(),
        *probe_compressors(),
        probe_virtio_win(),
    ]
    # when one of its parts is missing, that is the finding, and not that the appliance does not boot
    if not quick and not any(finding.status in {Status.MISSING, Status.BROKEN} for finding in findings):
        findings.append(probe_appliance_boots(emulation=not verdict.works))
    return tuple(findings)


def probe_emulator() -> Finding:
    """Look for the qemu that the appliance runs in."""
    return present_or(
        "qemu-system",
        find_emulator(),
        Status.MISSING,
        "not on PATH; the appliance of libguestfs runs in it",
        install(Package("qemu-system-x86", "qemu-kvm")),
    )


def probe_compressors() -> Iterator[Finding]:
    """Look for the programs that read and write the initramfs of a guest."""
    for name, package in _COMPRESSORS.items():
        without = "not on PATH; conversions of guests whose initramfs is compressed so take longer"
        yield present_or(name, shutil.which(name), Status.OPTIONAL, without, install(package))


def probe_virtio_win() -> Finding:
    """Look for the virtio drivers that Windows guests get."""
    found = find_virtio_win()
    if found.source is not None:
        found.source.close()
    place = str(found.source.place) if found.source is not None else None
    absent = f"{found.problem}; only Windows guests need it"
    return present_or("virtio-win", place, Status.OPTIONAL, absent, REMEDY)
