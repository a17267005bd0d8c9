# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a converted guest that has run since, for what it did at its first boots (``v2v report --disk``)."""

from __future__ import annotations

from contextlib import ExitStack

from v2v_convert_guestfs import encryption, inspection, mounts
from v2v_convert_guestfs.appliance import libguestfs_errors_as
from v2v_convert_guestfs.block_sizes import open_appliance
from v2v_convert_guestfs.disks import list_filesystems
from v2v_convert_guestfs.failures import failures_told
from v2v_convert_guestfs.filesystems.limits import base_device
from v2v_convert_guestfs.operating_system import operating_system_of
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConvertRequest, FirstBootStatus


def look(request: ConvertRequest) -> FirstBootStatus:
    """Return what the guest did at its first boots.

    :raises ConversionError: it cannot be looked into.
    """
    session = Session(request=request, handle=None)
    with failures_told(session), ExitStack() as stack:
        with session.stage("open", "Opening the disks of the guest"):
            session.handle, _ = open_appliance(request, stack)
        blockers = Blockers()
        with session.stage("inspect", "Inspecting the guest"):
            with libguestfs_errors_as("the file systems of the guest cannot be listed"):
                session.filesystems = list_filesystems(session.handle)
            encryption.open_encrypted(session, blockers)
            inspection.inspect(session, blockers)
            blockers.stop()
        with session.stage("read", "Reading what the guest did at its first boot"):
            # A journal is replayed, on the overlay, since the guest may not have been shut down. NTFS that is not in
            # order can be read, but not mounted for writing.
            ntfs = session.filesystems.get(base_device(session.inspection.root)) == "ntfs"
            mounts.mount_guest(session, blockers, untouched=ntfs)
            status = operating_system_of(session).read_first_boot()
            mounts.unmount_guest(session)
        return status
