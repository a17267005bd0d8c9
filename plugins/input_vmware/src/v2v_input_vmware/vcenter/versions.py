# SPDX-License-Identifier: GPL-2.0-or-later
"""Versions of disks: texts that change whenever the guest may have written to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from v2v_input_vmware.vcenter.machine import Machine, VmDisk


def versions_of(vm: Machine, disks: Sequence[VmDisk], snapshot: str | None) -> tuple[str, ...]:
    """Return the version of each disk.

    A disk with change tracking has a ``changeId``. Without it, nothing in the inventory tells of writes, but a machine
    that was switched on has another ``changeVersion``. A new ``changeId`` may only come with the next snapshot, so that
    the ``changeVersion`` counts for such disks, too.

    :param snapshot: moref of the snapshot that is read, which never changes.
    """
    changed = snapshot or str(getattr(vm.config, "changeVersion", None) or "")
    return tuple(_version(disk, changed) for disk in disks)


def _version(disk: VmDisk, changed: str) -> str:
    known = (changed, disk.change_id or "", disk.file, disk.uuid or "", str(disk.size))
    return hashlib.sha256("\0".join(known).encode()).hexdigest()
