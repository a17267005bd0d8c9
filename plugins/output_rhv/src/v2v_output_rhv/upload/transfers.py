# SPDX-License-Identifier: GPL-2.0-or-later
"""Image transfers: the engine opens a disk for writing on one of its hosts, for whoever knows the ticket in the URL.

The phases are those of the engine (``ImageTransferPhase`` in its API). A transfer that is cancelled, or that nobody
writes to for an hour, is ended by the engine, and the disk removed.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from v2v_core.api import DestinationError
from v2v_output_rhv.upload.engine import System
from v2v_output_rhv.upload.settings import Limits
from v2v_output_rhv.upload.waiting import wait_until

#: Seconds without a request after which the engine gives up. Requests are made all the time, see connections.py.
INACTIVITY = 3600

_FAILED = "finished_failure"
_OVER = frozenset({"finished_success", _FAILED, "finished_cleanup", "cancelled"})
_STOPPED = frozenset({"paused_system", "paused_user", "cancelled_system", "cancelled_user", "finalizing_cleanup"})
_LOOK = "the events in the engine, and vdsm.log and ovirt-imageio's daemon.log on the host, say why; then run again"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer that data can be sent to.

    :param url: of the host, with the ticket: a secret. :param proxy_url: the same by way of the engine.
    :param host: id of the host.
    """

    id: str
    disk: str
    url: str | None = field(repr=False)
    proxy_url: str | None = field(repr=False)
    host: str | None = None


def start_transfer(system: System, disk_id: str, called: str, host: str | None, limits: Limits) -> Transfer:
    """Start the transfer of a disk, and wait until data can be sent.

    :param host: that is to do it, None for any. :param called: the disk, for an error.
    :raises DestinationError: it does not come so far.
    """
    from ovirtsdk4 import types

    transfers = system.image_transfers_service()
    started = transfers.add(
        types.ImageTransfer(
            disk=types.Disk(id=disk_id),
            direction=types.ImageTransferDirection.UPLOAD,
            # the guest's bytes are sent, whatever the format of the disk
            format=types.DiskFormat.RAW,
            host=types.Host(id=host) if host is not None else None,
            inactivity_timeout=INACTIVITY,
            timeout_policy=types.ImageTransferTimeoutPolicy.CANCEL,
        )
    )
    service = transfers.image_transfer_service(started.id)
    found: Any = started

    def ready() -> bool:
        nonlocal found
        found = _get(service)
        phase = _phase(found)
        if found is None or phase in _STOPPED | _OVER:
            raise DestinationError(f"the transfer of {called} did not begin: it is {_words(phase)}", hint=_LOOK)
        return phase == "transferring"

    if not wait_until(ready, limit=limits.transfer, poll=limits.poll):
        raise DestinationError(
            f"the transfer of {called} did not begin within {limits.transfer:.0f} seconds: it is "
            f"{_words(_phase(found))}",
            hint=_LOOK,
        )
    return Transfer(
        id=found.id,
        disk=disk_id,
        url=found.transfer_url,
        proxy_url=found.proxy_url,
        host=found.host.id if found.host is not None else None,
    )


def finalize_transfer(system: System, transfer_id: str, disk_id: str, called: str, limits: Limits) -> None:
    """Tell the engine that all is sent, and wait until it has looked at the disk and given it free.

    :raises DestinationError: it found something wrong, or does not come to an end.
    """
    import ovirtsdk4 as sdk

    service = system.image_transfers_service().image_transfer_service(transfer_id)
    phase = _phase(_get(service))
    if phase in _STOPPED | {_FAILED}:
        raise DestinationError(f"the transfer of {called} is {_words(phase)}", hint=_LOOK)
    # if it is gone, the disk tells whether that is good or bad
    with suppress(sdk.NotFoundError):
        service.finalize()

    def over() -> bool:
        nonlocal phase
        phase = _phase(_get(service))
        if phase in _STOPPED | {_FAILED}:
            raise DestinationError(
                f"the engine could not finalize the transfer of {called}: it is {_words(phase)}", hint=_LOOK
            )
        # engines before 4.4.7 forget a transfer when it is over
        return phase in {None, "finished_success"}

    if not wait_until(over, limit=limits.finalize, poll=limits.poll):
        raise DestinationError(
            f"the engine did not finalize the transfer of {called} within {limits.finalize:.0f} seconds: it is "
            f"{_words(phase)}",
            hint=_LOOK,
        )


def cancel_transfers(system: System, disk_ids: Collection[str], limits: Limits) -> dict[str, str]:
    """Cancel what is being transferred to disks, and wait until it is over. Give the phase that each disk's was in.

    Transfers are found by their disk, and not by what setup noted: it may have been killed before that.
    """
    import ovirtsdk4 as sdk

    transfers = system.image_transfers_service()
    phases: dict[str, str] = {}
    for found in transfers.list():
        disk_id = _disk_of(found)
        phase = _phase(found)
        if disk_id is None or disk_id not in disk_ids or phase is None or phase in _OVER:
            continue
        phases[disk_id] = _words(phase)
        service = transfers.image_transfer_service(found.id)

        def over(service: Any = service) -> bool:
            now = _phase(_get(service))
            if now is None or now in _OVER:
                return True
            # one that is being finalized cannot be cancelled; what it leaves is removed as a disk
            with suppress(sdk.Error):
                service.cancel()
            return False

        wait_until(over, limit=limits.removal, poll=limits.poll)
    return phases


def _get(service: Any) -> Any:
    """Give a transfer; None if the engine does not know it (any more)."""
    import ovirtsdk4 as sdk

    try:
        return service.get()
    except sdk.NotFoundError:
        return None


def _phase(transfer: Any) -> str | None:
    if transfer is None or transfer.phase is None:
        return None
    return str(transfer.phase.value)


def _disk_of(transfer: Any) -> str | None:
    for disk in (transfer.disk, transfer.image):
        if disk is not None:
            return str(disk.id)
    return None


def _words(phase: str | None) -> str:
    """Say a phase so that people understand it."""
    return {
        None: "gone",
        "paused_system": "paused by the system",
        "paused_user": "paused by a user",
        "cancelled_system": "cancelled by the system",
        "cancelled_user": "cancelled by a user",
        _FAILED: "failed",
    }.get(phase, (phase or "").replace("_", " "))
