# SPDX-License-Identifier: GPL-2.0-or-later
"""The logical blocks of the guest's disks, in which partition tables count: 512 bytes, or 4096 ("4Kn").

An image does not say it, but the place of a GPT does: it begins with the second block.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import ExitStack

from v2v_convert_guestfs.appliance import Appliance, Handle, brief
from v2v_core.api import ConversionError, ConvertRequest

SIZES = (512, 4096)
_GPT = b"EFI PART"
_HEADER_SIZES = range(92, 4097)


def open_appliance(request: ConvertRequest, stack: ExitStack) -> tuple[Handle, tuple[int, ...]]:
    """Start an appliance that sees the disks with the blocks that the guest has on them.

    Only the appliance can look at the disks. If a disk is not what the source says, another appliance is started.

    :return: the handle, and the size of a logical block of each disk in bytes.
    :raises ConversionError: a disk cannot be opened, or the appliance does not start.
    """
    stated = tuple(_stated(request, endpoint.index) for endpoint in request.disks)
    sizes = tuple(size if size in SIZES else 512 for size in stated)
    with ExitStack() as first:
        handle = first.enter_context(Appliance(request, _unless_usual(sizes))).handle
        found = find_sizes(request, handle, stated)
        if found == sizes:
            stack.push(first.pop_all())
            return handle, found
    return stack.enter_context(Appliance(request, _unless_usual(found))).handle, found


def find_sizes(request: ConvertRequest, handle: Handle, stated: Sequence[int | None]) -> tuple[int, ...]:
    """Return the size of a logical block of each disk: where its GPT is, else what the source says, else 512.

    :raises ConversionError: the source says a size that libguestfs cannot give a disk.
    """
    sizes = []
    for endpoint, device, size in zip(request.disks, handle.list_devices(), stated, strict=False):
        try:
            start = bytes(handle.pread_device(device, 3 * SIZES[-1], 0))
        except RuntimeError as err:
            request.report.debug(f"disk {endpoint.index}: {brief(err)}")
            start = b""
        found = block_size_of(start)
        if found is None and size is not None and size not in SIZES:
            raise ConversionError(
                f"disk {endpoint.index} has logical blocks of {size} bytes: the appliance of libguestfs can only have "
                "disks with 512 or 4096",
                hint="move the guest at the source to a disk with blocks of 512 bytes",
            )
        if found is not None and size is not None and found != size:
            request.report.warning(
                f"the source says that disk {endpoint.index} has logical blocks of {size} bytes, its partition table "
                f"counts in blocks of {found}: the disk gets {found}, and the guest finds its partitions"
            )
        elif found is not None and size is None and found != SIZES[0]:
            request.report.info(
                f"Disk {endpoint.index} has logical blocks of {found} bytes (4Kn), as its partition table shows"
            )
        sizes.append(found or size or SIZES[0])
    return tuple(sizes)


def block_size_of(start: bytes) -> int | None:
    """Return the size of a logical block of a disk with a GPT; None for other disks.

    :param start: the first 12 KiB of the disk.
    """
    for size in SIZES:
        header = start[size : size + 92]
        if len(header) < 92 or not header.startswith(_GPT):
            continue
        length, own = struct.unpack_from("<I", header, 12)[0], struct.unpack_from("<Q", header, 24)[0]
        # Old headers may be left elsewhere. This one says that it is in the second block.
        if length in _HEADER_SIZES and own == 1:
            return size
    return None


def _stated(request: ConvertRequest, index: int) -> int | None:
    return next((disk.block_size for disk in request.guest.disks if disk.index == index), None)


def _unless_usual(sizes: Sequence[int]) -> Sequence[int]:
    return sizes if any(size != SIZES[0] for size in sizes) else ()
