# SPDX-License-Identifier: GPL-2.0-or-later
"""List the file systems on the disks, and read partition tables.

libguestfs's own list_filesystems starts several programs for each partition and volume. Without hardware virtualization
that takes 15 seconds for one volume group, and 30 on a busy machine. So this module asks for the type of each device
itself, except where Windows has dynamic disks.
"""

from __future__ import annotations

import re
import struct
import uuid

from v2v_convert_guestfs.appliance import Handle

#: Types of devices that are only a part of a volume group, an array or a pool.
_MEMBERS = frozenset({"LVM2_member", "linux_raid_member", "zfs_member", "bcache"})
#: Types of devices that must be opened with a key first.
ENCRYPTED = frozenset({"crypto_LUKS", "BitLocker"})
_SECTORS = (512, 4096)
_GPT = b"EFI PART"
#: The partition types of Windows's dynamic disks: in a GPT, and in an MBR.
_DYNAMIC = frozenset(
    {uuid.UUID("5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"), uuid.UUID("AF9B60A0-1431-4F62-BC68-3311714A69AD")}
)
_DYNAMIC_MBR = 0x42

#: Bytes: the header in the second sector, and the usual 128 entries of 128 bytes after it, in sectors of 4 KiB.
_TABLE_SIZE = 2 * 4096 + 128 * 128


def list_filesystems(handle: Handle, *, everything: bool = False) -> dict[str, str]:
    """Return the type of each file system by its device; "unknown" where there is none.

    Encrypted devices are included; members of volume groups and arrays are not.

    :param everything: include mapped devices even if there are neither volume groups nor arrays.
    :raises RuntimeError: libguestfs's.
    """
    partitions = [str(partition) for partition in handle.list_partitions()]
    disks = [str(disk) for disk in handle.list_devices()]
    divided = {re.sub(r"(?<=\d)p\d+$|\d+$", "", partition) for partition in partitions}
    whole = [disk for disk in disks if disk not in divided]
    found = {device: str(handle.vfs_type(device)) for device in (*whole, *partitions)}
    dynamic = any(is_dynamic(bytes(handle.pread_device(disk, _TABLE_SIZE, 0))) for disk in disks)
    if everything or dynamic or _MEMBERS & set(found.values()):
        mapped = [str(device) for device in (*handle.lvs(), *handle.list_md_devices(), *handle.list_dm_devices())]
        found |= {device: str(handle.vfs_type(device)) for device in mapped}
    if dynamic:
        # libguestfs's own list has no encrypted devices.
        listed = {str(device): str(kind) for device, kind in handle.list_filesystems().items()}
        return listed | {device: kind for device, kind in found.items() if kind in ENCRYPTED}
    return {device: kind or "unknown" for device, kind in found.items() if kind not in _MEMBERS}


def gpt_types(handle: Handle, disk: str) -> frozenset[uuid.UUID]:
    """Return the partition types of a disk with a GPT; nothing for other disks.

    :raises RuntimeError: libguestfs's.
    """
    return parse_gpt(bytes(handle.pread_device(disk, _TABLE_SIZE, 0)))


def parse_gpt(start: bytes) -> frozenset[uuid.UUID]:
    """Return the partition types in the beginning of a disk; nothing if it has no GPT or a damaged one."""
    for sector in _SECTORS:
        header = start[sector : sector + 92]
        if len(header) == 92 and header.startswith(_GPT):
            first, count, size = struct.unpack_from("<QII", header, 72)
            offset = first * sector
            if size < 128 or offset < 2 * sector:
                return frozenset()
            entries = (start[offset + i * size : offset + i * size + 16] for i in range(min(count, 1024)))
            return frozenset(uuid.UUID(bytes_le=entry) for entry in entries if len(entry) == 16 and any(entry))
    return frozenset()


def is_dynamic(start: bytes) -> bool:
    """Return whether the beginning of a disk is that of a dynamic disk of Windows."""
    mbr = start[:512]
    types = {mbr[446 + 16 * i + 4] for i in range(4)} if mbr[510:512] == b"\x55\xaa" else set()
    return _DYNAMIC_MBR in types or bool(_DYNAMIC & parse_gpt(start))
