# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB 2, with its menu in grub.cfg, or with entries of the Boot Loader Specification (RHEL 8, Fedora 30 and later).

Its configuration is edited in place, not made anew: grub-mkconfig in the appliance writes the *appliance's* names of
the disks on the kernel command lines, leaves entries out where it does not understand what it sees there, and takes
as long as half of all the rest. What it would write on KVM differs from what is there in the names of the disks only.
The settings that the guest's own next grub-mkconfig (or kernel-install) reads are edited alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import bls, devices_in, grub_cfg, grubenv, shell
from v2v_convert_guestfs.editors.bls import BlsEntry
from v2v_convert_guestfs.editors.grub_cfg import MenuEntry
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import fallback, settings
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, base, kernel_of
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

_OWN_ENTRIES = (
    *("/etc/grub.d/40_custom", "/etc/grub.d/41_custom"),
    *("/boot/grub/custom.cfg", "/boot/grub2/custom.cfg"),
)
_BLS_ENTRIES = "/boot/loader/entries/*.conf"
#: The kernel command line of the entries that kernel-install makes.
_CMDLINE = "/etc/kernel/cmdline"
#: The variables of GRUB that hold parts of kernel command lines.
_PARTS = re.compile(r"(?:default_)?kernelopts|tuned_params")
_MKCONFIG = ("grub-mkconfig", "grub2-mkconfig")
#: Bytes; a guest with thirty kernels has 200 KB.
_LIMIT = 4 * 1024 * 1024
#: More entries than any menu can show.
_MOST_ENTRIES = 100


