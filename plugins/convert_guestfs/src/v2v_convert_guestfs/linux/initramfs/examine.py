# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a kernel's initramfs: what does it lack for booting from virtio, and which old names of disks are in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.image import Image, read_image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind, kind_of
from v2v_convert_guestfs.linux.initramfs.stale import Stale, stale_files
from v2v_convert_guestfs.linux.kernels import Kernel, module_name
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

#: What it takes to reach the disk. Networks, consoles and random numbers can wait until the root file system is there.
WANTED = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
ESSENTIAL = ("virtio_pci", "virtio_blk")
#: Bytes; larger ones are left to the guest's own tools.
_LIMIT = 512 * 1024 * 1024
#: Bytes of a configuration file in one, and of all that are changed.
_FILE_LIMIT, _FILES_LIMIT = 1024 * 1024, 4 * 1024 * 1024

#: Where the tools put modules; Red Hat's mkinitrd puts them all beside each other into /lib.
_MODULE = re.compile(r"(?P<base>(?:usr/)?lib/modules/[^/]+)/.+\.ko(?:\.(?:gz|xz|zst))?|lib/[^/]+\.ko(?:\.gz)?")


@dataclass(frozen=True)
class Examination:
    """What was found in an initramfs.

    :param image: it, on the host; None if it cannot be read, and then ``unreadable`` says why.
    :param present: the names of the modules in it. :param lacking: those of WANTED that the kernel has and it has not.
    :param stale: its files that name disks by their old names. :param kind: the tool that made it.
    :param carried: files of the guest that it shall have as well; it boots without them.
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
        """Tell whether the kernel gets from it what it needs to reach a virtio disk."""
        return self.image is not None and not set(self.lacking) & set(ESSENTIAL)

    @property
    def is_fine(self) -> bool:
        """Tell whether it can stay as it is, but for what it shall carry."""
        return self.boots and not self.stale

    @property
    def extendable(self) -> bool:
        """Tell whether what is wrong can be put right in it, without the guest's tool."""
        return self.image is not None and self.kind.extendable


def lacking_modules(kernel: Kernel, present: frozenset[str]) -> tuple[str, ...]:
    """List the wanted modules that the kernel has as modules, and that are, or require what is, not present."""
    return tuple(
        name
        for name in WANTED
        if name in kernel.modules.paths
        and not kernel.builds_in(name)
        and not {module_name(path) for path in kernel.modules.closure([name])} <= present
    )


def examine(session: Session, kernel: Kernel, names: DeviceNames, directory: Path) -> Examination:
    """Bring a kernel's initramfs to the host and read it.

    :param directory: of its own, on the host.
    :raises ConversionError: it cannot be brought over.
    """
    if kernel.initramfs is None:
        raise ConversionError(f"the kernel {kernel.version} has no initramfs")
    path = directory / "initramfs"
    try:
        size = int(session.handle.filesize(kernel.initramfs))
        if size > _LIMIT:
            return Examination(kernel, size, unreadable=f"{size} bytes are too many")
        session.handle.download(kernel.initramfs, str(path))
    except RuntimeError as err:
        raise ConversionError(f"{kernel.initramfs} in the guest cannot be read: {brief(err)}") from err
    return examine_file(kernel, path, names, directory)


def examine_file(kernel: Kernel, path: Path, names: DeviceNames, directory: Path) -> Examination:
    """Read an initramfs that is on the host."""
    size = path.stat().st_size
    try:
        image = read_image(path, directory)
        present = frozenset(module_name(name) for name in image.entries() if _MODULE.fullmatch(name))
        stale = stale_files(image, names)
        kind = kind_of(image)
    except (ArchiveError, OSError) as err:
        return Examination(kernel, size, unreadable=str(err))
    return Examination(kernel, size, image, "", present, lacking_modules(kernel, present), stale, kind=kind)
