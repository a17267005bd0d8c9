# SPDX-License-Identifier: GPL-2.0-or-later
"""EXTLINUX and SYSLINUX for a BIOS: Alpine Linux boots with it, Arch Linux and others can."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.bootloader import settings
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, kernel_of
from v2v_convert_guestfs.linux.editors import devices_in, extlinux_conf, shell
from v2v_convert_guestfs.linux.editors.extlinux_conf import Entry
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.linux.left_names import warn_of_untold
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

_PLACES = (
    *("/boot/extlinux.conf", "/boot/extlinux/extlinux.conf", "/boot/syslinux/extlinux.conf"),
    *("/boot/syslinux/syslinux.cfg", "/boot/syslinux.cfg", "/extlinux.conf"),
)
#: Alpine Linux writes the configuration anew from these settings.
_SETTINGS = "/etc/update-extlinux.conf"


def find_extlinux(session: Session, files: GuestFiles) -> str | None:
    """Return the path of a configuration with a Linux kernel in it, or None. With UEFI, it is a leftover."""
    if session.firmware is Firmware.UEFI:
        return None
    for path in _PLACES:
        real = files.resolve(path)
        if real is not None and extlinux_conf.entries(files.read(real) or b""):
            return real
    return None


def extlinux_starts(session: Session) -> bool:
    """Return whether a boot sector is that of EXTLINUX or SYSLINUX: the partition's has the name in it."""
    handle = session.handle
    for device in (*handle.list_devices(), *handle.list_partitions()):
        try:
            sector = bytes(handle.pread_device(device, 512, 0))
        except RuntimeError as err:
            session.report.debug(f"{device}: {err}")
            continue
        if b"EXTLINUX" in sector or b"SYSLINUX" in sector:
            return True
    return False


class Extlinux:
    """EXTLINUX with its configuration at ``path``."""

    name = "EXTLINUX"

    def __init__(self, session: Session, files: GuestFiles, path: str) -> None:
        self._session = session
        self._files = files
        self._path = path

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return those of the kernels that are in the menu."""
        offered = [kernel_of(self._files, self._at(entry.kernel), kernels) for entry in self._entries()]
        return [kernel for kernel in kernels if kernel in offered]

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return the kernels, each with the initramfs that its entry in the menu loads."""
        return [self._with_own_image(kernel) for kernel in kernels]

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Return the kernel of the default entry, or None."""
        entry = extlinux_conf.default_entry(self._read())
        return kernel_of(self._files, self._at(entry.kernel), kernels) if entry else None

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the default, also for the configuration that Alpine Linux writes later.

        :raises ConversionError: the kernel is not in the menu.
        """
        entry = self._entry_of(kernel)
        if entry is None:
            raise ConversionError(
                f"{self._path} in the guest has no entry for the kernel {kernel.version}, which has virtio drivers",
                hint=f"add an entry for it to {self._path} in the guest on its source hypervisor, and try again",
            )
        what = f"the default is the kernel {kernel.version}"
        self._edit(lambda data: extlinux_conf.set_default(data, entry.label), what, NEW_DEFAULT)
        self._files.edit(
            _SETTINGS, lambda data: shell.set_value(data, "default", entry.label), what=what, why=NEW_DEFAULT
        )

    def change_consoles(self, consoles: Consoles) -> None:
        """Change Xen's consoles in the menu and in the settings."""
        for path in (self._path, _SETTINGS):
            self._files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the menu and in the settings.

        :raises ConversionError: a kernel command line still contains an old name.
        """
        what, why = RENAMED

        def rename(line: str) -> str:
            return devices_in.command_line(line, names, root=self._by_uuid if self._all_have_initramfs() else None)

        self._edit(lambda data: extlinux_conf.edit_arguments(data, rename), what, why)
        self._files.edit(
            _SETTINGS,
            lambda data: b"\n".join(
                line if line.lstrip().startswith(b"#") else rename(line.decode("latin-1")).encode("latin-1")
                for line in data.split(b"\n")
            ),
            what=what,
            why=why,
        )
        for path in (self._path, _SETTINGS):
            warn_of_untold(self._session, path, self._files.read(path) or b"", names)
        left = sorted({name for entry in self._entries() for name in names.stale_in(entry.arguments)})
        if left:
            raise ConversionError(
                f"{self._path} in the guest still names {', '.join(left)} on a kernel command line",
                hint="use UUIDs there in the guest on its source hypervisor, and try again",
            )

    def ensure_fallback(self, _firmware: Firmware) -> None:
        """Do nothing: a BIOS finds it on every disk that it is on."""

    def _by_uuid(self, device: str) -> str | None:
        uuid = block_devices.file_system_uuid(self._session, device)
        return f"UUID={uuid}" if uuid else None

    def _all_have_initramfs(self) -> bool:
        return all(entry.initrd for entry in self._entries())

    def _read(self) -> bytes:
        data = self._files.read(self._path)
        if data is None:
            raise ConversionError(f"{self._path} in the guest cannot be read")
        return data

    def _edit(self, edit: Callable[[bytes], bytes], what: str, why: str) -> None:
        self._files.edit(self._path, edit, what=what, why=why)

    def _entries(self) -> list[Entry]:
        return extlinux_conf.entries(self._read())

    def _entry_of(self, kernel: Kernel) -> Entry | None:
        fitting = [entry for entry in self._entries() if kernel_of(self._files, self._at(entry.kernel), [kernel])]
        normal = (entry for entry in fitting if not {"single", "emergency"} & set(entry.arguments.split()))
        return next(normal, fitting[0] if fitting else None)

    def _with_own_image(self, kernel: Kernel) -> Kernel:
        entry = extlinux_conf.default_entry(self._read())
        if entry is None or kernel_of(self._files, self._at(entry.kernel), [kernel]) is None:
            entry = self._entry_of(kernel)
        if entry is None:
            return kernel
        return settings.with_image(self._files, kernel, [self._at(path) for path in entry.initrd])

    def _at(self, path: str) -> str:
        """Return the absolute path: a relative one begins in the directory of the configuration."""
        return posixpath.normpath(posixpath.join(self._path.rpartition("/")[0] or "/", path))
