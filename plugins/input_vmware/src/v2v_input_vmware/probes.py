# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` says about the needs of these inputs: pyVmomi and plugins of nbdkit."""

from __future__ import annotations

from importlib.util import find_spec

from v2v_core.api import Finding, Package, Status, install, present_or, probe_nbdkit_part


def probe_vcenter() -> tuple[Finding, ...]:
    """Look for what ``-i vcenter`` needs."""
    # not imported: it takes a second to load
    spec = find_spec("pyVmomi")
    return (
        present_or(
            "pyVmomi for Python",
            None if spec is None else (spec.origin or "found"),
            Status.OPTIONAL,
            "not importable; for vCenter and ESXi; -it export needs nothing else",
            "pip install pyvmomi",
        ),
        *probe_nbdkit_part("plugin", "curl", "vCenter over https", install(Package("nbdkit", "nbdkit-curl-plugin"))),
        *probe_nbdkit_part(
            "plugin",
            "vddk",
            "-it vddk; it also needs VMware's own library, whose downloads are closed to the public since August 2026",
            "use -it export, which needs neither; if you have the library: install nbdkit-vddk-plugin (Fedora, RHEL); "
            "Debian has no package of it: build nbdkit from source",
        ),
    )


def probe_vmx() -> tuple[Finding, ...]:
    """Look for what ``-i vmx -it ssh`` needs."""
    return probe_nbdkit_part("plugin", "ssh", "ESXi over ssh", install(Package("nbdkit", "nbdkit-ssh-plugin")))
