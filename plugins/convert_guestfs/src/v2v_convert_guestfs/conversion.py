# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion of a guest, from top to bottom."""

from __future__ import annotations

from contextlib import ExitStack

from v2v_convert_guestfs import checks, collecting, encryption, inspection, mounts
from v2v_convert_guestfs.appliance import libguestfs_errors_as
from v2v_convert_guestfs.block_sizes import open_appliance
from v2v_convert_guestfs.disks import list_filesystems, sizes_of
from v2v_convert_guestfs.failures import failures_told
from v2v_convert_guestfs.firmware import find_boot_disk, find_firmware
from v2v_convert_guestfs.operating_system import operating_system_of
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.settings import parse_collect
from v2v_convert_guestfs.trim import trim, trim_before
from v2v_core.api import ConvertRequest, ConvertResult


def convert(request: ConvertRequest) -> ConvertResult:
    """Convert a guest.

    :raises ConversionError: it cannot be converted; the source is unchanged.
    """
    return convert_session(Session(request=request, handle=None))


def convert_session(session: Session) -> ConvertResult:
    """Convert the guest of a new session. Afterwards the session says what was found.

    :raises ConversionError: it cannot be converted; the source is unchanged.
    """
    with failures_told(session):
        return _convert(session)


def _convert(session: Session) -> ConvertResult:
    request, report = session.request, session.request.report
    wanted = parse_collect(request.settings.extra)
    with ExitStack() as stack:
        with session.stage("open", "Opening the source"):
            session.handle, block_sizes = open_appliance(request, stack)

        blockers = Blockers()
        with session.stage("inspect", "Inspecting the source"):
            with libguestfs_errors_as("the file systems of the guest cannot be listed"):
                session.filesystems = list_filesystems(session.handle)
                if session.wants_sizes:
                    session.findings.sizes = sizes_of(session.handle, session.filesystems)
            encryption.open_encrypted(session, blockers)
            inspection.inspect(session, blockers)
            session.firmware = find_firmware(session)

        with session.stage("check", "Checking the file systems of the guest"):
            # A guest that must not be written is still examined, so that all blockers are reported at once.
            system = operating_system_of(session)
            untouched = system.check_before_mounting(blockers) or checks.check_filesystems(session, blockers)

        with session.stage("trim"):
            trim_before(session, blockers, untouched=untouched)

        with session.stage("space", "Checking for sufficient free disk space in the guest"):
            mounts.mount_guest(session, blockers, untouched=untouched)
            checks.check_guest(session, blockers, untouched=untouched)

        if wanted is not None:
            with session.stage("collect", "Collecting files of the guest"):
                collecting.collect(session, wanted)

        session.findings.system = inspection.name_system(session)
        with session.stage("convert", f"Converting {session.findings.system} to run on KVM"):
            capabilities = system.convert(blockers)
            boot_disk = find_boot_disk(session)
            mounts.unmount_guest(session)

        if request.settings.trim:
            with session.stage("trim again", "Mapping filesystem data to avoid copying unused and blank areas"):
                trim(session)

        with session.stage("check again", "Checking the file systems of the converted guest"):
            checks.check_filesystems_after(session)

        with session.stage("close", "Closing the overlay"):
            stack.close()

    listed = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in session.seconds.items())
    (report.info if request.settings.verbose else report.debug)(f"Time spent by stage: {listed}")
    return ConvertResult(
        inspection=session.inspection,
        capabilities=capabilities,
        firmware=session.firmware,
        boot_disk=boot_disk,
        changes=tuple(session.changes),
        nic_order=session.nic_order,
        nic_macs=session.nic_macs,
        block_sizes=block_sizes,
        facts=session.findings.facts,
    )
