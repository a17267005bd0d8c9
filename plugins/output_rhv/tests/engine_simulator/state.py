# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is in the engine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def new_id() -> str:
    """Return a new id of the engine's kind."""
    return str(uuid.uuid4())


@dataclass
class DataCenter:
    """A data centre."""

    name: str
    id: str = field(default_factory=new_id)


@dataclass
class Cluster:
    """A cluster of a data centre."""

    name: str
    data_center: str
    architecture: str = "x86_64"
    id: str = field(default_factory=new_id)


@dataclass
class StorageDomain:
    """A storage domain. :param directory: where the images of its disks are. :param blocker: reserve, in GiB."""

    name: str
    directory: Path
    data_center: str | None
    storage_type: str = "nfs"
    type: str = "data"
    status: str = "active"
    available: int | None = 100 * 10**9
    blocker: int = 5
    id: str = field(default_factory=new_id)

    @property
    def block(self) -> bool:
        """Its disks are logical volumes."""
        return self.storage_type in {"iscsi", "fcp"}


@dataclass
class Host:
    """A host of a cluster."""

    name: str
    cluster: str
    hardware_id: str
    status: str = "up"
    id: str = field(default_factory=new_id)


@dataclass
class Disk:
    """A disk. :param image: the file behind it."""

    id: str
    alias: str
    storage_domain: str
    size: int
    format: str
    sparse: bool
    image: Path
    description: str = ""
    initial_size: int | None = None
    status: str = "locked"
    image_id: str = field(default_factory=new_id)


@dataclass
class Transfer:
    """An image transfer. :param ticket: id of the ticket in the daemon, and in the one that is the proxy."""

    disk: str
    host: str
    inactivity_timeout: int
    timeout_policy: str
    phase: str = "initializing"
    ticket: str = field(default_factory=new_id)
    id: str = field(default_factory=new_id)


@dataclass
class Machine:
    """A virtual machine. :param hardware: what the OVF says of it."""

    id: str
    name: str
    cluster: str
    disks: list[str]
    ovf: bytes
    hardware: dict[str, Any]
    status: str = "down"


@dataclass
class Job:
    """A job of the engine."""

    description: str
    correlation: str
    status: str = "started"
    id: str = field(default_factory=new_id)


@dataclass
class State:
    """Everything, and what is still to happen."""

    data_centers: dict[str, DataCenter] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    storage_domains: dict[str, StorageDomain] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen after some time: when the engine is next asked for anything."""
        self._due.append((time.monotonic() + seconds, happen))

    def catch_up(self) -> None:
        """Let happen what is due."""
        now = time.monotonic()
        due = [happen for at, happen in self._due if at <= now]
        self._due = [(at, happen) for at, happen in self._due if at > now]
        for happen in due:
            happen()
