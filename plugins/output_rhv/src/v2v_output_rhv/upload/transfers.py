# SPDX-License-Identifier: GPL-2.0-or-later
"""Image transfers: the engine opens a disk for writing on one of its hosts, for anyone who has the ticket in the URL.

The phases are those of ``ImageTransferPhase`` in the engine's API. When a transfer is cancelled, the engine removes the
disk. When it is finalized, the engine keeps the disk. When no request arrives for ten minutes, the engine pauses it.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from v2v_core.api import DestinationError
from v2v_output_rhv.upload.engine import System, wait_until
from v2v_output_rhv.upload.settings import Limits

#: Seconds without a request after which the engine pauses a transfer, and the daemon gives up a connection to a client
#: that was switched off. connections.py sends requests all the time.
INACTIVITY = 600

_FAILED = "finished_failure"
_OVER = frozenset({"finished_success", _FAILED, "finished_cleanup", "cancelled"})
_PAUSED = frozenset({"paused_system", "paused_user"})
_LOST = frozenset({"cancelled_system", "cancelled_user", "finalizing_failure", "finalizing_cleanup"})
_STOPPED = _PAUSED | {"cancelled_system", "cancelled_user", "finalizing_cleanup"}
_REASON = "the events in the engine, and vdsm.log and ovirt-imageio's daemon.log on the host, say why; then run again"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer that data can be sent to.

    :param url: URL of the host, with the ticket; a secret. :param proxy_url: the same through the engine.
    :param disk: id of the disk. :param host: id of the host.
    """

    id: str
    disk: str
    url: str | None = field(repr=False)
    proxy_url: str | None = field(repr=False)
    host: str | None = None


def start_transfer(system: System, disk_id: str, called: str, host: str | None, limits: Limits) -> Transfer:
    """Start the transfer of a disk, and wait until data can be sent.

    :param called: the name of the disk in errors. :param host: id of the host to use; None for any.
    :raises DestinationError: the transfer does not start.
    """
    from ovirtsdk4 import types

    transfers = system.image_transfers_service()
    started = transfers.add(
        types.ImageTransfer(
            disk=types.Disk(id=disk_id),
            direction=types.ImageTransferDirection.UPLOAD,
            # raw data is sent, whatever the format of the disk
            format=types.DiskFormat.RAW,
            host=types.Host(id=host) if host is not None else None,
            inactivity_timeout=INACTIVITY,
            # not CANCEL, which removes the disk: the run may have been interrupted, and go on tomorrow
            timeout_policy=types.ImageTransferTimeoutPolicy.PAUSE,
        )
    )
    service = transfers.image_transfer_service(started.id)
    current: Any = started

    def ready() -> bool:
        nonlocal current
        current = _get(service)
        phase = _phase(current)
        if current is None or phase in _STOPPED | _OVER:
            raise DestinationError(f"the transfer of {called} did not begin: it is {_words(phase)}", hint=_REASON)
        return phase == "transferring"

    if not wait_until(ready, limit=limits.transfer, poll=limits.poll):
        raise DestinationError(
            f"the transfer of {called} did not begin within {limits.transfer:.0f} seconds: it is "
            f"{_words(_phase(current))}",
            hint=_REASON,
        )
    return Transfer(
        id=current.id,
        disk=disk_id,
        url=current.transfer_url,
        proxy_url=current.proxy_url,
        host=current.host.id if current.host is not None else None,
    )


def finalize_transfer(system: System, transfer_id: str, disk_id: str, called: str, limits: Limits) -> None:
    """Finalize a transfer, and wait until the engine has verified the disk and released it.

    :raises DestinationError: the transfer fails, or takes too long.
    """
    import ovirtsdk4 as sdk

    service = system.image_transfers_service().image_transfer_service(transfer_id)
    phase = _phase(_get(service))
    if phase in _STOPPED | {_FAILED}:
        raise DestinationError(f"the transfer of {called} is {_words(phase)}", hint=_REASON)
    # if the transfer is gone, the state of the disk shows whether it succeeded
    with suppress(sdk.NotFoundError):
        service.finalize()

    def over() -> bool:
        nonlocal phase
        phase = _phase(_get(service))
        if phase in _STOPPED | {_FAILED}:
            raise DestinationError(
                f"the engine could not finalize the transfer of {called}: it is {_words(phase)}", hint=_REASON
            )
        # engines before 4.4.7 forget a transfer when it is over
        return phase in {None, "finished_success"}

    if not wait_until(over, limit=limits.finalize, poll=limits.poll):
        raise DestinationError(
            f"the engine did not finalize the transfer of {called} within {limits.finalize:.0f} seconds: it is "
            f"{_words(phase)}",
            hint=_REASON,
        )


def end_transfers(system: System, disk_id: str, called: str, limits: Limits) -> None:
    """Finalize whatever transfers to a disk an interrupted run has left, and wait until the engine has released it.

    Transfers are found by their disk: a run may have been killed before it could record the id of a transfer.

    :raises DestinationError: the engine is removing the disk, or does not end a transfer.
    """
    import ovirtsdk4 as sdk

    transfers = system.image_transfers_service()
    for transfer in transfers.list():
        if _disk_of(transfer) != disk_id or _phase(transfer) in _OVER:
            continue
        service = transfers.image_transfer_service(transfer.id)
        phase: str | None = None

        def over(service: Any = service) -> bool:
            nonlocal phase
            phase = _phase(_get(service))
            if phase in _LOST | {_FAILED}:
                raise DestinationError(
                    f"{called} cannot be written again: its transfer is {_words(phase)}, and the engine removes it",
                    hint="this conversion cannot go on: clean it up, and convert the guest again",
                )
            if phase in _PAUSED | {"transferring"}:
                # the engine may be about to pause it; then it is asked again
                with suppress(sdk.Error):
                    service.finalize()
            return phase is None or phase in _OVER

        if not wait_until(over, limit=limits.finalize, poll=limits.poll):
            raise DestinationError(
                f"the engine did not end the earlier transfer of {called} within {limits.finalize:.0f} seconds: it is "
                f"{_words(phase)}",
                hint=f"{_REASON.removesuffix('; then run again')}; then resume again",
            )


def cancel_transfers(system: System, disk_ids: Collection[str], limits: Limits) -> dict[str, str]:
    """Cancel the transfers to disks, and wait until they are over. Return the phase of each before that, by disk.

    Transfers are found by their disk: setup may have been killed before it could record the id of a transfer.
    """
    import ovirtsdk4 as sdk

    transfers = system.image_transfers_service()
    phases: dict[str, str] = {}
    for transfer in transfers.list():
        disk_id = _disk_of(transfer)
        phase = _phase(transfer)
        if disk_id is None or disk_id not in disk_ids or phase is None or phase in _OVER:
            continue
        phases[disk_id] = _words(phase)
        service = transfers.image_transfer_service(transfer.id)

        def over(service: Any = service) -> bool:
            now = _phase(_get(service))
            if now is None or now in _OVER:
                return True
            # a transfer that is being finalized cannot be cancelled; its disk is removed later
            with suppress(sdk.Error):
                service.cancel()
            return False

        wait_until(over, limit=limits.removal, poll=limits.poll)
    return phases


def _get(service: Any) -> Any:
    """Return a transfer, or None if the engine does not know it or has forgotten it."""
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
    """Return a phase in words that users understand."""
    return {
        None: "gone",
        "paused_system": "paused by the system",
        "paused_user": "paused by a user",
        "cancelled_system": "cancelled by the system",
        "cancelled_user": "cancelled by a user",
        _FAILED: "failed",
    }.get(phase, (phase or "").replace("_", " "))