class Grub2:
    """GRUB 2 with its configuration at ``path``."""

    def __init__(self, session: Session, files: GuestFiles, path: str) -> None:
        self._session = session
        self._files = files
        self._path = path
        self._environment = path.rpartition("/")[0] + "/grubenv"
        #: The entries as they were read last; None when a file of theirs was written since.
        self._entries: list[BlsEntry] | None = None

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Give those of the kernels that the menu offers."""
        paths = dict.fromkeys(entry.kernel for entry in self._menu())
        offered = [kernel_of(self._files, path, kernels) for path in paths]
        return [kernel for kernel in kernels if kernel in offered]

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Give the kernels: it loads what lies beside them."""
        return list(kernels)

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Give the kernel of the entry that GRUB boots by itself."""
        saved = grubenv.parse(self._read_environment()).get("saved_entry")
        entry = grub_cfg.default_entry(self._read(), saved, self._bls_entries())
        return kernel_of(self._files, entry.kernel, kernels) if entry else None

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the default, in the menu and in the settings that the next menu is made from.

        :raises ConversionError: the menu does not offer it, or another one stays the default.
        """
        entry = self._entry_of(kernel)
        if entry is None:
            self._offer(kernel)
            entry = self._entry_of(kernel)
        if entry is None:
            raise ConversionError(
                f"the boot loader of the guest does not offer the kernel {kernel.version}, which has virtio drivers",
                hint="run update-grub or grub2-mkconfig in the guest at its hypervisor and try again",
            )
        chosen, what = entry, f"the default is the kernel {kernel.version}"
        saved = grub_cfg.default_is_saved(self._read())
        name = "saved" if saved else ">".join(chosen.path)
        if "'" not in name:
            self._files.edit(
                settings.DEFAULTS,
                lambda data: (
                    data if shell.value(data, "GRUB_DEFAULT") == name else shell.set_value(data, "GRUB_DEFAULT", name)
                ),
                what=what,
                why=NEW_DEFAULT,
            )
        if saved:
            self._save_default(chosen, what)
        else:
            self._edit_menu(lambda data: grub_cfg.set_default(data, chosen), what, NEW_DEFAULT)
        settings.remember_flavour(self._session, self._files, kernel)
        if self.default_kernel([kernel]) is None:
            raise ConversionError(
                f"the kernel {kernel.version} cannot be made the default of the guest's boot loader",
                hint=f"set GRUB_DEFAULT in {settings.DEFAULTS} in the guest at its hypervisor, "
                "run update-grub or grub2-mkconfig and try again",
            )

    def change_consoles(self, consoles: Consoles) -> None:
        """Change the consoles of Xen in the settings and in the menu."""
        settings.change_consoles(self._files, consoles)
        self._edit_menu(consoles.edit, consoles.what, consoles.why)
        for path in (_CMDLINE, *self._bls_paths()):
            self._files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)
        self._entries = None
        self._edit_environment(
            lambda text: consoles.edit(text.encode("latin-1")).decode("latin-1"), consoles.what, consoles.why
        )

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the settings, in the user's own entries, in device.map, in debconf's memory, in the menu.

        :raises ConversionError: an old name is left on a kernel command line of the menu.
        """
        what, why = RENAMED
        settings.rename_devices(self._files, names)
        for path in _OWN_ENTRIES:
            self._files.edit(path, lambda data: devices_in.kernel_lines(data, names), what=what, why=why)
        self._rename_in_debconf(names)
        root = self._root_by_uuid()
        self._edit_menu(lambda data: devices_in.kernel_lines(data, names, root=root), what, why)
        for path in self._bls_paths():
            self._files.edit(path, lambda data: devices_in.kernel_lines(data, names, root=root), what=what, why=why)
        self._entries = None
        self._files.edit(_CMDLINE, lambda data: devices_in.kernel_cmdline(data, names, root=root), what=what, why=why)
        try:
            self._edit_environment(lambda text: devices_in.command_line(text, names, root=root), what, why)
        except ConversionError:
            # A UUID is longer than a name, and the block has no room left for it.
            self._edit_environment(names.rename_in, what, why)
        left = sorted({name for line in self._command_lines() for name in names.stale_in(line)})
        if left:
            raise ConversionError(
                f"{self._path} in the guest still names {', '.join(left)} on a kernel command line",
                hint="use UUIDs there and in /etc/default/grub, run update-grub or grub2-mkconfig and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Put a loader where firmware with an empty NVRAM looks for one, if there is none."""
        if firmware is Firmware.UEFI:
            fallback.ensure(self._session, self._files)

    def _read(self) -> bytes:
        data = self._files.read(self._path, limit=_LIMIT)
        if data is None:
            raise ConversionError(f"{self._path} in the guest cannot be read")
        return data

    def _read_environment(self) -> bytes:
        return self._files.read(self._environment) or b""

    def _edit_menu(self, edit: Callable[[bytes], bytes], what: str, why: str) -> None:
        old = self._read()
        new = edit(old)
        if new != old:
            self._files.replace(self._path, new, what=what, why=why)

    def _edit_environment(self, edit: Callable[[str], str], what: str, why: str) -> None:
        old = self._read_environment()
        try:
            new = grubenv.edit_values(old, _PARTS, edit)
        except ValueError as err:
            raise ConversionError(f"{self._environment} in the guest cannot be edited: {err}") from err
        if new != old:
            self._files.replace(self._environment, new, what=what, why=why)

    def _bls_paths(self) -> list[str]:
        """List the files of entries; none if grub.cfg does not use them: they are left over then."""
        return self._files.glob(_BLS_ENTRIES)[:_MOST_ENTRIES] if grub_cfg.uses_bls(self._read()) else []

    def _bls_entries(self) -> list[BlsEntry]:
        if self._entries is None:
            found = (bls.parse(path, self._files.read(path) or b"") for path in self._bls_paths())
            self._entries = bls.in_order(entry for entry in found if entry is not None)
        return self._entries

    def _menu(self) -> list[MenuEntry]:
        return grub_cfg.menu(self._read(), self._bls_entries())

    def _command_lines(self) -> list[str]:
        """Give the kernel command lines with the values of variables in them."""
        known = {**grub_cfg.variables(self._read()), **grubenv.parse(self._read_environment())}
        return [grub_cfg.expand(entry.arguments, known) for entry in self._menu()]

    def _entry_of(self, kernel: Kernel) -> MenuEntry | None:
        fitting = [entry for entry in self._menu() if kernel_of(self._files, entry.kernel, [kernel])]
        # Not the ones for recovery; and the entry of its own in the submenu, since the first of all follows updates.
        normal = [
            entry for entry in fitting if "single" not in entry.arguments.split() and "recovery" not in entry.path[-1]
        ]
        return max(normal or fitting, key=lambda entry: len(entry.path), default=None)

    def _save_default(self, entry: MenuEntry, what: str) -> None:
        """Save the default where ``default=saved`` looks for it."""
        # What the tools of RHEL 7 read there is a title, and for GRUB a title is as good as an id.
        title = entry.names[-1][0]
        same = [other for other in self._menu() if title in other.names[-1]]
        by_title = len(entry.path) == 1 and len(same) == 1 and ">" not in title and not self._bls_paths()
        try:
            new = grubenv.set_value(
                self._read_environment(), "saved_entry", title if by_title else ">".join(entry.path)
            )
        except ValueError as err:
            raise ConversionError(f"the default cannot be saved in {self._environment} in the guest: {err}") from err
        if self._files.resolve(self._environment) is None:
            self._files.create(self._environment, new, mode=0o644, what=what, why=NEW_DEFAULT)
        else:
            self._files.replace(self._environment, new, what=what, why=NEW_DEFAULT)

    def _root_by_uuid(self) -> str | None:
        """Give what GRUB itself writes for root= where it is not told to use the names of disks.

        A kernel without an initramfs does not understand it.
        """
        if not grub_cfg.all_have_initramfs(self._read()) or not all(entry.initrd for entry in self._bls_entries()):
            return None
        for path in settings.setting_files(self._files):
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

    def _offer(self, kernel: Kernel) -> None:
        """Put a kernel into the menu that is not there.

        An entry of the Boot Loader Specification is made from another one. kernel-install, whose task it is, would
        write the command line of the appliance's kernel into it; and grub2-mkconfig makes no such entries. But it makes
        a menu that uses them of one that does not, if the settings say so.
        """
        if not grub_cfg.uses_bls(self._read()):
            self._regenerate()
        if kernel.initramfs is None or not grub_cfg.uses_bls(self._read()) or self._entry_of(kernel):
            return
        for path in self._bls_paths():
            content = self._files.read(path) or b""
            entry = bls.parse(path, content)
            version = base(entry.linux).removeprefix("vmlinuz-") if entry else ""
            if entry and entry.version == version and version in entry.name and "rescue" not in entry.name:
                name = f"{path.rpartition('/')[0]}/{entry.name.replace(version, kernel.version)}.conf"
                self._files.create(
                    name,
                    bls.for_version(content, version, kernel.version),
                    mode=0o644,
                    what=f"an entry for the kernel {kernel.version}, made from {base(path)}",
                    why="the boot loader did not offer the kernel to boot",
                )
                self._entries = None
                return

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
                self._entries = None
                what, why = f"made anew by {program}", "it did not offer the kernel to boot"
                self._session.changed(self._path, what, why)
                if self._session.firmware is Firmware.UEFI:
                    # The appliance has a BIOS, and what is made there is for one.
                    self._edit_menu(grub_cfg.for_uefi, what, why)
                return
