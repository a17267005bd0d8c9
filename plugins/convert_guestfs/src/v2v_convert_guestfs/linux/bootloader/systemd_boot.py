# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-boot with entries of the Boot Loader Specification, which are files on the EFI system partition.

systemd-boot loads the copies of the kernel and its initramfs that kernel-install made on this partition, so the
conversion changes these copies. Unified kernel images, single signed files with the kernel, the initramfs and the
command line, are not supported.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import fallback
from v2v_convert_guestfs.linux.bootloader.settings import NEW_DEFAULT, RENAMED, Consoles, base
from v2v_convert_guestfs.linux.editors import bls, devices_in
from v2v_convert_guestfs.linux.editors.bls import BlsEntry
from v2v_convert_guestfs.linux.kernels import Kernel, version_key
from v2v_convert_guestfs.linux.left_names import warn_of_untold
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError, Firmware

#: The kernel command line of the entries that kernel-install writes.
_CMDLINE = "/etc/kernel/cmdline"
#: More entries than any menu can show.
_MOST_ENTRIES = 100
_DEFAULT = re.compile(rb"^[ \t]*default[ \t]+(\S+)[^\n]*$", re.MULTILINE)
#: The boot counter in the file name of an entry that has not booted successfully yet. It is not part of the entry's id.
_COUNTER = re.compile(r"\+\d+(?:-\d+)?$", re.ASCII)


@dataclass(frozen=True)
class _Entry:
    """A boot entry.

    :param path: the path of its file. :param root: the mount point of the file system that paths in it refer to.
    """

    path: str
    root: str
    content: BlsEntry

    @property
    def identity(self) -> str:
        """Return the id of the entry, which ``default`` in loader.conf refers to."""
        return _COUNTER.sub("", self.content.name) + ".conf"

    def boots(self, kernel: Kernel) -> bool:
        """Return whether it boots a kernel, by the directory or name of the image, or by the stated version."""
        directory, _, name = self.content.linux.rpartition("/")
        # Arch Linux names images after packages: /boot/vmlinuz-linux.
        same = name.startswith("vmlinuz-") and name == base(kernel.image)
        versions = {base(directory), re.sub(r"^(?:vmlinuz|linux)-", "", name), self.content.version}
        return same or kernel.version in versions


def entry_files(files: GuestFiles) -> list[tuple[str, str]]:
    """Return the files of entries, each as a pair of the mount point and the path."""
    return [(root, path) for root in fallback.ESPS for path in files.glob(f"{root}/loader/entries/*.conf")]


def unified_images(files: GuestFiles) -> list[str]:
    """Return the paths of the unified kernel images in systemd-boot's menu."""
    return [path for root in fallback.ESPS for path in files.glob(f"{root}/EFI/Linux/*.efi")]


