# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of the engine: planning, creating and removing them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from v2v_core.api import DestinationError, OutputSettings, SourceDisk, UsageError
from v2v_output_rhv.upload.destination import Destination
from v2v_output_rhv.upload.engine import System, reason_of, wait_until
from v2v_output_rhv.upload.settings import Limits


@dataclass(frozen=True, kw_only=True)
class DiskPlan:
    """A disk that will be created.

    :param id: chosen here, so that it can be recorded before the disk exists.
    :param size: virtual size in bytes. :param format: raw or qcow2.
    :param sparse: storage is allocated when it is written.
    :param initial_size: bytes that are allocated at once; None for the engine's choice.
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
        """Return the name of the disk in messages."""
        return f"disk {self.index} ({self.id})"


def disk_format(settings: OutputSettings, *, block: bool) -> tuple[str, bool]:
    """Return the format of the disks on a kind of storage, and whether they are sparse.

    A sparse disk in a logical volume must be qcow2. It becomes qcow2 unless the user asked for raw.

    :raises UsageError: the engine has no disks with this format and allocation.
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
                hint="add -oa preallocated, or use -of qcow2",
            )
        return "qcow2", True
    return settings.format, sparse


def plan_disks(
    settings: OutputSettings, disk_uuids: Sequence[str], disks: Sequence[SourceDisk], *, block: bool
) -> tuple[DiskPlan, ...]:
    """Plan one disk for each disk of the guest.

    :raises UsageError: the options do not fit the guest.
    """
    check_count(disk_uuids, len(disks))
    form, sparse = disk_format(settings, block=block)
    ids = disk_uuids or [str(uuid.uuid4()) for _ in disks]
    plans = []
    for disk, identity in zip(disks, ids, strict=True):
        plans.append(
            DiskPlan(
                index=disk.index,
                id=identity,
                name=f"{settings.name}-{disk.index:03d}",
                # known: core has served the source by now
                size=disk.size or 0,
                format=form,
                sparse=sparse,
                # the volume does not grow during a transfer, so it must be large enough from the beginning
                initial_size=disk.size if block and sparse else None,
            )
        )
    return tuple(plans)


def check_count(disk_uuids: Sequence[str], disks: int) -> None:
    """Check that ids were given for all disks or for none.

    :raises UsageError: there are too many or too few.
    """
    if disk_uuids and len(disk_uuids) != disks:
        raise UsageError(
            f"-oo rhv-disk-uuid was given {len(disk_uuids)} times, and the guest has {disks} disks",
            hint="give it once for each disk, in their order, or not at all",
        )


def create_disk(system: System, plan: DiskPlan, destination: Destination, mark: str, limits: Limits) -> str | None:
    """Create an empty disk and wait until it is ready. Return the id of its volume, if the engine reports it.

    :param mark: a word for the description of the disk, which ``is_marked`` recognizes.
    :raises DestinationError: the disk does not become ready.
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
    """Wait until a disk is ready. Return the id of its volume, if the engine reports it.

    :param called: the name of the disk in errors. :param limit: seconds. :param poll: seconds between two requests.
    :raises DestinationError: the disk becomes unusable, or is still locked after ``limit``.
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
            hint="the engine's tasks and events show what it waits for; then run again",
        )
    return volume


def is_marked(system: System, disk_id: str, mark: str | None) -> bool:
    """Check whether a disk exists and was created by this run.

    The user can have chosen its id, and another user may have created a disk with the same id.
    """
    import ovirtsdk4 as sdk

    try:
        disk = system.disks_service().disk_service(disk_id).get()
    except sdk.NotFoundError:
        return False
    return mark is not None and mark in (disk.description or "").split()


def remove_disk(system: System, disk_id: str, limits: Limits, warn: Callable[[str], None]) -> bool:
    """Remove a disk. Return whether it is gone.

    The engine refuses while it is still working on the disk, so the request is repeated for a limited time.
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
    warn(f"the disk {disk_id} could not be removed from the engine and is left behind: {refused}")
    return False
