# SPDX-License-Identifier: GPL-2.0-or-later
"""The place that the guest goes to: storage domain, data centre and cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2v_core.api import DestinationError
from v2v_output_rhv.upload.engine import System
from v2v_output_rhv.upload.settings import UploadSettings

#: Types of storage whose disks are logical volumes; on other storage they are files.
_BLOCK = frozenset({"iscsi", "fcp"})
_GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the guest goes.

    :param block: the disks are logical volumes. :param free: bytes; None if the engine does not know.
    :param reserve: bytes; when fewer are free, the engine creates no disks.
    :param clusters: ids of all clusters of the data centre.
    :param architecture: architecture of the cluster: x86_64, ppc64, s390x or aarch64.
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
    """Find the storage domain and the cluster, and check that they can be used together.

    :raises DestinationError: one of them does not exist or cannot be used.
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
            + (
                f"in another data centre than the storage domain {settings.storage!r}"
                if elsewhere
                else "not in the engine"
            ),
            hint=f"choose a cluster of the data centre {data_center.name!r} with -oo rhv-cluster: {names}",
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
    """Return the data centre and the storage domain in it."""
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
            f"the storage domain {domain.name!r} is not a data domain, but {_value(domain.type)}",
            hint="name a data domain with -os; for an export domain use -o rhv",
        )
    if _value(domain.status) != "active":
        raise DestinationError(
            f"the storage domain {domain.name!r} is not active, but {_value(domain.status) or 'unknown'}",
            hint="activate it in the engine: Storage, Domains, Data Center",
        )


def local_host(system: System, destination: Destination, vdsm_id: Path) -> str | None:
    """Return the engine's id of this machine, if it is a host that can transfer to the storage domain. Or return None.

    :param vdsm_id: the file with the hardware id of a host of oVirt.
    """
    try:
        hardware = vdsm_id.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not hardware or not all(c.isalnum() or c in "-_" for c in hardware):
        return None
    for host in system.hosts_service().list(search=f"hw_id={hardware}"):
        in_data_center = host.cluster is not None and host.cluster.id in destination.clusters
        if in_data_center and _value(host.status) == "up":
            return str(host.id)
    return None


def _value(enumerated: Any) -> str | None:
    """Return the API's word for a value of an enumeration of the SDK."""
    return None if enumerated is None else str(enumerated.value)