class SystemdBoot:
    """systemd-boot with at least one entry."""

    name = "systemd-boot"

    def __init__(self, session: Session, files: GuestFiles) -> None:
        self._session = session
        self._files = files

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return those of the kernels that are in the menu."""
        entries = self._entries()
        return [kernel for kernel in kernels if any(entry.boots(kernel) for entry in entries)]

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return the kernels, each with the copy of its initramfs that systemd-boot loads."""
        entries = self._entries()
        return [self._with_own_image(kernel, entries) for kernel in kernels]

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Return the kernel of the default entry, or None. Without a default in loader.conf it is the first entry."""
        entry = self._default()
        return next((kernel for kernel in kernels if entry.boots(kernel)), None) if entry else None

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the default in loader.conf.

        :raises ConversionError: the kernel is not in the menu.
        """
        entry = next((entry for entry in self._entries() if entry.boots(kernel)), None)
        if entry is None:
            raise ConversionError(
                f"the menu of systemd-boot in the guest lacks the kernel {kernel.version}, which has virtio drivers",
                hint=f"run kernel-install add {kernel.version} in the guest on its source hypervisor, and try again",
            )
        path, line = self._loader_conf(), f"default {entry.identity}".encode()

        def edit(data: bytes) -> bytes:
            return _DEFAULT.sub(line, data, count=1) if _DEFAULT.search(data) else line + b"\n" + data

        what = f"the default is the kernel {kernel.version}"
        if not self._files.edit(path, edit, what=what, why=NEW_DEFAULT) and self._files.resolve(path) is None:
            self._files.create(path, line + b"\n", mode=0o644, what=what, why=NEW_DEFAULT)

    def change_consoles(self, consoles: Consoles) -> None:
        """Change Xen's consoles in the entries, and in the command line for later entries."""
        for path in (_CMDLINE, *(entry.path for entry in self._entries())):
            self._files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in the entries, and in the command line for later entries.

        :raises ConversionError: a kernel command line still contains an old name.
        """
        what, why = RENAMED
        self._files.edit(_CMDLINE, lambda data: devices_in.kernel_cmdline(data, names), what=what, why=why)
        for entry in self._entries():
            self._files.edit(entry.path, lambda data: devices_in.kernel_lines(data, names), what=what, why=why)
        for path in (_CMDLINE, *(entry.path for entry in self._entries())):
            warn_of_untold(self._session, path, self._files.read(path) or b"", names)
        left = sorted({name for entry in self._entries() for name in names.stale_in(entry.content.options)})
        if left:
            raise ConversionError(
                f"the entries of systemd-boot in the guest still name {', '.join(left)} on a kernel command line",
                hint=f"use UUIDs there and in {_CMDLINE} in the guest on its source hypervisor, and try again",
            )

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Make sure that UEFI with an empty NVRAM finds systemd-boot, as bootctl does."""
        if firmware is Firmware.UEFI:
            fallback.ensure_systemd_boot(self._session)

    def _with_own_image(self, kernel: Kernel, entries: Sequence[_Entry]) -> Kernel:
        default = self._default()
        ordered = [*([default] if default else []), *entries]
        entry = next((entry for entry in ordered if entry.boots(kernel)), None)
        if entry is None:
            return kernel
        # The last initrd belongs to the kernel. Those before it contain microcode.
        image = entry.content.initrd[-1] if entry.content.initrd else ""
        path = f"{entry.root}/{image.lstrip('/')}" if image and ".." not in image.split("/") else ""
        return replace(kernel, initramfs=self._files.resolve(path) if path else None)

    def _entries(self) -> list[_Entry]:
        """Return the entries in the order of the menu."""
        entries = [
            _Entry(path, root, content)
            for root, path in entry_files(self._files)[:_MOST_ENTRIES]
            if (content := bls.parse(path, self._files.read(path) or b"")) is not None
        ]
        named = [entry for entry in entries if not entry.content.sort_key]
        keyed = sorted(
            (entry for entry in entries if entry.content.sort_key),
            key=lambda entry: version_key(entry.content.version),
            reverse=True,
        )
        keyed.sort(key=lambda entry: (entry.content.sort_key, entry.content.machine))
        by_name = {entry.content: entry for entry in named}
        return [*keyed, *(by_name[content] for content in bls.in_order(by_name))]

    def _default(self) -> _Entry | None:
        entries = self._entries()
        match = _DEFAULT.search(self._files.read(self._loader_conf()) or b"")
        # "@saved" refers to the NVRAM, which the new machine does not have, so it matches no entry.
        pattern = match[1].decode("latin-1") if match else ""
        fitting = [entry for entry in entries if fnmatch.fnmatchcase(entry.identity, pattern)]
        # Old versions of systemd-boot match the pattern without .conf.
        fitting += [entry for entry in entries if fnmatch.fnmatchcase(entry.identity.removesuffix(".conf"), pattern)]
        return next(iter((*fitting, *entries)), None)

    def _loader_conf(self) -> str:
        places = [f"{root}/loader/loader.conf" for root in fallback.ESPS]
        roots = [root for root, _ in entry_files(self._files)]
        return next((path for path in places if self._files.resolve(path)), f"{roots[0]}/loader/loader.conf")
