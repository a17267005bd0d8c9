# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` looks for on behalf of ``-o rhv-upload``. No library is imported."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from v2v_core.api import Finding, Package, Status, V2VError, install, present_or, run_program

_NBDKIT_PYTHON = Package("nbdkit-plugin-python", "nbdkit-python-plugin")


def probe() -> tuple[Finding, ...]:
    """Return the findings about the two client libraries and nbdkit's Python plugin."""
    return (
        _module("ovirtsdk4", "pip install ovirt-engine-sdk-python"),
        _module("ovirt_imageio", "pip install ovirt-imageio"),
        *_probe_nbdkit_python(),
    )


def _module(name: str, remedy: str) -> Finding:
    spec = find_spec(name)
    place = None if spec is None else (spec.origin or "found")
    return present_or(f"{name} for Python", place, Status.OPTIONAL, "not importable; for -o rhv-upload", remedy)


def _probe_nbdkit_python() -> Iterator[Finding]:
    """Look for the plugin in nbdkit's own directory. Without nbdkit, that is what the doctor reports."""
    try:
        printed = run_program(["nbdkit", "--dump-config"], timeout=10)
    except V2VError:
        return
    config = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    plugin = Path(config.get("plugindir", "/nonexistent")) / "nbdkit-python-plugin.so"
    yield present_or(
        "nbdkit plugin python",
        str(plugin) if plugin.exists() else None,
        Status.OPTIONAL,
        "not installed; for -o rhv-upload",
        install(_NBDKIT_PYTHON),
    )
