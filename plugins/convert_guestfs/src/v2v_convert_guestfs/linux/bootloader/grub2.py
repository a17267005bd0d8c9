# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB 2.

Its configuration is edited in place, not made anew: grub-mkconfig in the appliance writes the *appliance's* names of
the disks on the kernel command lines, leaves entries out where it does not understand what it sees there, and takes
as long as half of all the rest. What it would write on KVM differs from what is there in the names of the disks only.
The settings that the guest's own next grub-mkconfig reads are edited alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import devices_in, grub_cfg, shell
from v2v_convert_guestfs.editors.grub_cfg import MenuEntry
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

_DEFAULTS = "/etc/default/grub"
_DEFAULTS_PATTERNS = (_DEFAULTS, "/etc/default/grub.d/*.cfg", "/etc/sysconfig/grub")
_OWN_ENTRIES = ("/etc/grub.d/40_custom", "/etc/grub.d/41_custom", "/boot/grub/custom.cfg")
_MKCONFIG = ("grub-mkconfig", "grub2-mkconfig")
#: Bytes; a guest with thirty kernels has 200 KB.
_LIMIT = 4 * 1024 * 1024
#: The name of the loader that firmware starts from a disk it knows nothing about, and of the loaders to put there.
_EFI = {"x86_64": ("BOOTX64.EFI", "x64"), "i386": ("BOOTIA32.EFI", "ia32"), "aarch64": ("BOOTAA64.EFI", "aa64")}


