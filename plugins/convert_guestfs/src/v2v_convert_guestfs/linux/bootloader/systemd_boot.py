# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-boot with entries of the Boot Loader Specification, which are files on the EFI system partition.

It starts what lies there: kernel-install has copied the kernel and its initramfs, and those copies are what is changed.
Unified kernel images, which have the initramfs and the command line in one signed file, are not supported.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import bls, devices_in
from v2v_convert_guestfs.editors.bls import BlsEntry
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import fallback
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, base
from v2v_convert_guestfs.linux.kernels import Kernel, version_key
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

#: The kernel command line of the entries that kernel-install makes.
_CMDLINE = "/etc/kernel/cmdline"
#: More entries than any menu can show.
_MOST_ENTRIES = 100
_DEFAULT = re.compile(rb"^[ \t]*default[ \t]+(\S+)[^\n]*$", re.MULTILINE)
#: What counts the starts of an entry that has not succeeded yet; it is no part of the entry's name.
_COUNTER = re.compile(r"\+\d+(?:-\d+)?$", re.ASCII)


@dataclass(frozen=True)
class _Entry:
    """An entry.

    :param path: of its file. :param root: the mount point of the file system that its paths begin at.
    """

    path: str
    root: str
    says: BlsEntry

    @property
    def identity(self) -> str:
        """Give the name by which ``default`` in loader.conf means it."""
        return _COUNTER.sub("", self.says.name) + ".conf"

    def boots(self, kernel: Kernel) -> bool:
        """Tell whether it boots a kernel: by the directory, by the name of the image, or by what it says."""
        directory, _, name = self.says.linux.rpartition("/")
        return kernel.version in {base(directory), re.sub(r"^(?:vmlinuz|linux)-", "", name), self.says.version}


def entry_files(files: GuestFiles) -> list[tuple[str, str]]:
    """List the mount points that systemd-boot reads entries from, and the files of the entries."""
    return [(root, path) for root in fallback.ESPS for path in files.glob(f"{root}/loader/entries/*.conf")]


def unified_images(files: GuestFiles) -> list[str]:
    """List the unified kernel images that systemd-boot offers."""
    return [path for root in fallback.ESPS for path in files.glob(f"{root}/EFI/Linux/*.efi")]


class SystemdBoot:
    """systemd-boot, which has at least one entry."""

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Give those of the kernels that it offers."""
        entries = self._entries()
        return [kernel for kernel in kernels if any(entry.boots(kernel) for entry in entries)]

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Give the kernels with the initramfs that is loaded: the copy beside the kernel's."""
        entries = self._entries()
        return [self._with_own_image(kernel, entries) for kernel in kernels]

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Give the kernel of the entry that it boots by itself: that of loader.conf, or the first."""
        entry = self._default()
        return next((kernel for kernel in kernels if entry.boots(kernel)), None) if entry else None

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the default in loader.conf.

        :raises ConversionError: it is not offered.
        """
        entry = next((entry for entry in self._entries() if entry.boots(kernel)), None)
        if entry is None:
            raise ConversionError(
                f"systemd-boot of the guest does not offer the kernel {kernel.version}, which has virtio drivers",
                hint=f"run kernel-install add {kernel.version} in the guest at its hypervisor and try again",
            )
        path, line = self._loader_conf(), f"default {entry.identity}".encode()

        def edit(data: bytes) -> bytes:
            return _DEFAULT.sub(line, data, count=1) if _DEFAULT.search(data) else line + b"\n" + data

        what = f"the default is the kernel {kernel.version}"
        if not self._files.edit(path, edit, what=what, why=NEW_DEFAULT) and self._files.resolve(path) is None:
            self._files.create(path, line + b"\n", mode=0o644, what=what, why=NEW_DEFAULT)

    def change_consoles(self, consoles: Consoles) -> None:
        """Change the consoles of Xen in the entries and in what the next ones are made from."""
        for path in (_CMDLINE, *(entry.path for entry in self._entries())):
            self._files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the entries, and in what the next ones are made from.

        :raises ConversionError: an old name is left on a kernel command line.
        """
        what, why = RENAMED
        self._files.edit(_CMDLINE, lambda data: devices_in.kernel_cmdline(data, names), what=what, why=why)
        for entry in self._entries():
            self._files.edit(entry.path, lambda data: devices_in.kernel_lines(data, names), what=what, why=why)
        left = sorted({name for entry in self._entries() for name in names.stale_in(entry.says.options)})
        if left:
            raise ConversionError(
                f"the entries of systemd-boot in the guest still name {', '.join(left)} on a kernel command line",
                hint=f"use UUIDs there and in {_CMDLINE} in the guest at its hypervisor and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Put it where firmware with an empty NVRAM looks for a loader; bootctl does so, too."""
        if firmware is Firmware.UEFI:
            fallback.ensure_systemd_boot(self._session)

    def _with_own_image(self, kernel: Kernel, entries: Sequence[_Entry]) -> Kernel:
        entry = next((entry for entry in entries if entry.boots(kernel)), None)
        if entry is None:
            return kernel
        # The last one is the kernel's, those before it are microcode.
        image = entry.says.initrd[-1] if entry.says.initrd else ""
        path = f"{entry.root}/{image.lstrip('/')}" if image and ".." not in image.split("/") else ""
        return replace(kernel, initramfs=self._files.resolve(path) if path else None)

    def _entries(self) -> list[_Entry]:
        """Read the entries, in the order of the menu."""
        found = [
            _Entry(path, root, says)
            for root, path in entry_files(self._files)[:_MOST_ENTRIES]
            if (says := bls.parse(path, self._files.read(path) or b"")) is not None
        ]
        named = [entry for entry in found if not entry.says.sort_key]
        keyed = sorted(
            (entry for entry in found if entry.says.sort_key),
            key=lambda entry: version_key(entry.says.version),
            reverse=True,
        )
        keyed.sort(key=lambda entry: (entry.says.sort_key, entry.says.machine))
        by_name = {entry.says: entry for entry in named}
        return [*keyed, *(by_name[says] for says in bls.in_order(by_name))]

    def _default(self) -> _Entry | None:
        entries = self._entries()
        match = _DEFAULT.search(self._files.read(self._loader_conf()) or b"")
        # "@saved" is in the NVRAM, and the new machine has another one.
        pattern = match[1].decode("latin-1") if match else ""
        fitting = [entry for entry in entries if fnmatch.fnmatchcase(entry.identity, pattern)]
        # Older versions have patterns without .conf.
        fitting += [entry for entry in entries if fnmatch.fnmatchcase(entry.identity.removesuffix(".conf"), pattern)]
        return next(iter((*fitting, *entries)), None)

    def _loader_conf(self) -> str:
        places = [f"{root}/loader/loader.conf" for root in fallback.ESPS]
        roots = [root for root, _ in entry_files(self._files)]
        return next((path for path in places if self._files.resolve(path)), f"{roots[0]}/loader/loader.conf")
