# SPDX-License-Identifier: GPL-2.0-or-later
"""Things of the engine as XML, in the elements of its API's model, and what is read of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lxml import etree

from engine_simulator.state import Cluster, DataCenter, Disk, Host, Job, Machine, StorageDomain, Transfer

Element = etree._Element


def element(name: str, attributes: Mapping[str, str | None] | None = None, /, **children: object) -> Element:
    """Make an element; children by name: text, numbers, truth values, elements; None is left out."""
    made = etree.Element(name, {key: value for key, value in (attributes or {}).items() if value is not None})
    for tag, value in children.items():
        if value is None:
            continue
        if isinstance(value, etree._Element):
            value.tag = tag
            made.append(value)
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        etree.SubElement(made, tag).text = text
    return made


def reference(path: str, identity: str | None) -> Element | None:
    """Refer to a thing."""
    if identity is None:
        return None
    return element("reference", {"href": f"/ovirt-engine/api/{path}/{identity}", "id": identity})


def collection(name: str, things: Iterable[Element]) -> Element:
    """Make a list."""
    made = etree.Element(name)
    made.extend(list(things))
    return made


def data_center(thing: DataCenter) -> Element:
    """Show a data centre."""
    return element("data_center", _self("datacenters", thing.id), name=thing.name)


def cluster(thing: Cluster) -> Element:
    """Show a cluster."""
    return element(
        "cluster",
        _self("clusters", thing.id),
        name=thing.name,
        cpu=element("cpu", architecture=thing.architecture),
        data_center=reference("datacenters", thing.data_center),
    )


def storage_domain(thing: StorageDomain, *, attached: bool) -> Element:
    """Show a storage domain; its status is known in its data centre only."""
    return element(
        "storage_domain",
        _self("storagedomains", thing.id),
        name=thing.name,
        type=thing.type,
        status=thing.status if attached else ("unattached" if thing.data_center is None else None),
        available=thing.available,
        critical_space_action_blocker=thing.blocker,
        storage=element("storage", type=thing.storage_type),
    )


def host(thing: Host) -> Element:
    """Show a host."""
    return element(
        "host",
        _self("hosts", thing.id),
        name=thing.name,
        status=thing.status,
        cluster=reference("clusters", thing.cluster),
    )


def disk(thing: Disk) -> Element:
    """Show a disk."""
    return element(
        "disk",
        _self("disks", thing.id),
        name=thing.alias,
        alias=thing.alias,
        description=thing.description,
        format=thing.format,
        sparse=thing.sparse,
        provisioned_size=thing.size,
        status=thing.status,
        image_id=thing.image_id,
        storage_type="image",
        storage_domains=collection("storage_domains", [element("storage_domain", {"id": thing.storage_domain})]),
    )


def transfer(thing: Transfer, urls: tuple[str, str]) -> Element:
    """Show a transfer; where to send data only while that is wanted."""
    open_ = thing.phase == "transferring"
    return element(
        "image_transfer",
        _self("imagetransfers", thing.id),
        phase=thing.phase,
        active=False,
        direction="upload",
        format="raw",
        inactivity_timeout=thing.inactivity_timeout,
        timeout_policy=thing.timeout_policy,
        transfer_url=urls[0] if open_ else None,
        proxy_url=urls[1] if open_ else None,
        disk=reference("disks", thing.disk),
        image=reference("images", thing.disk),
        host=reference("hosts", thing.host),
    )


def machine(thing: Machine) -> Element:
    """Show a virtual machine."""
    return element("vm", _self("vms", thing.id), name=thing.name, status=thing.status)


def job(thing: Job) -> Element:
    """Show a job."""
    return element("job", _self("jobs", thing.id), description=thing.description, status=thing.status)


def fault(reason: str, detail: str) -> Element:
    """Show why something is refused."""
    return element("fault", reason=reason, detail=detail)


def text(document: Element, path: str) -> str | None:
    """Return the text of an element of a request."""
    found = document.findtext(path)
    return found.strip() if found is not None else None


def _self(path: str, identity: str) -> dict[str, str | None]:
    return {"href": f"/ovirt-engine/api/{path}/{identity}", "id": identity}
