# SPDX-License-Identifier: GPL-2.0-or-later
"""Probe libguestfs: its Python binding, the parts of its appliance, and whether that boots."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from v2v_convert_guestfs.appliance_cache import CACHE, ready_made_appliance
from v2v_core.api import Finding, Package, Status, install, present_or

#: Seconds. An emulated appliance boots in 25 to 60; building it, which comes before, takes 10 to 30.
_BOOT_TIMEOUT = 240
_NAME = "libguestfs appliance boots"
_REMEDY = "libguestfs-test-tool shows where it stops"


def probe_libguestfs() -> Iterator[Finding]:
    """Look for the Python binding and for what supermin builds the appliance from; start nothing."""
    spec = find_spec("guestfs")
    yield present_or(
        "libguestfs for Python",
        None if spec is None else spec.origin,
        Status.MISSING,
        "not importable; it is not on PyPI: make the virtual environment with --system-site-packages",
        install(Package("python3-guestfs", "python3-libguestfs")),
    )
    fixed = ready_made_appliance(os.environ.get("LIBGUESTFS_PATH", ""))
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


def probe_kernel(boot: Path, modules: Path) -> Finding:
    """Look for the kernel of the appliance: one that this user can read and whose modules exist."""
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
    """Boot the appliance, in a process of its own and at most ``timeout`` seconds long.

    If the one that libguestfs keeps does not boot, another one is built for this probe alone, as a conversion does.
    """
    environment = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_CACHEDIR": CACHE, **os.environ}
    if emulation:
        environment["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    try:
        kept = _boot(environment, timeout)
        if kept.version is not None:
            return Finding(_NAME, Status.OK, f"libguestfs {kept.version}, in {kept.seconds:.0f} seconds")
        if kept.cache is None:
            return Finding(_NAME, Status.BROKEN, kept.reason, _REMEDY)
        with tempfile.TemporaryDirectory(
            prefix="v2v-doctor-", dir=os.environ.get("VIRT_V2V_TMPDIR") or environment["LIBGUESTFS_CACHEDIR"]
        ) as own:
            another = _boot({**environment, "LIBGUESTFS_CACHEDIR": own}, timeout)
    except subprocess.TimeoutExpired:
        return Finding(_NAME, Status.BROKEN, f"it did not within {timeout:g} seconds", _REMEDY)
    except OSError as err:
        return Finding(_NAME, Status.BROKEN, f"it cannot be tried: {err}", _REMEDY)
    if another.version is None:
        return Finding(_NAME, Status.BROKEN, f"{another.reason} (nor does the one in {kept.cache})", _REMEDY)
    return Finding(
        _NAME,
        Status.OPTIONAL,
        f"the one that libguestfs keeps in {kept.cache} does not ({kept.reason}); another one does, in "
        f"{another.seconds:.0f} seconds. Until it is removed, every conversion builds its own",
        f"rm -r {kept.cache}",
    )


@dataclass(frozen=True)
class _Boot:
    """The result of booting the appliance once.

    :param version: of libguestfs; None if the appliance did not boot. :param reason: why not.
    :param cache: where libguestfs keeps the appliance, if that may be broken.
    """

    seconds: float
    version: str | None = None
    reason: str = ""
    cache: str | None = None


def _boot(environment: Mapping[str, str], timeout: float) -> _Boot:
    """Boot the appliance.

    :raises subprocess.TimeoutExpired: it took too long and was killed.
    """
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "v2v_convert_guestfs.host.boot_appliance"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        finally:
            _kill_group(process)
    seconds = time.monotonic() - began
    lines = output.decode("utf-8", "replace").splitlines()
    if process.returncode == 0 and lines:
        return _Boot(seconds, version=lines[0])
    if lines:
        return _Boot(seconds, reason=lines[0], cache="".join(lines[1:]) or None)
    if process.returncode < 0:
        # libguestfs crashes where the file system of the appliance has no identity.
        cache = Path(environment["LIBGUESTFS_CACHEDIR"]) / f".guestfs-{os.geteuid()}"
        return _Boot(seconds, reason=f"signal {-process.returncode}", cache=os.fspath(cache))
    complaints = errors.decode("utf-8", "replace").strip().splitlines()
    return _Boot(seconds, reason=complaints[-1] if complaints else f"exit status {process.returncode}")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The appliance's qemu is in the session of the child.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
