# SPDX-License-Identifier: GPL-2.0-or-later
"""Find a snapshot of a virtual machine by its name or moref."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.inventory import properties
from v2v_input_vmware.vcenter.machine import Machine
from v2v_input_vmware.vcenter.session import Service

#: A managed object of pyvmomi, which has no type hints.
Managed = Any

_MOREF = re.compile(r"(?:moref=|moref:)?(.+)")


def find_snapshot(vm: Machine, wanted: str) -> Managed:
    """Return the snapshot that the user named.

    :raises SourceError: there is none, or there are several.
    """
    everything = list(_tree(vm.snapshot.rootSnapshotList)) if vm.snapshot is not None else []
    match = _MOREF.fullmatch(wanted)
    moref = match[1] if match is not None else wanted
    by_moref = [each.snapshot for each in everything if each.snapshot._moId == moref]
    found = by_moref or [each.snapshot for each in everything if unquote(each.name) == wanted]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{unquote(each.name)} ({each.snapshot._moId})" for each in everything) or "none"
    if found:
        raise SourceError(
            f"{vm.name} has {len(found)} snapshots called {wanted}: {listed}", hint="name it by its moref instead"
        )
    raise SourceError(
        f"{vm.name} has no snapshot {wanted}; it has: {listed}",
        hint="take one in the vSphere Client (without the memory of the guest), or omit -io export-snapshot",
    )


def at_snapshot(service: Service, vm: Machine, snapshot: Managed) -> Machine:
    """Return a machine with the configuration that it had when the snapshot was taken.

    :raises vim.fault.NoPermission: the user may not read it.
    """
    return replace(vm, config=properties(service, snapshot, "config")["config"])


def _tree(snapshots: Any) -> Iterator[Any]:
    left = list(snapshots or ())
    while left:
        each = left.pop(0)
        yield each
        left += each.childSnapshotList or ()
