# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB 2, with a menu in grub.cfg or with entries of the Boot Loader Specification (RHEL 8, Fedora 30 and later).

The configuration is edited, not regenerated. grub-mkconfig in the appliance would write the *appliance's* disk names on
the kernel command lines, omit entries for devices that it does not understand, and take half as long as all other steps
together. On KVM it would write the same configuration with other disk names. The settings that the guest's next
grub-mkconfig or kernel-install reads are edited in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.bootloader import fallback, settings
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, base, kernel_of
from v2v_convert_guestfs.linux.editors import bls, debconf, devices_in, grub_cfg, grubenv, shell
from v2v_convert_guestfs.linux.editors.bls import BlsEntry
from v2v_convert_guestfs.linux.editors.grub_cfg import MenuEntry
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.linux.left_names import warn_of_untold
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

_OWN_ENTRIES = (
    "/etc/grub.d/*",
    *("/boot/grub/custom.cfg", "/boot/grub2/custom.cfg"),
)
_BLS_ENTRIES = "/boot/loader/entries/*.conf"
#: The kernel command line of the entries that kernel-install writes.
_CMDLINE = "/etc/kernel/cmdline"
#: GRUB variables that contain parts of kernel command lines.
_PARTS = re.compile(r"(?:default_)?kernelopts|tuned_params")
_MKCONFIG = ("grub-mkconfig", "grub2-mkconfig")
#: Bytes. With thirty kernels, a grub.cfg has about 200 KB.
_LIMIT = 4 * 1024 * 1024
#: More entries than any menu can show.
_MOST_ENTRIES = 100


