# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether hardware virtualization works, found out by using it.

``/dev/kvm`` existing says little: in nested clouds and containers it may exist and yet be unable to run a stock
kernel, which then hangs or dies with "KVM internal error". So a virtual CPU is really run, with ``kvm_payload``.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from v2v_convert_guestfs.host.kvm_payload import run_payload
from v2v_core.api import ConvertRequest

_KVM_DEVICE = Path("/dev/kvm")
_KVM_GET_API_VERSION = 0xAE00
_KVM_CREATE_VM = 0xAE01
_STABLE_API = 12

_EMULATORS = ("qemu-system-x86_64", "/usr/libexec/qemu-kvm", "qemu-kvm", "kvm")


@dataclass(frozen=True)
class KvmVerdict:
    """Whether virtual machines run with hardware virtualization, why (not), and how long it took to find out."""

    works: bool
    reason: str
    seconds: float


def kvm_works(timeout: float = 5) -> KvmVerdict:
    """Find out whether KVM works for this user on this machine, within ``timeout`` seconds.

    The machine is not tested if ``LIBGUESTFS_BACKEND_SETTINGS=force_tcg`` is set.
    """
    began = time.monotonic()
    works, reason = _decide(timeout)
    return KvmVerdict(works, reason, time.monotonic() - began)


def emulation_forced() -> bool:
    """Return whether the user asked libguestfs for emulation."""
    return "force_tcg" in os.environ.get("LIBGUESTFS_BACKEND_SETTINGS", "").split(":")


def find_emulator() -> str | None:
    """Return the path of the qemu that libguestfs would use, or None."""
    chosen = os.environ.get("LIBGUESTFS_HV")
    return next((found for name in ((chosen,) if chosen else _EMULATORS) if (found := shutil.which(name))), None)


def _decide(timeout: float) -> tuple[bool, str]:
    if emulation_forced():
        return False, "emulation is asked for with LIBGUESTFS_BACKEND_SETTINGS=force_tcg"
    refusal = _device_refusal()
    if refusal is not None:
        return False, refusal
    if platform.machine() not in {"x86_64", "AMD64"}:
        # The payload is for x86 only. On other hosts, KVM is not offered by hypervisors that cannot run it.
        return True, f"{_KVM_DEVICE} makes virtual machines (none was run: this is not an x86 host)"
    emulator = find_emulator()
    if emulator is None:
        return False, "qemu-system-x86_64 is not installed"
    return run_payload(emulator, "kvm", timeout)


def _device_refusal() -> str | None:
    """Return why the device cannot be used: this user may not open it, or it does not create a virtual machine."""
    if not _KVM_DEVICE.exists():
        return f"{_KVM_DEVICE} does not exist"
    try:
        device = os.open(_KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        return f"{_KVM_DEVICE} cannot be opened: {err.strerror}"
    try:
        version = fcntl.ioctl(device, _KVM_GET_API_VERSION, 0)
        if version != _STABLE_API:
            return f"{_KVM_DEVICE} has version {version} of its interface and not {_STABLE_API}"
        os.close(fcntl.ioctl(device, _KVM_CREATE_VM, 0))
    except OSError as err:
        return f"{_KVM_DEVICE} does not create a virtual machine: {err.strerror}"
    finally:
        os.close(device)
    return None


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
