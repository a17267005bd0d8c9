# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a guest for ``v2v inspect --deep``.

The guest is converted on its overlay, which is thrown away, since nothing else tells as surely what the conversion
would change. Only what a conversion does for the sake of the copy is left out.
"""

from __future__ import annotations

from dataclasses import replace

from v2v_convert_guestfs.conversion import convert_session
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, ConvertRequest, ConvertResult, FilesystemFound, InspectResult, Obstacle


def look_into(request: ConvertRequest) -> InspectResult:
    """Return what a conversion finds in the guest, and what it would change.

    :raises ConversionError: the guest could not be examined.
    """
    settings = replace(request.settings, trim=False, extra={})
    session = Session(request=replace(request, settings=settings), handle=None, wants_sizes=True)
    try:
        return _result(session, converted=convert_session(session))
    except ConversionError as err:
        # Without an operating system that was chosen and examined, there is nothing to tell but the error.
        if err is session.out_of_time or (session.found is None and not err.obstacles):
            raise
        remedy = err.hint or "look at the log of this step, and report it if that does not help"
        return _result(session, obstacles=err.obstacles or (Obstacle(reason=err.message, remedy=remedy),))


def _result(
    session: Session, *, converted: ConvertResult | None = None, obstacles: tuple[Obstacle, ...] = ()
) -> InspectResult:
    places = {device: place for place, device in session.found.mountpoints} if session.found else {}
    found = session.findings
    return InspectResult(
        inspection=session.found,
        system=found.system,
        firmware=session.firmware,
        boot_loader=found.boot_loader,
        boot_disk=converted.boot_disk if converted else None,
        kernels=tuple(found.kernels),
        drivers=found.drivers,
        filesystems=tuple(
            FilesystemFound(device=device, kind=kind, size=found.sizes.get(device), mountpoint=places.get(device))
            for device, kind in sorted(session.filesystems.items())
        ),
        hypervisor_tools=found.tools,
        obstacles=obstacles,
        capabilities=converted.capabilities if converted else None,
        changes=converted.changes if converted else (),
        facts=found.facts,
    )
