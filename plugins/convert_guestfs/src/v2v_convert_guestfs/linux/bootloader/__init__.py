# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot loader: the interface that the conversion needs, and the choice of the one that the guest boots with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.firmware import installed_grub
from v2v_convert_guestfs.linux.bootloader import photon, places
from v2v_convert_guestfs.linux.bootloader.extlinux import Extlinux, extlinux_starts, find_extlinux
from v2v_convert_guestfs.linux.bootloader.grub2 import Grub2
from v2v_convert_guestfs.linux.bootloader.grub_legacy import GrubLegacy
from v2v_convert_guestfs.linux.bootloader.settings import Consoles
from v2v_convert_guestfs.linux.bootloader.systemd_boot import SystemdBoot, entry_files, unified_images
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Firmware

#: Files of boot loaders that are not supported, and the text about them in the error.
_OTHERS = {
    "/boot/grub/menu.lst": "GRUB legacy and a menu without a Linux kernel",
    "/boot/grub/grub.conf": "GRUB legacy and a menu without a Linux kernel",
    "/boot/efi/loader/loader.conf": "systemd-boot",
    "/efi/loader/loader.conf": "systemd-boot",
    "/boot/loader/loader.conf": "systemd-boot",
    "/etc/elilo.conf": "ELILO",
    "/etc/lilo.conf": "LILO",
    "/boot/extlinux/extlinux.conf": "extlinux and a configuration without a Linux kernel",
    "/boot/extlinux.conf": "extlinux and a configuration without a Linux kernel",
    "/boot/limine.conf": "Limine",
    "/boot/limine/limine.conf": "Limine",
    "/boot/refind_linux.conf": "rEFInd",
}


class Bootloader(Protocol):
    """The interface that the conversion needs from a boot loader."""

    #: For the user.
    name: str

    def bootable(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return those of the kernels that are in the boot menu, in the given order."""

    def with_own_images(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Return the kernels, each with the initramfs that the boot loader loads.

        That of the default entry counts, then that of another entry for the kernel. It may be a copy of the one that
        the guest's tools make, or have another name. It is None if the entry loads none.
        """

    def default_kernel(self, kernels: Sequence[Kernel]) -> Kernel | None:
        """Return the kernel that boots if the user does not choose one, or None if unknown."""

    def set_default(self, kernel: Kernel) -> None:
        """Make a kernel the one that boots if the user does not choose one.

        :raises ConversionError: the kernel cannot be made the default.
        """

    def change_consoles(self, consoles: Consoles) -> None:
        """Change Xen's consoles on the kernel command lines."""

    def rename_devices(self, names: DeviceNames) -> None:
        """Rename disks in all files of the boot loader.

        :raises ConversionError: a kernel command line still contains an old name.
        """

    def ensure_fallback(self, firmware: Firmware) -> None:
        """Make sure that a machine with an empty NVRAM boots the guest."""


def find_bootloader(session: Session, files: GuestFiles, blockers: Blockers) -> Bootloader | None:
    """Return the guest's boot loader. If there is no supported one, add a blocker and return None."""
    if places.systemd_boot_starts(session):
        unified = unified_images(files)
        if entry_files(files) and not unified:
            return SystemdBoot(session, files)
        grub2 = legacy = None
        if unified:
            blockers.add(
                f"the guest boots with systemd-boot from a unified kernel image, {unified[0]}, which cannot be changed",
                "make kernel-install in the guest write entries (layout=bls in /etc/kernel/install.conf), and remove "
                "the unified images",
            )
            return None
    else:
        grub2, legacy = places.find_grub2(session, files), places.find_grub_legacy(session, files)
        extlinux = find_extlinux(session, files)
        if extlinux and (not (grub2 or legacy) or (installed_grub(session) is None and extlinux_starts(session))):
            return Extlinux(session, files, extlinux)
    if (grub2 or legacy) and session.firmware is Firmware.BIOS and installed_grub(session) is None:
        session.report.warning(
            "no boot sector of the guest contains GRUB, so a BIOS may not find it (was it a paravirtual Xen guest?): "
            "if the converted guest does not boot, install GRUB from a rescue system"
        )
    if legacy is not None and (grub2 is None or places.legacy_is_installed(session, legacy, grub2)):
        return GrubLegacy(session, files, legacy)
    if grub2 is not None:
        variables = photon.uses_variables(files, grub2)
        return photon.Photon(session, files, grub2) if variables else Grub2(session, files, grub2)
    others = sorted({name for path, name in _OTHERS.items() if files.resolve(path)})
    blockers.add(
        f"the guest boots with {', '.join(others)}, which is not supported"
        if others
        else "no boot loader was found: there is no configuration of GRUB in /boot of the guest",
        "install GRUB 2 in the guest" if others else "check that /boot of the guest is on one of the given disks",
    )
    return None
