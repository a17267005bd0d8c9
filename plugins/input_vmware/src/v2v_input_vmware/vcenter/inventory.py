# SPDX-License-Identifier: GPL-2.0-or-later
"""Find a virtual machine in the inventory by path, name, UUID or moref."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.session import Service

#: A managed object of pyvmomi, which has no type hints.
Managed = Any

_MOREF = re.compile(r"(?:moref=|moref:)?(vm-\d+|\d+)", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DEEPEST = 100


def find_vm(service: Service, wanted: str, place: str = "") -> Managed:
    """Return the virtual machine that the user named.

    :param wanted: its inventory path, name, UUID or moref.
    :param place: a path that starts with the path of its datacenter, as in a ``vpx://`` URI. It selects among machines
        of the same name.
    :raises SourceError: no machine matches, or several do.
    """
    content = service.RetrieveContent()
    if wanted.startswith("/"):
        found = [content.searchIndex.FindByInventoryPath(wanted.strip("/"))]
    elif _UUID.fullmatch(wanted):
        found = [content.searchIndex.FindByUuid(None, wanted, True, instance) for instance in (False, True)]
    else:
        found = _named(content, wanted)
        if not found and (moref := _MOREF.fullmatch(wanted)):
            found = _by_moref(service, moref[1])
    machines = {vm._moId: vm for vm in found if vm is not None and _is_vm(vm)}
    if len(machines) > 1 and place:
        machines = {
            moref: vm for moref, vm in machines.items() if f"{place}/".startswith(f"{datacenter_of(service, vm)}/")
        } or machines
    if len(machines) > 1:
        listed = ", ".join(sorted(f"{path_of(service, vm)} ({moref})" for moref, vm in machines.items()))
        raise SourceError(
            f"there are {len(machines)} virtual machines called {wanted}: {listed}",
            hint="name one of them by its path, which starts with /, or by its moref",
        )
    if not machines:
        raise SourceError(
            f"there is no virtual machine {wanted}, or the user may not see it",
            hint="give its name in the inventory, its path (/Datacenter/vm/Folder/Name), its UUID or its moref",
        )
    return next(iter(machines.values()))


def properties(service: Service, entity: Managed, *names: str) -> dict[str, Any]:
    """Read properties of an object in one request. Properties that are not set are None.

    :raises vim.fault.NoPermission: the user may not read one of them.
    """
    from pyVmomi import vim, vmodl

    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=entity, skip=False)],
        propSet=[collector.PropertySpec(type=type(entity), pathSet=list(names))],
    )
    answer = service.RetrieveContent().propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
    contents = answer.objects if answer else ()
    for missing in (each for content in contents for each in content.missingSet or ()):
        if isinstance(missing.fault, vim.fault.NoPermission):
            raise missing.fault
    values = {each.name: each.val for content in contents for each in content.propSet}
    return {name: values.get(name) for name in names}


def path_of(service: Service, entity: Managed) -> str:
    """Return the inventory path of an object: ``/DC0/vm/web/guest``."""
    return "/" + "/".join(name for _, name in reversed(_upwards(service, entity)))


def datacenter_of(service: Service, vm: Managed) -> str:
    """Return the inventory path of the datacenter of a virtual machine, without the leading slash.

    :raises SourceError: the user may not see it.
    """
    from pyVmomi import vim

    above = _upwards(service, vm)
    for number, (entity, _) in enumerate(above):
        if isinstance(entity, vim.Datacenter):
            return "/".join(name for _, name in reversed(above[number:]))
    raise SourceError(
        "the datacenter of the virtual machine is not visible to the user",
        hint="give the user the right to read the datacenter",
    )


def _upwards(service: Service, entity: Managed) -> list[tuple[Managed, str]]:
    """Return an object and the objects above it with their names, without the root of the inventory."""
    from pyVmomi import vim

    above: list[tuple[Managed, str]] = []
    while entity is not None and len(above) < _DEEPEST:
        # a machine in a vApp has only that as its parent; the parent of a vApp is a resource pool, not its folder
        parents = {vim.VirtualMachine: ("parent", "parentVApp"), vim.VirtualApp: ("parentFolder", "parentVApp")}
        names = parents.get(type(entity), ("parent",))
        try:
            values = properties(service, entity, "name", *names)
        except vim.fault.NoPermission:
            # the user may read a machine without being allowed to read the objects above it
            break
        parent = next((values[name] for name in names if values[name] is not None), None)
        if parent is None:
            break
        # vSphere writes / \ and % in names as %2f, %5c and %25
        above.append((entity, unquote(values["name"])))
        entity = parent
    return above


def _is_vm(entity: Managed) -> bool:
    from pyVmomi import vim

    return isinstance(entity, vim.VirtualMachine)


def _named(content: Managed, name: str) -> list[Managed]:
    """Return the virtual machines of a name. The names of all machines are read in as few requests as possible."""
    from pyVmomi import vim, vmodl

    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    try:
        collector = vmodl.query.PropertyCollector
        traversal = collector.TraversalSpec(name="all", type=vim.view.ContainerView, path="view", skip=False)
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
            propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
        )
        machines = []
        page = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
        while page is not None:
            machines += [
                each.obj for each in page.objects if any(name in {p.val, unquote(p.val)} for p in each.propSet)
            ]
            if not page.token:
                break
            page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token)
        return machines
    finally:
        view.Destroy()


def _by_moref(service: Service, moref: str) -> list[Managed]:
    from pyVmomi import vim, vmodl

    vm = vim.VirtualMachine(moref, service._stub)
    try:
        properties(service, vm, "name")
    except vmodl.fault.ManagedObjectNotFound:
        return []
    return [vm]