class Grub2:
    """GRUB 2 with its configuration at ``path``."""

    def __init__(self, session: Session, files: GuestFiles, path: str) -> None:
        self._session = session
        self._files = files
        self._path = path

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Give those of the kernels that the menu offers."""
        offered = {_base(entry.kernel) for entry in grub_cfg.menu(self._read())}
        return [kernel for kernel in kernels if _base(kernel.image) in offered]

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Give the kernel of the entry that GRUB boots by itself."""
        environment = self._files.read(self._path.rpartition("/")[0] + "/grubenv") or b""
        entry = grub_cfg.default_entry(self._read(), grub_cfg.saved_entry(environment))
        by_name = {_base(kernel.image): kernel for kernel in kernels}
        return by_name.get(_base(entry.kernel)) if entry else None

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the default, in the menu and in the settings that the next menu is made from.

        :raises ConversionError: the menu does not offer it, or another one stays the default.
        """
        why = "the default kernel cannot drive virtio disks as well as this one"
        entry = self._entry_of(kernel)
        if entry is None:
            self._regenerate()
            entry = self._entry_of(kernel)
        if entry is None:
            raise ConversionError(
                f"the boot loader of the guest does not offer the kernel {kernel.version}, which has virtio drivers",
                hint="run update-grub in the guest at its hypervisor and try again",
            )
        chosen, name = entry, ">".join(entry.path)
        what = f"the default is the kernel {kernel.version}"
        if "'" not in name:
            self._files.edit(_DEFAULTS, lambda data: shell.set_value(data, "GRUB_DEFAULT", name), what=what, why=why)
        self._edit_menu(lambda data: grub_cfg.set_default(data, chosen), what, why)
        if self.default_kernel([kernel]) is None:
            raise ConversionError(
                f"the kernel {kernel.version} cannot be made the default of the guest's boot loader",
                hint=f"set GRUB_DEFAULT in {_DEFAULTS} in the guest at its hypervisor, run update-grub and try again",
            )

    def replace_consoles(self) -> None:
        """Turn the consoles of Xen into the first serial port, in the settings and in the menu."""
        what, why = "console=ttyS0 in place of a console of Xen", "KVM has a serial port and no console of Xen"
        for path in self._settings():
            self._files.edit(path, grub_cfg.replace_consoles, what=what, why=why)
        self._edit_menu(grub_cfg.replace_consoles, what, why)

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the settings, in the user's own entries, in device.map, in debconf's memory, in the menu.

        :raises ConversionError: an old name is left on a kernel command line of the menu.
        """
        what, why = "disks are called by their new names", "disks have other names with virtio"
        for path in self._settings():
            self._files.edit(path, lambda data: devices_in.grub_defaults(data, names), what=what, why=why)
        for path in _OWN_ENTRIES:
            self._files.edit(path, lambda data: devices_in.kernel_lines(data, names), what=what, why=why)
        for path in ("/boot/grub/device.map", "/boot/grub2/device.map"):
            self._files.edit(path, lambda data: devices_in.device_map(data, names), what=what, why=why)
        self._rename_in_debconf(names)
        root = self._root_by_uuid()
        self._edit_menu(lambda data: devices_in.kernel_lines(data, names, root=root), what, why)
        left = sorted({name for entry in grub_cfg.menu(self._read()) for name in names.stale_in(entry.arguments)})
        if left:
            raise ConversionError(
                f"{self._path} in the guest still names {', '.join(left)} on a kernel command line",
                hint="use UUIDs in /etc/default/grub of the guest, run update-grub there and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Put a loader where firmware with an empty NVRAM looks for one, if there is none."""
        if firmware is not Firmware.UEFI:
            return
        name, suffix = _EFI.get(self._session.inspection.arch, ("", ""))
        root = "/boot/efi/EFI"
        if not name or self._files.glob(f"{root}/[Bb][Oo][Oo][Tt]/{name}") or not self._session.handle.is_dir(root):
            return
        for directory in self._files.glob(f"{root}/*"):
            shim, grub = f"{directory}/shim{suffix}.efi", f"{directory}/grub{suffix}.efi"
            if self._files.resolve(grub) is None:
                continue
            first = shim if self._files.resolve(shim) else grub
            try:
                self._session.handle.mkdir_p(f"{root}/BOOT")
                self._session.handle.cp(first, f"{root}/BOOT/{name}")
                if first == shim:
                    self._session.handle.cp(grub, f"{root}/BOOT/grub{suffix}.efi")
            except RuntimeError as err:
                self._session.not_done(f"no fallback loader could be put into {root}/BOOT in the guest", err)
                return
            self._session.changed(f"{root}/BOOT/{name}", f"copied from {first}", "the new machine's NVRAM is empty")
            return
        self._session.report.warning(
            f"no boot loader was found below {root} in the guest: it may have to be chosen in the firmware's setup"
        )

    def _settings(self) -> list[str]:
        return [path for pattern in _DEFAULTS_PATTERNS for path in self._files.glob(pattern)]

    def _read(self) -> bytes:
        data = self._files.read(self._path, limit=_LIMIT)
        if data is None:
            raise ConversionError(f"{self._path} in the guest cannot be read")
        return data

    def _edit_menu(self, edit: Callable[[bytes], bytes], what: str, why: str) -> None:
        old = self._read()
        new = edit(old)
        if new != old:
            self._files.replace(self._path, new, what=what, why=why)

    def _entry_of(self, kernel: Kernel) -> MenuEntry | None:
        fitting = [entry for entry in grub_cfg.menu(self._read()) if _base(entry.kernel) == _base(kernel.image)]
        # Not the ones for recovery; and the entry of its own in the submenu, since the first of all follows updates.
        normal = [
            entry for entry in fitting if "single" not in entry.arguments.split() and "recovery" not in entry.path[-1]
        ]
        return max(normal or fitting, key=lambda entry: len(entry.path), default=None)

    def _root_by_uuid(self) -> str | None:
        """Give what GRUB itself writes for root= where it is not told to use the names of disks.

        A kernel without an initramfs does not understand it.
        """
        if not grub_cfg.all_have_initramfs(self._read()):
            return None
        for path in self._settings():
            if shell.value(self._files.read(path) or b"", "GRUB_DISABLE_LINUX_UUID") == "true":
                return None
        device = dict(self._session.inspection.mountpoints).get("/", "")
        try:
            uuid = str(self._session.handle.vfs_uuid(device))
        except RuntimeError:
            return None
        return f"UUID={uuid}" if uuid else None

    def _rename_in_debconf(self, names: DeviceNames) -> None:
        database = "/var/cache/debconf/config.dat"
        self._files.edit(
            database,
            lambda data: devices_in.debconf(data, names),
            what="the disks that grub-pc is installed on are called by their new names",
            why="its next upgrade would not find them",
        )

    def _regenerate(self) -> None:
        """Have the guest make its menu anew: the last resort, the names of disks in it are put right afterwards."""
        for program in _MKCONFIG:
            if any(
                self._session.handle.is_file(f"{place}/{program}", followsymlinks=True)
                for place in ("/usr/sbin", "/sbin")
            ):
                try:
                    self._session.run([program, "-o", self._path])
                except RuntimeError as err:
                    raise ConversionError(f"{program} failed in the guest: {brief(err)}") from err
                self._session.changed(self._path, f"made anew by {program}", "it did not offer the kernel to boot")
                return


def _base(path: str) -> str:
    """Give the name of a kernel without its directory, which is another one where /boot is a file system of its own."""
    return path.rpartition("/")[2]
