# SPDX-License-Identifier: GPL-2.0-or-later
"""What the common part of the conversion asks about Linux guests."""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import checks, distribution, fstab_devices
from v2v_convert_guestfs.linux.families import Family, family_of, release_of
from v2v_convert_guestfs.operating_system import MIB, OperatingSystem
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import Capabilities, FirstBootStatus

#: Bytes that must be free on /boot: for a second initramfs of the usual size.
_BOOT_NEEDS = 50 * MIB
#: Parts of the system that the conversion must see.
_SYSTEM_PLACES = ("/boot", "/etc", "/usr", "/var", "/opt", "/root")


class Linux(OperatingSystem):
    """A Linux guest."""

    def check_before_mounting(self, blockers: Blockers) -> bool:
        """Check that the guest is not hibernated."""
        return checks.check_hibernation(self.session, blockers)

    def find_mountpoints(self) -> None:
        """Find the devices in fstab that libguestfs does not find."""
        fstab_devices.find_devices(self.session, GuestFiles(self.session))

    def is_needed(self, place: str) -> bool:
        """Return whether a mount point has a part of the system, unlike /home."""
        return place == "/" or any(place == part or place.startswith(f"{part}/") for part in _SYSTEM_PLACES)

    def missing_places(self) -> list[str]:
        """Return the parts of the system that fstab mounts, and that are not mounted."""
        session = self.session
        present = {"/", *(str(place) for place in session.handle.mountpoints().values())}
        claimed = {place for place, device in session.inspection.mountpoints if device in session.limits}
        wanted = checks.fstab_places(GuestFiles(session).read("/etc/fstab") or b"") - present - claimed
        return sorted(place for place in wanted if self.is_needed(place))

    def check_mounted(self) -> None:
        """Warn of overlays on parts of the system."""
        checks.warn_of_overlays(self.session, self.is_needed)

    def space_needed(self, place: str, total: int) -> int:
        """Return how many bytes must be free, on /boot for a second initramfs."""
        return _BOOT_NEEDS if place == "/boot" else super().space_needed(place, total)

    def excuses_damage(self, kind: str) -> str | None:
        """Return why XFS looks damaged in guests with Linux 3.10. Red Hat's kernel corrects the count by itself."""
        found = self.session.inspection
        if kind == "xfs" and family_of(found.distro) is Family.REDHAT and release_of(found) == 7:
            return "was changed by a newer kernel, which counts free blocks in another way than this guest's"
        return None

    def find_name(self) -> str | None:
        """Return the name in os-release."""
        return distribution.pretty_name(GuestFiles(self.session))

    def read_first_boot(self) -> FirstBootStatus:
        """Return what the scripts of the first boot have done."""
        from v2v_convert_guestfs.linux.first_boot_status import read_status

        return read_status(self.session, GuestFiles(self.session))

    def convert(self, blockers: Blockers) -> Capabilities:
        """Convert the guest."""
        from v2v_convert_guestfs.linux.flow import convert_linux

        return convert_linux(self.session, blockers)
