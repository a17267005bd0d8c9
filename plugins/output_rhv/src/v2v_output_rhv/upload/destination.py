# SPDX-License-Identifier: GPL-2.0-or-later
"""The place that the guest goes to: storage domain, data centre and cluster; and what stands in the way of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2v_core.api import DestinationError, UsageError
from v2v_output_rhv.upload.engine import System
from v2v_output_rhv.upload.settings import UploadSettings

#: Storage whose disks are logical volumes; on all other storage they are files.
_BLOCK = frozenset({"iscsi", "fcp"})
#: The engine's own limits of a name: what its database holds, and what it accepts unless told otherwise.
_LONGEST_NAME, _USUAL_LIMIT = 255, 64
_GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the guest goes.

    :param block: the disks are logical volumes. :param free: bytes, None where the engine does not know.
    :param reserve: bytes below which the engine makes no new disks.
    :param architecture: of the cluster: x86_64, ppc64, s390x, aarch64.
    """

    storage_domain: str
    storage_name: str
    block: bool
    free: int | None
    reserve: int
    data_center: str
    data_center_name: str
    cluster: str
    cluster_name: str
    clusters: tuple[str, ...]
    architecture: str


def find_destination(system: System, settings: UploadSettings) -> Destination:
    """Find the storage domain and the cluster, and see that they can be used together.

    :raises DestinationError: one of them is not there, or cannot be used.
    """
    data_center, domain = _storage(system, settings)
    services = system.data_centers_service().data_center_service(data_center.id)
    clusters = services.clusters_service().list()
    cluster = next((found for found in clusters if found.name == settings.cluster), None)
    if cluster is None:
        names = ", ".join(sorted(found.name for found in clusters)) or "none"
        elsewhere = any(found.name == settings.cluster for found in system.clusters_service().list())
        raise DestinationError(
            f"the cluster {settings.cluster!r} is "
            + ("in another data centre than" if elsewhere else "not in the engine, let alone in the data centre of")
            + f" the storage domain {settings.storage!r}",
            hint=f"name one of the data centre {data_center.name!r} with -oo rhv-cluster: {names}",
        )
    architecture = _value(cluster.cpu.architecture) if cluster.cpu is not None else None
    if architecture in {None, "undefined"}:
        raise DestinationError(
            f"the cluster {settings.cluster!r} has no CPU architecture yet", hint="set its CPU type in the engine"
        )
    return Destination(
        storage_domain=domain.id,
        storage_name=domain.name,
        block=_value(domain.storage.type) in _BLOCK,
        free=domain.available,
        reserve=(domain.critical_space_action_blocker or 0) * _GIB,
        data_center=data_center.id,
        data_center_name=data_center.name,
        cluster=cluster.id,
        cluster_name=cluster.name,
        clusters=tuple(found.id for found in clusters),
        architecture=architecture or "",
    )


def _storage(system: System, settings: UploadSettings) -> tuple[Any, Any]:
    """Give the data centre and the storage domain in it."""
    name = settings.storage
    centers = system.data_centers_service().list(search=f"storage.name={name}", case_sensitive=True)
    for center in centers:
        attached = system.data_centers_service().data_center_service(center.id).storage_domains_service().list()
        domain = next((found for found in attached if found.name == name), None)
        if domain is not None:
            _check_storage(domain)
            return center, domain
    if any(found.name == name for found in system.storage_domains_service().list()):
        raise DestinationError(
            f"the storage domain {name!r} is not attached to a data centre", hint="attach and activate it"
        )
    raise DestinationError(
        f"the engine {settings.host} has no storage domain {name!r}",
        hint="-os takes the name of a storage domain; case matters",
    )


