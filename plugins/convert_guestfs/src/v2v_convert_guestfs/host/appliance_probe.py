# SPDX-License-Identifier: GPL-2.0-or-later
"""libguestfs: its Python binding, what its appliance is built from, and whether that boots."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from v2v_core.api import Finding, Package, Status, install, present_or

_BOOT = """
import guestfs
handle = guestfs.GuestFS(python_return_dict=True)
handle.add_drive_scratch(1024 * 1024)
handle.launch()
print(handle.version()["major"], handle.version()["minor"], handle.version()["release"], sep=".")
handle.shutdown()
"""
#: An emulated appliance boots in 25 to 60 seconds; the first one is built before.
_BOOT_TIMEOUT = 240


def probe_libguestfs() -> Iterator[Finding]:
    """Look for the binding and for what supermin builds the appliance from; nothing is started."""
    spec = find_spec("guestfs")
    yield present_or(
        "libguestfs for Python",
        None if spec is None else spec.origin,
        Status.MISSING,
        "not importable; it is no PyPI package: make the virtual environment with --system-site-packages",
        install(Package("python3-guestfs", "python3-libguestfs")),
    )
    fixed = _fixed_appliance()
    if fixed is not None:
        yield Finding("libguestfs appliance", Status.OK, f"ready-made, in {fixed}")
        return
    yield present_or(
        "supermin",
        shutil.which("supermin") or shutil.which("supermin5"),
        Status.MISSING,
        "not on PATH; it builds the appliance",
        install(Package("supermin", "supermin")),
    )
    yield probe_kernel(Path("/boot"), Path("/lib/modules"))


def _fixed_appliance() -> str | None:
    places = os.environ.get("LIBGUESTFS_PATH", "").split(":")
    return next((place for place in places if place and (Path(place) / "README.fixed").exists()), None)


def probe_kernel(boot: Path, modules: Path) -> Finding:
    """Look for a kernel that this user can read, and whose modules are there: the appliance boots with it."""
    name = "kernel of the appliance"
    chosen = os.environ.get("SUPERMIN_KERNEL")
    kernels = [Path(chosen)] if chosen else [*sorted(boot.glob("vmlinuz-*")), *sorted(modules.glob("*/vmlinuz"))]
    existing = [kernel for kernel in kernels if kernel.exists()]
    package = install(Package("linux-image-amd64", "kernel-core"))
    if not existing:
        return Finding(name, Status.MISSING, f"there is none in {boot} or {modules}", package)
    readable = [kernel for kernel in existing if os.access(kernel, os.R_OK)]
    if not readable:
        return Finding(
            name, Status.BROKEN, f"{existing[-1]} cannot be read by this user", f"sudo chmod a+r {existing[-1]}"
        )
    whole = [kernel for kernel in readable if chosen or _modules_of(kernel, modules).is_dir()]
    if not whole:
        missing = _modules_of(readable[-1], modules)
        return Finding(name, Status.BROKEN, f"{missing}, the modules of {readable[-1]}, are missing", package)
    return Finding(name, Status.OK, str(whole[-1]))


def _modules_of(kernel: Path, modules: Path) -> Path:
    return kernel.parent if kernel.name == "vmlinuz" else modules / kernel.name.removeprefix("vmlinuz-")


def probe_appliance_boots(*, emulation: bool, timeout: float = _BOOT_TIMEOUT) -> Finding:
    """Boot the appliance, in a process of its own and with a time limit."""
    name = "libguestfs appliance boots"
    environment = {"LIBGUESTFS_BACKEND": "direct", **os.environ}
    if emulation:
        environment["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOT],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            said, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return Finding(
                name,
                Status.BROKEN,
                f"it did not within {timeout:g} seconds",
                "libguestfs-test-tool shows where it stops",
            )
        finally:
            _kill_group(process)
    if process.returncode != 0:
        lines = complaint.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else f"exit status {process.returncode}"
        return Finding(name, Status.BROKEN, why, "libguestfs-test-tool shows where it stops")
    version = said.decode("utf-8", "replace").strip()
    return Finding(name, Status.OK, f"libguestfs {version}, in {time.monotonic() - began:.0f} seconds")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # the appliance's qemu is in the session of the child
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
