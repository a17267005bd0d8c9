# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` looks for on behalf of ``-o rhv-upload``. No library is imported."""

from __future__ import annotations

from importlib.util import find_spec

from v2v_core.api import Finding, Package, Status, install, present_or, probe_nbdkit_part

_PURPOSE = "-o rhv-upload"
_NBDKIT_PYTHON = Package("nbdkit-plugin-python", "nbdkit-python-plugin")
_LIBNBD = Package("python3-libnbd", "python3-libnbd")


def probe() -> tuple[Finding, ...]:
    """Return the findings about the client libraries, libnbd's binding and nbdkit's Python plugin."""
    return (
        _module("ovirtsdk4", f"not importable; needed for {_PURPOSE}", "pip install ovirt-engine-sdk-python"),
        _module("ovirt_imageio", f"not importable; needed for {_PURPOSE}", "pip install ovirt-imageio"),
        _module("nbd", f"not importable; {_PURPOSE} then copies with nbdcopy, which is slower", install(_LIBNBD)),
        *probe_nbdkit_part("plugin", "python", _PURPOSE, install(_NBDKIT_PYTHON)),
    )


def _module(name: str, absent: str, remedy: str) -> Finding:
    spec = find_spec(name)
    place = None if spec is None else (spec.origin or "found")
    return present_or(f"{name} for Python", place, Status.OPTIONAL, absent, remedy)