class Grub2:
    """GRUB 2 with its configuration at ``path``."""

    name = "GRUB 2"

    def __init__(self, session: Session, files: GuestFiles, path: str) -> None:
        self._session = session
        self._files = files
        self._path = path
        self._environment = path.rpartition("/")[0] + "/grubenv"
        #: The entries as last read, or None after one of their files has been written.
        self._entries: list[BlsEntry] | None = None

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return those of the kernels that are in the menu."""
        paths = dict.fromkeys(entry.kernel for entry in self._menu())
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
        """Make a kernel the default in the menu and in the settings for the next menu.

        :raises ConversionError: the kernel is not in the menu and cannot be added, or another one stays the default.
        """
        entry = self._entry_of(kernel)
        if entry is None:
            self._offer(kernel)
            entry = self._entry_of(kernel)
        if entry is None:
            raise ConversionError(
                f"the boot menu of the guest does not contain the kernel {kernel.version}, which has virtio drivers",
                hint="run update-grub or grub2-mkconfig in the guest on its source hypervisor, and try again",
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
                hint=f"set GRUB_DEFAULT in {settings.DEFAULTS} in the guest on its source hypervisor, "
                "run update-grub or grub2-mkconfig, and try again",
            )

    def change_consoles(self, consoles: Consoles) -> None:
        """Change Xen's consoles in the settings and in the menu."""
        settings.change_consoles(self._files, consoles)
        self._edit_menu(consoles.edit, consoles.what, consoles.why)
        for path in (_CMDLINE, *self._bls_paths()):
            self._files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)
        self._entries = None
        self._edit_environment(
            lambda text: consoles.edit(text.encode("latin-1")).decode("latin-1"), consoles.what, consoles.why
        )

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the settings, custom entries, device.map, debconf's database and the menu.

        :raises ConversionError: a kernel command line in the menu still contains an old name.
        """
        what, why = RENAMED
        settings.rename_devices(self._session, self._files, names)
        for path in (found for pattern in _OWN_ENTRIES for found in self._files.glob(pattern)):
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
            # grubenv has a fixed size, and a UUID is longer than a device name.
            self._edit_environment(names.rename_in, what, why)
        for path in (self._path, *self._bls_paths(), _CMDLINE):
            warn_of_untold(self._session, path, self._files.read(path, limit=_LIMIT) or b"", names)
        left = sorted({name for line in self._command_lines() for name in names.stale_in(line)})
        if left:
            raise ConversionError(
                f"{self._path} in the guest still names {', '.join(left)} on a kernel command line",
                hint="use UUIDs there and in /etc/default/grub, run update-grub or grub2-mkconfig, and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Make sure that UEFI with an empty NVRAM finds a loader."""
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
        """Return the files of entries, or [] if grub.cfg does not use them."""
        return self._files.glob(_BLS_ENTRIES)[:_MOST_ENTRIES] if grub_cfg.uses_bls(self._read()) else []

    def _bls_entries(self) -> list[BlsEntry]:
        if self._entries is None:
            parsed = (bls.parse(path, self._files.read(path) or b"") for path in self._bls_paths())
            self._entries = bls.in_order(entry for entry in parsed if entry is not None)
        return self._entries

    def _menu(self) -> list[MenuEntry]:
        return grub_cfg.menu(self._read(), self._bls_entries())

    def _command_lines(self) -> list[str]:
        """Return the kernel command lines with their variables expanded."""
        known = {**grub_cfg.variables(self._read()), **grubenv.parse(self._read_environment())}
        return [grub_cfg.expand(entry.arguments, known) for entry in self._menu()]

    def _default(self) -> MenuEntry | None:
        saved = grubenv.parse(self._read_environment()).get("saved_entry")
        return grub_cfg.default_entry(self._read(), saved, self._bls_entries())

    def _with_own_image(self, kernel: Kernel) -> Kernel:
        entry = self._default()
        if entry is None or kernel_of(self._files, entry.kernel, [kernel]) is None:
            entry = self._entry_of(kernel)
        if entry is None:
            return kernel
        # Variables that nothing sets are empty, such as $tuned_initrd.
        known = {**grub_cfg.variables(self._read()), **grubenv.parse(self._read_environment())}
        plain = (re.sub(r"^\(\$\w+\)", "", word.strip("\"'")) for word in entry.initrd)
        words = " ".join(grub_cfg.expand(word, known) for word in plain).split()
        paths = [word for word in words if "$" not in word]
        return kernel if entry.initrd and not paths else settings.with_image(self._files, kernel, paths)

    def _entry_of(self, kernel: Kernel) -> MenuEntry | None:
        fitting = [entry for entry in self._menu() if kernel_of(self._files, entry.kernel, [kernel])]
        # Entries for recovery come last. Entries in the submenu are preferred: updates change what the first one boots.
        normal = [
            entry for entry in fitting if "single" not in entry.arguments.split() and "recovery" not in entry.path[-1]
        ]
        return max(normal or fitting, key=lambda entry: len(entry.path), default=None)

    def _save_default(self, entry: MenuEntry, what: str) -> None:
        """Save the default in grubenv, where GRUB reads it if ``default`` is ``saved``."""
        # The tools of RHEL 7 expect a title there. GRUB accepts titles and ids.
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

    def _root_by_uuid(self) -> devices_in.RootName | None:
        """Return a function that returns UUID=... for a disk, which grub-mkconfig writes as root= by default.

        It is the UUID of the file system on the disk that the entry names, not that of this guest's root: the menu may
        have entries of other systems. Return None if UUIDs cannot be used: a kernel without an initramfs does not
        support them, and the settings may forbid them.
        """
        if not grub_cfg.all_have_initramfs(self._read()) or not all(entry.initrd for entry in self._bls_entries()):
            return None
        for path in settings.setting_files(self._files):
            if shell.value(self._files.read(path) or b"", "GRUB_DISABLE_LINUX_UUID") == "true":
                return None

        def root(device: str) -> str | None:
            uuid = block_devices.file_system_uuid(self._session, device)
            return f"UUID={uuid}" if uuid else None

        return root

    def _rename_in_debconf(self, names: DeviceNames) -> None:
        database = "/var/cache/debconf/config.dat"
        self._files.edit(
            database,
            lambda data: debconf.rename_disks(data, names),
            what="the disks that grub-pc is installed on have their new names",
            why="its next upgrade would not find them",
        )

    def _offer(self, kernel: Kernel) -> None:
        """Add a kernel that is missing in the menu.

        If the menu does not use entries of the Boot Loader Specification, it is regenerated; depending on the settings,
        the new menu may use them. An entry is written as a copy of another kernel's entry: grub2-mkconfig does not
        write entries, and kernel-install would use the command line of the appliance's kernel.
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
                    what=f"an entry for the kernel {kernel.version}, copied from {base(path)}",
                    why="the kernel to boot was not in the boot menu",
                )
                self._entries = None
                return

    def _regenerate(self) -> None:
        """Regenerate the menu with the guest's own program, as a last resort. rename_devices then corrects it."""
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
                what, why = f"regenerated by {program}", "the kernel to boot was not in it"
                self._session.changed(self._path, what, why)
                if self._session.firmware is Firmware.UEFI:
                    # The appliance has a BIOS, so the program wrote a menu for a BIOS.
                    self._edit_menu(grub_cfg.for_uefi, what, why)
                return
