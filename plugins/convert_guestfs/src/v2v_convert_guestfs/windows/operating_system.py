# SPDX-License-Identifier: GPL-2.0-or-later
"""What the common part of the conversion asks about Windows guests."""

from __future__ import annotations

from v2v_convert_guestfs.operating_system import OperatingSystem
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import Capabilities, ConversionError, FirstBootStatus


class Windows(OperatingSystem):
    """A Windows guest. It has one mount point, the volume with Windows; rooms of the conversion mount others."""

    def check_before_mounting(self, blockers: Blockers) -> bool:
        """Check that Windows has shut down completely, and that its volumes can be written."""
        from v2v_convert_guestfs.windows.checks.before_mounting import check_volumes

        return check_volumes(self.session, blockers)

    def how_to_repair(self) -> str:
        """Say how Windows repairs its volumes."""
        return (
            "start Windows at its hypervisor, run chkdsk /f there, and shut it down completely: shutdown /s /t 0, or "
            "Shift with a click on Shut down"
        )

    def how_to_make_writable(self) -> str:
        """Say what makes the volume of Windows writable for others."""
        return self.how_to_repair()

    def tells_of_encrypted(self, kind: str) -> bool:
        """Return whether ``check_before_mounting`` tells of it: of BitLocker."""
        return kind == "BitLocker"

    def find_boot_disk(self) -> int | None:
        """Return the disk with the EFI system partition, or with the active partition."""
        from v2v_convert_guestfs.windows.boot_disk import find_boot_disk

        return find_boot_disk(self.session)

    def read_first_boot(self) -> FirstBootStatus:
        """Return what the scripts of the first boot have done.

        :raises ConversionError: the guest has nothing of a first boot.
        """
        from v2v_convert_guestfs.windows.files import WindowsFiles
        from v2v_convert_guestfs.windows.firstboot.status import read_status
        from v2v_convert_guestfs.windows.look import find_systemroot

        files = WindowsFiles(self.session)
        status = read_status(files, find_systemroot(self.session, files))
        if not status.planned:
            raise ConversionError(
                f"the Windows on {self.session.inspection.root} has nothing of a first boot",
                hint="give the disks of a guest that this program has converted; --root chooses another system on them",
            )
        return status

    def convert(self, blockers: Blockers) -> Capabilities:
        """Convert the guest."""
        from v2v_convert_guestfs.windows.flow import convert_windows

        try:
            return convert_windows(self.session, blockers)
        finally:
            # The registry of Windows 11 says that it is Windows 10, and the inspection was corrected meanwhile.
            self.session.findings.system = self.session.inspection.product_name
