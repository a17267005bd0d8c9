# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` says about the needs of these inputs: pyVmomi and plugins of nbdkit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from v2v_core.api import Finding, Package, Status, V2VError, install, present_or, run_program


def probe_vcenter() -> tuple[Finding, ...]:
    """Look for what ``-i vcenter`` needs."""
    # not imported: it takes a second to load
    spec = find_spec("pyVmomi")
    return (
        present_or(
            "pyVmomi for Python",
            None if spec is None else (spec.origin or "found"),
            Status.OPTIONAL,
            "not importable; for vCenter and ESXi",
            "pip install pyvmomi",
        ),
        *_probe_nbdkit_plugin("curl", "vCenter over https", install(Package("nbdkit", "nbdkit-curl-plugin"))),
        *_probe_nbdkit_plugin(
            "vddk",
            "-it vddk; it also needs VMware's own library",
            "install nbdkit-vddk-plugin (Fedora, RHEL); Debian has no package of it: build nbdkit from source",
        ),
    )


def probe_vmx() -> tuple[Finding, ...]:
    """Look for what ``-i vmx -it ssh`` needs."""
    return _probe_nbdkit_plugin("ssh", "ESXi over ssh", install(Package("nbdkit", "nbdkit-ssh-plugin")))


def _probe_nbdkit_plugin(name: str, purpose: str, remedy: str) -> tuple[Finding, ...]:
    """Look for a plugin in the directory that nbdkit names itself. Without nbdkit, return no finding."""
    try:
        printed = run_program(["nbdkit", "--dump-config"], timeout=10)
    except V2VError:
        return ()
    config = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    path = Path(config.get("plugindir", "/nonexistent"), f"nbdkit-{name}-plugin.so")
    return (
        present_or(
            f"nbdkit plugin {name}",
            str(path) if path.exists() else None,
            Status.OPTIONAL,
            f"not installed; for {purpose}",
            remedy,
        ),
    )
