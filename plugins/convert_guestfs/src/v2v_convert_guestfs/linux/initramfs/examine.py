# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine a kernel's initramfs: the drivers that it lacks for booting from virtio, and the old disk names in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.image import Image, read_image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind, kind_of, packed_in
from v2v_convert_guestfs.linux.initramfs.stale import Stale, stale_files
from v2v_convert_guestfs.linux.kernels import Kernel, module_name
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

#: Drivers that are needed to reach the disk. Those of other devices can be loaded from the root file system later.
WANTED = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
ESSENTIAL = ("virtio_pci", "virtio_blk")
#: Bytes. Larger images are not read: the guest's own tool must rebuild them.
_LIMIT = 512 * 1024 * 1024
#: Bytes of one configuration file in an image, and of all that are changed.
_FILE_LIMIT, _FILES_LIMIT = 1024 * 1024, 4 * 1024 * 1024

#: The locations of modules in an image. Red Hat's mkinitrd puts all of them directly into /lib.
_MODULE = re.compile(r"(?P<base>(?:usr/)?lib/modules/[^/]+)/.+\.ko(?:\.(?:gz|xz|zst))?|lib/[^/]+\.ko(?:\.gz)?")


@dataclass(frozen=True)
class Examination:
    """The result of examining an initramfs.

    :param size: of the image in the guest, in bytes.
    :param image: the image on the host, or None if it cannot be read; then ``unreadable`` is the reason.
    :param present: the names of the modules in it.
    :param lacking: those modules of WANTED that the kernel has, and the image does not contain.
    :param stale: its files that contain old disk names. :param kind: the tool that made it, if that is known.
    :param carried: files of the guest to be added to it. It boots without them.
    """

    kernel: Kernel
    size: int = 0
    image: Image | None = None
    unreadable: str = ""
    present: frozenset[str] = frozenset()
    lacking: tuple[str, ...] = ()
    stale: Stale = field(default_factory=Stale)
    carried: Mapping[str, bytes] = field(default_factory=dict)
    kind: Kind = Kind.UNKNOWN

    @property
    def boots(self) -> bool:
        """Return whether it contains the drivers that the kernel needs to reach a virtio disk."""
        return self.image is not None and not set(self.lacking) & set(ESSENTIAL)

    @property
    def is_fine(self) -> bool:
        """Return whether it needs no changes, apart from the carried files."""
        return self.boots and not self.stale

    @property
    def extendable(self) -> bool:
        """Return whether the image can be corrected on the host, without the guest's tool."""
        return self.image is not None and self.kind.extendable


def lacking_modules(kernel: Kernel, present: frozenset[str]) -> tuple[str, ...]:
    """Return the modules of WANTED that are incomplete in an image: the module itself or a dependency is missing.

    Drivers that are built into the kernel, or that the kernel does not have, are left out.
    """
    return tuple(
        name
        for name in WANTED
        if name in kernel.modules.paths
        and not kernel.builds_in(name)
        and not {module_name(path) for path in kernel.modules.closure([name])} <= present
    )


def examine(session: Session, kernel: Kernel, names: DeviceNames, directory: Path) -> Examination:
    """Download a kernel's initramfs to the host and examine it.

    :param directory: an empty directory on the host, for this image alone.
    :raises ConversionError: it cannot be downloaded.
    """
    if kernel.initramfs is None:
        raise ConversionError(f"the kernel {kernel.version} has no initramfs")
    path = directory / "initramfs"
    try:
        size = int(session.handle.filesize(kernel.initramfs))
        if size > _LIMIT:
            return Examination(kernel, size, unreadable=f"it is too large: {size} bytes")
        session.handle.download(kernel.initramfs, str(path))
    except RuntimeError as err:
        raise ConversionError(f"{kernel.initramfs} in the guest cannot be read: {brief(err)}") from err
    return examine_file(kernel, path, names, directory)


def examine_file(kernel: Kernel, path: Path, names: DeviceNames, directory: Path) -> Examination:
    """Examine an initramfs that is on the host."""
    size = path.stat().st_size
    try:
        image = read_image(path, directory)
        if packed := packed_in(image):
            reason = f"dracut's module squash has put its files into {packed}, so it must be made without that module"
            return Examination(kernel, size, unreadable=reason, kind=Kind.DRACUT)
        present = frozenset(module_name(name) for name in image.entries() if _MODULE.fullmatch(name))
        stale = stale_files(image, names)
        kind = kind_of(image)
    except (ArchiveError, OSError) as err:
        return Examination(kernel, size, unreadable=str(err))
    return Examination(kernel, size, image, "", present, lacking_modules(kernel, present), stale, kind=kind)
