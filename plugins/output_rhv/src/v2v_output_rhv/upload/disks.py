# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of the engine: which ones are made for a guest, making them, and removing them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from v2v_core.api import DestinationError, OutputSettings, TargetDisk, UsageError
from v2v_output_rhv.upload.destination import Destination
from v2v_output_rhv.upload.engine import System, reason_of
from v2v_output_rhv.upload.settings import Limits
from v2v_output_rhv.upload.waiting import wait_until


@dataclass(frozen=True, kw_only=True)
class DiskPlan:
    """A disk that is to be made.

    :param id: chosen here, so that it can be written down before the disk exists.
    :param format: raw or qcow2. :param sparse: takes space as it is written.
    :param initial_size: bytes that it takes from the beginning, where that has to be said.
    """

    index: int
    id: str
    name: str
    size: int
    format: str
    sparse: bool
    initial_size: int | None = None

    @property
    def called(self) -> str:
        """What the disk is called in messages."""
        return f"disk {self.index} ({self.id})"


def disk_format(settings: OutputSettings, *, block: bool) -> tuple[str, bool]:
    """Give format, and whether it is sparse, of the disks on a kind of storage.

    A logical volume is sparse only as qcow2, and then that is what is made unless another format was asked for.

    :raises UsageError: the engine knows no such disk.
    """
    sparse = settings.allocation == "sparse"
    if settings.format == "qcow2" and not sparse:
        raise UsageError(
            "-o rhv-upload: a preallocated disk cannot be qcow2", hint="leave out -of qcow2, or -oa preallocated"
        )
    if settings.format == "raw" and sparse and block:
        if settings.format_given:
            raise UsageError(
                f"-o rhv-upload: a raw disk on block storage, such as {settings.storage!r}, cannot be sparse",
                hint="add -oa preallocated, or take -of qcow2",
            )
        return "qcow2", True
    return settings.format, sparse


def plan_disks(
    settings: OutputSettings, disk_uuids: Sequence[str], disks: Sequence[TargetDisk], *, block: bool
) -> tuple[DiskPlan, ...]:
    """Settle which disks are made.

    :raises UsageError: the options do not fit the guest. :raises DestinationError: a size is not known.
    """
    check_count(disk_uuids, len(disks))
    form, sparse = disk_format(settings, block=block)
    ids = disk_uuids or [str(uuid.uuid4()) for _ in disks]
    plans = []
    for disk, identity in zip(disks, ids, strict=True):
        if disk.size is None:
            raise DestinationError(f"the size of disk {disk.index} is not known")
        plans.append(
            DiskPlan(
                index=disk.index,
                id=identity,
                name=f"{settings.name}-{disk.index:03d}",
                size=disk.size,
                format=form,
                sparse=sparse,
                # a volume of a transfer does not grow: it must hold all that may be written
                initial_size=disk.size if block and sparse else None,
            )
        )
    return tuple(plans)


def check_count(disk_uuids: Sequence[str], disks: int) -> None:
    """See that each disk has an id, if any has.

    :raises UsageError: there are too many or too few.
    """
    if disk_uuids and len(disk_uuids) != disks:
        raise UsageError(
            f"-oo rhv-disk-uuid was given {len(disk_uuids)} times, and the guest has {disks} disks",
            hint="give it once for each disk, in their order, or not at all",
        )


def create_disk(system: System, plan: DiskPlan, destination: Destination, mark: str, limits: Limits) -> str | None:
    """Make an empty disk and wait until it is there. Give the id of its volume, if the engine tells.

    :param mark: what its description must hold so that it is known as ours.
    :raises DestinationError: it does not come to be.
    """
    from ovirtsdk4 import types

    disks = system.disks_service()
    disks.add(
        types.Disk(
            id=plan.id,
            name=plan.name,
            description=f"uploaded by v2v, {mark}",
            format=types.DiskFormat.RAW if plan.format == "raw" else types.DiskFormat.COW,
            sparse=plan.sparse,
            provisioned_size=plan.size,
            initial_size=plan.initial_size,
            storage_domains=[types.StorageDomain(id=destination.storage_domain)],
        )
    )
    limit = limits.disk + (0 if plan.sparse else limits.per_gigabyte * plan.size / 1e9)
    return wait_for_disk(system, plan.id, plan.called, limit=limit, poll=limits.poll)


def wait_for_disk(system: System, disk_id: str, called: str, *, limit: float, poll: float) -> str | None:
    """Wait until a disk is neither locked nor unusable. Give the id of its volume, if the engine tells.

    :raises DestinationError: it does not become so.
    """
    from ovirtsdk4 import types

    service = system.disks_service().disk_service(disk_id)
    volume: str | None = None

    def ready() -> bool:
        nonlocal volume
        disk = service.get()
        volume = disk.image_id
        if disk.status == types.DiskStatus.ILLEGAL:
            raise DestinationError(
                f"{called} became unusable ('illegal') in the engine",
                hint="the events in the engine, and vdsm.log on the host that manages the storage, say why",
            )
        return bool(disk.status == types.DiskStatus.OK)

    if not wait_until(ready, limit=limit, poll=poll):
        raise DestinationError(
            f"{called} is still locked by the engine after {limit:.0f} seconds",
            hint="see in the engine's tasks and events what it waits for; then run again",
        )
    return volume


def is_marked(system: System, disk_id: str, mark: str | None) -> bool:
    """Tell whether there is a disk, and it is ours: somebody else may have one with an id that the user had chosen."""
    import ovirtsdk4 as sdk

    try:
        disk = system.disks_service().disk_service(disk_id).get()
    except sdk.NotFoundError:
        return False
    return mark is not None and mark in (disk.description or "").split()


def remove_disk(system: System, disk_id: str, limits: Limits, warn: Callable[[str], None]) -> bool:
    """Remove a disk. Tell whether it is gone.

    The engine locks what it is still busy with, so it is asked until a limit.
    """
    import ovirtsdk4 as sdk
    from ovirtsdk4 import types

    service = system.disks_service().disk_service(disk_id)
    refused = ""

    def gone() -> bool:
        nonlocal refused
        try:
            if service.get().status == types.DiskStatus.LOCKED:
                refused = "it is locked"
                return False
            service.remove()
        except sdk.NotFoundError:
            return True
        except sdk.Error as err:
            refused = reason_of(err)
        return False

    if wait_until(gone, limit=limits.removal, poll=limits.poll):
        return True
    warn(f"the disk {disk_id} could not be removed from the engine and is left: {refused}")
    return False
