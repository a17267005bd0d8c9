# SPDX-License-Identifier: GPL-2.0-or-later
"""Find a virtual machine: by inventory path, name, UUID or moref."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.session import Service

#: A managed object of pyvmomi, which has no types.
Managed = Any

_MOREF = re.compile(r"(?:moref=|moref:)?(vm-\d+|\d+)", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DEEPEST = 100


def find_vm(service: Service, wanted: str, place: str = "") -> Managed:
    """Find the one virtual machine that is meant.

    :param place: a path that begins with the path of its datacenter, as ``vpx://`` URIs have it: tells machines of one
        name apart.
    :raises SourceError: there is none, or more than one.
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
            hint="name the one that is meant by its path, which begins with /, or by its moref",
        )
    if not machines:
        raise SourceError(
            f"there is no virtual machine {wanted}, or the user may not see it",
            hint="name it as the inventory does, or by its path (/Datacenter/vm/Folder/Name), UUID or moref",
        )
    return next(iter(machines.values()))


def properties(service: Service, entity: Managed, *names: str) -> dict[str, Any]:
    """Ask for properties of an object in one request; those that are not set are None.

    :raises vim.fault.NoPermission: the user may not read one.
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
    found = {each.name: each.val for content in contents for each in content.propSet}
    return {name: found.get(name) for name in names}


def path_of(service: Service, entity: Managed) -> str:
    """Give the inventory path of an object: ``/DC0/vm/web/guest``."""
    return "/" + "/".join(name for _, name in reversed(_upwards(service, entity)))


def datacenter_of(service: Service, vm: Managed) -> str:
    """Give the inventory path of the datacenter of a virtual machine, without a slash before it.

    :raises SourceError: it cannot be seen.
    """
    from pyVmomi import vim

    above = _upwards(service, vm)
    for number, (entity, _) in enumerate(above):
        if isinstance(entity, vim.Datacenter):
            return "/".join(name for _, name in reversed(above[number:]))
    raise SourceError(
        "the datacenter of the virtual machine cannot be seen", hint="give the user the right to read the datacenter"
    )


def _upwards(service: Service, entity: Managed) -> list[tuple[Managed, str]]:
    """List the objects with their names from one up to the root of the inventory, whose name does not count."""
    from pyVmomi import vim

    above: list[tuple[Managed, str]] = []
    while entity is not None and len(above) < _DEEPEST:
        # a machine in a vApp has no other parent, and a vApp has a folder beside the pool that it is in
        above_it = {vim.VirtualMachine: ("parent", "parentVApp"), vim.VirtualApp: ("parentFolder", "parentVApp")}
        names = above_it.get(type(entity), ("parent",))
        try:
            found = properties(service, entity, "name", *names)
        except vim.fault.NoPermission:
            # what lies above a machine that may be read need not be readable
            break
        parent = next((found[name] for name in names if found[name] is not None), None)
        if parent is None:
            break
        # vSphere writes / \ and % in names as %2f, %5c and %25
        above.append((entity, unquote(found["name"])))
        entity = parent
    return above


def _is_vm(entity: Managed) -> bool:
    from pyVmomi import vim

    return isinstance(entity, vim.VirtualMachine)


def _named(content: Managed, name: str) -> list[Managed]:
    """List the virtual machines of a name: the names of all are asked for at once."""
    from pyVmomi import vim, vmodl

    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    try:
        collector = vmodl.query.PropertyCollector
        traversal = collector.TraversalSpec(name="all", type=vim.view.ContainerView, path="view", skip=False)
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
            propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
        )
        found = []
        page = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
        while page is not None:
            found += [each.obj for each in page.objects if any(name in {p.val, unquote(p.val)} for p in each.propSet)]
            if not page.token:
                break
            page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token)
        return found
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
