# SPDX-License-Identifier: GPL-2.0-or-later
"""What only some guests, sources and targets need. Nothing is imported: the SDKs are large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from v2v_core.finding import Finding, Status, present_or
from v2v_core.packages import Package, install

_SDKS = (
    ("pyVmomi", "vCenter and ESXi", "pip install pyvmomi"),
    ("ovirtsdk4", "-o rhv-upload", "pip install ovirt-engine-sdk-python"),
    ("ovirt_imageio", "-o rhv-upload", "pip install ovirt-imageio"),
    ("openstack", "-o openstack", "pip install openstacksdk"),
    ("libvirt", "-i libvirt and -o libvirt", None),
)
_VIRTIO_WIN = ("/usr/share/virtio-win", "/usr/share/virtio-win/virtio-win.iso")


def probe_extras() -> Iterator[Finding]:
    """Look for the SDKs and for the Windows drivers."""
    for module, purpose, remedy in _SDKS:
        spec = find_spec(module)
        yield present_or(
            f"{module} for Python",
            None if spec is None else (spec.origin or "found"),
            Status.OPTIONAL,
            f"not importable; for {purpose}",
            remedy or install(Package("python3-libvirt", "python3-libvirt")),
        )
    places = (os.environ.get("VIRTIO_WIN"), os.environ.get("VIRTIO_WIN_DIR"), *_VIRTIO_WIN)
    yield present_or(
        "virtio-win",
        next((place for place in places if place and Path(place).exists()), None),
        Status.OPTIONAL,
        "not found; Windows guests get no virtio drivers without it",
        "install virtio-win, or set VIRTIO_WIN to virtio-win.iso (https://fedorapeople.org/groups/virt/virtio-win/)",
    )
