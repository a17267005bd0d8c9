# SPDX-License-Identifier: GPL-2.0-or-later
"""What the common part of the conversion asks about the guest's operating system.

``OperatingSystem`` has the answers for a kind that is not known. A kind that can be converted is a class in a package
of its own (``linux``, ``windows``) and a case of ``operating_system_of``.
"""

from __future__ import annotations

from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Capabilities, ConversionError, FirstBootStatus

MIB = 1024 * 1024
#: Bytes that must be free: on the root file system, and on others, where only a few small files are written.
_ROOT_NEEDS, _OTHERS_NEED = 100 * MIB, 10 * MIB


class OperatingSystem:
    """The operating system of the guest of a session, once that was inspected."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def check_before_mounting(self, blockers: Blockers) -> bool:
        """Collect what must keep the file systems from being mounted for writing; return whether there is anything."""
        return False

    def find_mountpoints(self) -> None:
        """Correct the mount points of the inspection by what the guest says. Its root is mounted, and nothing else."""

    def is_needed(self, place: str) -> bool:
        """Return whether a mount point has a part of the system that the conversion must see."""
        return place == "/"

    def missing_places(self) -> list[str]:
        """Return the parts of the system that the guest mounts, and that are not mounted in the appliance."""
        return []

    def check_mounted(self) -> None:
        """Warn of what the conversion cannot deal with. The guest is mounted."""

    def tells_of_encrypted(self, kind: str) -> bool:
        """Return whether ``check_before_mounting`` tells of encrypted devices of a kind that have no key."""
        return False

    def space_needed(self, place: str, total: int) -> int:
        """Return how many bytes must be free on a file system of ``total`` bytes; a small one (an ESP) needs less."""
        return _ROOT_NEEDS if place == "/" else min(_OTHERS_NEED, total // 20)

    def how_to_repair(self) -> str:
        """Say what the user can do about a root file system that cannot be mounted."""
        return "start the guest at its hypervisor, let it check its file systems, and shut it down"

    def how_to_make_writable(self) -> str:
        """Say what the user can do about a root file system that can only be read, for no reason that is known."""
        return "shut the guest down cleanly; look at the mount options and at the file system's flags"

    def excuses_damage(self, kind: str) -> str | None:
        """Return why what a check finds in a file system of this kind after the conversion is no damage, or None."""
        return None

    def find_name(self) -> str | None:
        """Return the guest's own name for its operating system, or None. The guest is mounted."""
        return None

    def find_boot_disk(self) -> int | None:
        """Return the number, from 1, of the disk that the guest boots from, if that is peculiar to this kind."""
        return None

    def read_first_boot(self) -> FirstBootStatus:
        """Return what the guest, which is mounted and was converted earlier, has done at its first boots.

        :raises ConversionError: that cannot be read, or the guest was not converted.
        """
        raise ConversionError(
            f"nothing is known of a first boot of guests of the type {self.session.inspection.os_type}",
            hint="give the disks of a Linux or Windows guest that was converted",
        )

    def convert(self, blockers: Blockers) -> Capabilities:
        """Convert the guest, which is mounted.

        :raises ConversionError: guests of this kind cannot be converted, or this one cannot.
        """
        found = self.session.inspection
        blockers.add(
            f"guests of the type {found.os_type} ({found.distro}) cannot be converted",
            "this converter converts Linux and Windows guests only",
        )
        blockers.stop()
        raise ConversionError("internal error: the guest is of an unsupported type, and there is no blocker")


def operating_system_of(session: Session) -> OperatingSystem:
    """Return the operating system of a guest that was inspected. A new kind is one more case here."""
    kind = session.inspection.os_type
    if kind == "linux":
        from v2v_convert_guestfs.linux.operating_system import Linux

        return Linux(session)
    if kind == "windows":
        from v2v_convert_guestfs.windows.operating_system import Windows

        return Windows(session)
    return OperatingSystem(session)
