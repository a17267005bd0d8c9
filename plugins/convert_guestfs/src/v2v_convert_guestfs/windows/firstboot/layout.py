# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the first boot's files are in the guest, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.windows.files import WindowsFiles

#: The name of the service, and of the directory.
SERVICE = "v2v-firstboot"

BATCH, STATUS, FIRST_STATUS, OLD_STATUS, LOG = "firstboot.bat", "status.txt", "status.first", "status.old", "log.txt"


@dataclass(frozen=True)
class Layout:
    """The directory of the first boot, a path of the appliance."""

    directory: str

    def path(self, name: str) -> str:
        """Return the path of a file of the first boot."""
        return f"{self.directory}/{name}"

    def script(self, name: str) -> str:
        """Return the path of a script."""
        return self.path(f"scripts/{name}.bat")

    def file(self, name: str) -> str:
        """Return the path of a file that scripts use."""
        return self.path(f"files/{name}")


def new_layout(files: WindowsFiles, systemroot: str) -> Layout:
    """Return where a new first boot goes. Not every Windows has ``Program Files``, or has it on the system's disk."""
    return Layout(f"{files.find('/Program Files') or systemroot}/{SERVICE}")


def find_layout(files: WindowsFiles, systemroot: str) -> Layout | None:
    """Return where a conversion put the first boot, or None if there is none."""
    for above in ("/Program Files", systemroot):
        found = files.find(f"{above}/{SERVICE}")
        if found is not None:
            return Layout(found)
    return None
