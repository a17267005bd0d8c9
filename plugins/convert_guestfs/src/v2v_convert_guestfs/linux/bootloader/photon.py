# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB 2 of Photon OS: one entry, whose kernel is in variables.

grub.cfg has a line ``linux /boot/$photon_linux root=$rootpartition $photon_cmdline``. The variables are in
``/boot/photon.cfg``, a link to the file of the kernel that boots: each kernel has one, ``/boot/linux-VERSION.cfg``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.bootloader import fallback, settings
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, base
from v2v_convert_guestfs.linux.editors import devices_in, grubenv
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.linux.left_names import warn_of_untold
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

_CHOSEN = "/boot/photon.cfg"
_OF_KERNELS = "/boot/*.cfg"
#: Variables that systemd's package and the administrator set.
_SYSTEMD = "/boot/systemd.cfg"
_MENU_LIMIT = 4 * 1024 * 1024
_ROOT = re.compile(
    r"^(?P<before>[ \t]*set[ \t]+rootpartition=)(?P<quote>[\"']?)(?P<device>/dev/[^\s\"']+)", re.M | re.A
)


def uses_variables(files: GuestFiles, path: str) -> bool:
    """Return whether the kernel in a grub.cfg is in Photon OS's variables."""
    data = files.read(path, limit=_MENU_LIMIT) or b""
    return re.search(rb"^[ \t]*linux(?:16|efi)?[ \t]+\S*\$\{?photon_linux\b", data, re.MULTILINE) is not None


class Photon:
    """Photon OS's GRUB 2 with its menu at ``path``."""

    name = "GRUB 2"

    def __init__(self, session: Session, files: GuestFiles, path: str) -> None:
        self._session = session
        self._files = files
        self._path = path

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return those of the kernels that have a file with variables."""
        return [kernel for kernel in kernels if self._file_of(kernel)]

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return the kernels, each with the initramfs that its file names, if that exists."""
        return [self._with_own_image(kernel) for kernel in kernels]

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Return the kernel whose file photon.cfg is, or None."""
        image = self._variables(_CHOSEN).get("photon_linux")
        return next((kernel for kernel in kernels if base(kernel.image) == image), None)

    def set_default(self, kernel: Kernel) -> None:
        """Make photon.cfg a link to the file of a kernel, as the packages of kernels do.

        :raises ConversionError: the kernel has no such file.
        """
        path = self._file_of(kernel)
        if path is None:
            raise ConversionError(
                f"the kernel {kernel.version}, which has virtio drivers, has no file in {_OF_KERNELS} of the guest",
                hint="install its package again in the guest on its source hypervisor, and try again",
            )
        self._files.link(base(path), _CHOSEN, what=f"the default is the kernel {kernel.version}", why=NEW_DEFAULT)

    def change_consoles(self, consoles: Consoles) -> None:
        """Change Xen's consoles in the menu and in the variables."""
        for path in (self._path, *self._files_with_variables()):
            self._files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the menu and in the variables.

        :raises ConversionError: one of them still contains an old name.
        """
        what, why = RENAMED

        def root(match: re.Match[str]) -> str:
            argument = devices_in.command_line(f"root={match['device']}", names, root=self._by_uuid)
            return match["before"] + match["quote"] + argument.removeprefix("root=")

        def edit_menu(data: bytes) -> bytes:
            text = _ROOT.sub(root, data.decode("latin-1"))
            return devices_in.kernel_lines(text.encode("latin-1"), names, root=self._by_uuid)

        self._edit_menu(edit_menu, what, why)
        for path in self._files_with_variables():
            self._files.edit(
                path,
                lambda data: devices_in.kernel_arguments(data, names),
                what=what,
                why=why,
            )
        for path in (self._path, *self._files_with_variables()):
            warn_of_untold(self._session, path, self._files.read(path, limit=_MENU_LIMIT) or b"", names)
        left = sorted({name for line in self._lines() for name in names.stale_in(line)})
        if left:
            raise ConversionError(
                f"{self._path} in the guest still names {', '.join(left)} for the kernel",
                hint="use a PARTUUID or UUID there in the guest on its source hypervisor, and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Make sure that UEFI with an empty NVRAM finds a loader."""
        if firmware is Firmware.UEFI:
            fallback.ensure(self._session, self._files)

    def _by_uuid(self, device: str) -> str | None:
        """Return the UUID for root=. Without an initramfs, as some kernels boot, the kernel knows only the name."""
        if not all(self._has_image(path) for path in self._files_of_kernels()):
            return None
        uuid = block_devices.file_system_uuid(self._session, device)
        return f"UUID={uuid}" if uuid else None

    def _edit_menu(self, edit: Callable[[bytes], bytes], what: str, why: str) -> None:
        old = self._files.read(self._path, limit=_MENU_LIMIT)
        if old is None:
            raise ConversionError(f"{self._path} in the guest cannot be read")
        new = edit(old)
        if new != old:
            self._files.replace(self._path, new, what=what, why=why)

    def _lines(self) -> list[str]:
        menu = (self._files.read(self._path, limit=_MENU_LIMIT) or b"").decode("latin-1").split("\n")
        lines = [line for line in menu if re.match(r"[ \t]*(?:linux\w*[ \t]|set[ \t]+rootpartition=)", line)]
        return lines + [value for path in self._files_with_variables() for value in self._variables(path).values()]

    def _variables(self, path: str) -> dict[str, str]:
        return grubenv.parse(self._files.read(path) or b"")

    def _files_of_kernels(self) -> list[str]:
        """Return the files with variables, each once: photon.cfg is a link to one of them."""
        paths = (self._files.resolve(path) for path in self._files.glob(_OF_KERNELS))
        return list(dict.fromkeys(path for path in paths if path and "photon_linux" in self._variables(path)))

    def _files_with_variables(self) -> list[str]:
        return [*self._files_of_kernels(), _SYSTEMD]

    def _file_of(self, kernel: Kernel) -> str | None:
        name = base(kernel.image)
        return next((path for path in self._files_of_kernels() if self._variables(path)["photon_linux"] == name), None)

    def _has_image(self, path: str) -> bool:
        image = self._variables(path).get("photon_initrd", "")
        return bool(image) and self._files.resolve(f"/boot/{image}") is not None

    def _with_own_image(self, kernel: Kernel) -> Kernel:
        path = self._file_of(kernel)
        if path is None:
            return kernel
        # grub.cfg loads an initramfs only if it exists.
        paths = [f"/{self._variables(path)['photon_initrd']}"] if self._has_image(path) else []
        return settings.with_image(self._files, kernel, paths)
