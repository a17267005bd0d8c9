# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine a kernel's initramfs: the drivers that it lacks for reaching its disks, and the old disk names in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.drivers import essential, incomplete, wanted
from v2v_convert_guestfs.linux.initramfs.image import Image, read_image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind, kind_of, packed_in
from v2v_convert_guestfs.linux.initramfs.stale import Stale, stale_files
from v2v_convert_guestfs.linux.kernels import Kernel, module_name
from v2v_convert_guestfs.session import Session
from v2v_core.api import Bus, ConversionError

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
    :param lacking: the modules for its disks that the kernel has, and the image does not contain.
    :param stale: its files that contain old disk names. :param kind: the tool that made it.
    :param carried: files of the guest to be added to it. It boots without them.
    :param bus: that the target's disks are on.
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
    bus: Bus = Bus.VIRTIO_BLK

    @property
    def boots(self) -> bool:
        """Return whether it contains the drivers that the kernel needs to reach its disks."""
        return self.image is not None and not set(self.lacking) & set(essential(self.kernel, self.bus, self.present))

    @property
    def is_fine(self) -> bool:
        """Return whether it needs no changes, apart from the carried files."""
        return self.boots and not self.stale

    @property
    def extendable(self) -> bool:
        """Return whether the image can be corrected on the host, without the guest's tool."""
        return self.image is not None and self.kind.extendable


def lacking_modules(kernel: Kernel, present: frozenset[str], bus: Bus = Bus.VIRTIO_BLK) -> tuple[str, ...]:
    """Return the drivers for disks on the bus that are incomplete in an image.

    Those of other devices can be loaded from the root file system later.
    """
    return incomplete(kernel, wanted(kernel, bus, present), present)


def examine(
    session: Session, kernel: Kernel, names: DeviceNames, directory: Path, bus: Bus = Bus.VIRTIO_BLK
) -> Examination:
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
            return Examination(kernel, size, unreadable=f"it is too large: {size} bytes", bus=bus)
        session.handle.download(kernel.initramfs, str(path))
    except RuntimeError as err:
        raise ConversionError(f"{kernel.initramfs} in the guest cannot be read: {brief(err)}") from err
    return examine_file(kernel, path, names, directory, bus)


def examine_file(
    kernel: Kernel, path: Path, names: DeviceNames, directory: Path, bus: Bus = Bus.VIRTIO_BLK
) -> Examination:
    """Examine an initramfs that is on the host."""
    size = path.stat().st_size
    try:
        image = read_image(path, directory)
        if packed := packed_in(image):
            reason = f"dracut's module squash has put its files into {packed}, so it must be made without that module"
            return Examination(kernel, size, unreadable=reason, kind=Kind.DRACUT, bus=bus)
        present = frozenset(
            module_name(name)
            for name, (_, entry) in image.entries().items()
            if _MODULE.fullmatch(name) and (not entry.is_symlink or image.resolve(name) is not None)
        )
        stale = stale_files(image, names)
        kind = kind_of(image)
    except (ArchiveError, OSError) as err:
        return Examination(kernel, size, unreadable=str(err), bus=bus)
    lacking = lacking_modules(kernel, present, bus)
    return Examination(kernel, size, image, "", present, lacking, stale, kind=kind, bus=bus)
