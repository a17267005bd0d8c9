# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of libnbd and qemu, and libnbd's Python binding."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from v2v_core.doctor.finding import Finding, Status, present_or
from v2v_core.doctor.kvm import find_emulator
from v2v_core.doctor.packages import Package, install

_LIBNBD = Package("libnbd-bin", "libnbd")
_QEMU_TOOLS = Package("qemu-utils", "qemu-img")
#: Without them an initramfs that is compressed so is rebuilt by the guest's own tool, which takes far longer.
_COMPRESSORS = {"zstd": Package("zstd", "zstd"), "lz4": Package("lz4", "lz4")}
_NEEDED = {"nbdcopy": _LIBNBD, "nbdinfo": _LIBNBD, "qemu-img": _QEMU_TOOLS, "qemu-nbd": _QEMU_TOOLS}


def probe_programs() -> Iterator[Finding]:
    """Look for the programs that every conversion runs."""
    for name, package in _NEEDED.items():
        yield present_or(name, shutil.which(name), Status.MISSING, "not on PATH", install(package))
    yield present_or(
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


def probe_libnbd_binding() -> Finding:
    """Look for the Python module ``nbd``."""
    spec = find_spec("nbd")
    return present_or(
        "libnbd for Python",
        None if spec is None else spec.origin,
        Status.OPTIONAL,
        "not importable; extents are read with nbdinfo then",
        install(Package("python3-libnbd", "python3-libnbd")),
    )