def _check_storage(domain: Any) -> None:
    if _value(domain.type) != "data":
        raise DestinationError(
            f"the storage domain {domain.name!r} is no data domain, but {_value(domain.type)}",
            hint="name a data domain with -os; for an export domain there is -o rhv",
        )
    if _value(domain.status) != "active":
        raise DestinationError(
            f"the storage domain {domain.name!r} is not active, but {_value(domain.status) or 'unknown'}",
            hint="activate it in the engine: Storage, Domains, Data Center",
        )


def check_space(destination: Destination, needed: int, *, known: bool) -> None:
    """See that there is space for the disks.

    :param needed: bytes. :param known: so much will be used; otherwise it is the most that may be.
    :raises DestinationError: there is not.
    """
    if destination.free is None:
        return
    usable = destination.free - destination.reserve
    if usable <= 0 or (known and usable < needed):
        raise DestinationError(
            f"there is not enough space in the storage domain {destination.storage_name!r}: {needed} bytes are needed, "
            f"{destination.free} are free"
            + (f", {destination.reserve} of them kept back" if destination.reserve else ""),
            hint="free some space, or name another storage domain with -os",
        )


def check_name(system: System, name: str) -> str | None:
    """See that the guest can have its name. Give a warning, if one is due.

    :raises UsageError: the engine takes no such name. :raises DestinationError: somebody has it.
    """
    if not name or len(name) > _LONGEST_NAME or not all(c.isalpha() or c in "0123456789_.-" for c in name):
        shown = name if len(name) <= _USUAL_LIMIT else f"{name[:_USUAL_LIMIT]}…"
        raise UsageError(
            f"the engine takes no virtual machine called {shown!r}",
            hint="choose another name with -on: letters, digits, - _ and ., at most 64 of them",
        )
    # in quotes: a name may be a word of the engine's search language
    if any(found.name == name for found in system.vms_service().list(search=f'name="{name}"', case_sensitive=True)):
        raise DestinationError(
            f"the engine has a virtual machine {name!r} already", hint="remove it, or choose another name with -on"
        )
    if len(name) > _USUAL_LIMIT:
        return (
            f"the name is longer than {_USUAL_LIMIT} characters: unless the engine was set to take it, it will refuse"
        )
    return None


def check_disk_uuids(system: System, disk_uuids: Iterable[str]) -> None:
    """See that nobody has a disk of these ids.

    :raises DestinationError: somebody has.
    """
    import ovirtsdk4 as sdk

    for disk_uuid in disk_uuids:
        try:
            found = system.disks_service().disk_service(disk_uuid).get()
        except sdk.NotFoundError:
            continue
        raise DestinationError(
            f"the engine has a disk {disk_uuid} already ({found.name or found.alias})",
            hint="give another -oo rhv-disk-uuid",
        )


def check_architecture(destination: Destination, architecture: str) -> None:
    """See that the cluster can run the guest.

    :raises DestinationError: it cannot.
    """
    wanted = {"ppc64le": "ppc64", "i386": "x86_64", "i486": "x86_64", "i586": "x86_64", "i686": "x86_64"}
    if wanted.get(architecture, architecture) != destination.architecture:
        raise DestinationError(
            f"the cluster {destination.cluster_name!r} is {destination.architecture}, the guest is {architecture}",
            hint="name a cluster of that architecture with -oo rhv-cluster",
        )


def local_host(system: System, destination: Destination, vdsm_id: Path) -> str | None:
    """Give the id of the engine's host that this machine is, if it is one that can transfer to the storage domain.

    :param vdsm_id: the file in which a host of oVirt has its hardware id.
    """
    try:
        hardware = vdsm_id.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not hardware or not all(c.isalnum() or c in "-_" for c in hardware):
        return None
    for host in system.hosts_service().list(search=f"hw_id={hardware}"):
        in_place = host.cluster is not None and host.cluster.id in destination.clusters
        if in_place and _value(host.status) == "up":
            return str(host.id)
    return None


def _value(enumerated: Any) -> str | None:
    """Give the word of a value of one of the SDK's enumerations."""
    return None if enumerated is None else str(enumerated.value)
