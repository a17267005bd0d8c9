# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB legacy (RHEL 4 to 6, SLES 10 and 11, Debian up to 5). Its menu is the only configuration, and is edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import fallback, settings
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, base, kernel_of
from v2v_convert_guestfs.linux.editors import grub_legacy
from v2v_convert_guestfs.linux.editors.grub_legacy import LegacyEntry
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.linux.left_names import warn_of_untold
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

#: Kernel arguments of entries for recovery.
_NOT_NORMAL = frozenset({"single", "1", "S", "emergency", "rescue", "failsafe"})


class GrubLegacy:
    """GRUB legacy with its menu at ``path``."""

    name = "GRUB legacy"

    def __init__(self, session: Session, files: GuestFiles, path: str) -> None:
        self._session = session
        self._files = files
        self._path = path

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return those of the kernels that the menu boots without a Xen hypervisor."""
        paths = dict.fromkeys(entry.kernel for entry in grub_legacy.entries(self._read()) if entry.kernel)
        offered = [kernel_of(self._files, path, kernels) for path in paths]
        return [kernel for kernel in kernels if kernel in offered]

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return the kernels, each with the initramfs that its entry in the menu loads."""
        return [self._with_own_image(kernel) for kernel in kernels]

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Return the kernel of the default entry, or None."""
        entry = self._default()
        return kernel_of(self._files, entry.kernel, kernels) if entry else None

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the default, by the number of its entry. This also replaces ``default saved``.

        :raises ConversionError: the kernel is not in the menu and cannot be added, or another one stays the default.
        """
        what = f"the default is the kernel {kernel.version}"
        entry = self._entry_of(kernel) or self._offer(kernel)
        if entry is None:
            raise ConversionError(
                f"the boot menu of the guest does not contain the kernel {kernel.version}, which has virtio drivers",
                hint=f"add an entry for it to {self._path} in the guest on its source hypervisor, and try again",
            )
        index = entry.index
        self._edit(lambda data: grub_legacy.set_default(data, index), what, NEW_DEFAULT)
        settings.remember_flavour(self._session, self._files, kernel)
        if self.default_kernel([kernel]) is None:
            raise ConversionError(
                f"the kernel {kernel.version} cannot be made the default in {self._path} in the guest"
            )

    def change_consoles(self, consoles: Consoles) -> None:
        """Change Xen's consoles in the settings and in the menu."""
        settings.change_consoles(self._files, consoles)
        self._edit(consoles.edit, consoles.what, consoles.why)

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the settings, in device.map and in the menu.

        :raises ConversionError: a kernel command line in the menu still contains an old name.
        """
        settings.rename_devices(self._session, self._files, names)
        self._edit(lambda data: grub_legacy.rename_devices(data, names), *RENAMED)
        warn_of_untold(self._session, self._path, self._read(), names)
        left = sorted({name for entry in grub_legacy.entries(self._read()) for name in names.stale_in(entry.arguments)})
        if left:
            raise ConversionError(
                f"{self._path} in the guest still names {', '.join(left)} on a kernel command line",
                hint="use LABEL= or UUID= there and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Make sure that UEFI with an empty NVRAM finds a loader."""
        if firmware is Firmware.UEFI:
            fallback.ensure(self._session, self._files)

    def _read(self) -> bytes:
        data = self._files.read(self._path)
        if data is None:
            raise ConversionError(f"{self._path} in the guest cannot be read")
        return data

    def _edit(self, edit: Callable[[bytes], bytes], what: str, why: str) -> None:
        old = self._read()
        new = edit(old)
        if new != old:
            self._files.replace(self._path, new, what=what, why=why)

    def _default(self) -> LegacyEntry | None:
        content = self._read()
        saved = b""
        if grub_legacy.default_is_saved(content):
            saved = self._files.read(self._path.rpartition("/")[0] + "/default") or b""
        return grub_legacy.default_entry(content, saved)

    def _with_own_image(self, kernel: Kernel) -> Kernel:
        entry = self._default()
        if entry is None or kernel_of(self._files, entry.kernel, [kernel]) is None:
            entry = self._entry_of(kernel)
        if entry is None:
            return kernel
        return settings.with_image(self._files, kernel, [entry.initrd] if entry.initrd else [])

    def _entry_of(self, kernel: Kernel) -> LegacyEntry | None:
        fitting = [
            entry
            for entry in grub_legacy.entries(self._read())
            if entry.kernel and kernel_of(self._files, entry.kernel, [kernel])
        ]
        normal = (entry for entry in fitting if not _NOT_NORMAL & set(entry.arguments.split()))
        return next(normal, fitting[0] if fitting else None)

    def _offer(self, kernel: Kernel) -> LegacyEntry | None:
        """Add an entry for a kernel: a copy of an entry whose kernel and initramfs have the version in their names.

        Return the new entry, or None if there is nothing to copy.
        """
        if kernel.initramfs is None:
            return None
        content = self._read()
        for entry in grub_legacy.entries(content):
            version = base(entry.kernel).removeprefix("vmlinuz-")
            if base(entry.kernel) != f"vmlinuz-{version}" or not entry.initrd:
                continue
            if _NOT_NORMAL & set(entry.arguments.split()):
                continue
            new = grub_legacy.add_entry(content, entry, version, kernel.version)
            self._files.replace(
                self._path,
                new,
                what=f"an entry for the kernel {kernel.version}, copied from the one for {version}",
                why="the kernel to boot was not in the boot menu",
            )
            return self._entry_of(kernel)
        return None
