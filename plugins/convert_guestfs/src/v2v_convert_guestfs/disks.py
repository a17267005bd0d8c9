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
from collections.abc import Iterable
from contextlib import suppress

from v2v_convert_guestfs.appliance import Handle

#: Types of devices that are only a part of a volume group, an array or a pool.
_MEMBERS = frozenset({"LVM2_member", "linux_raid_member", "zfs_member", "bcache"})
#: Types of devices that must be opened with a key first.
ENCRYPTED = frozenset({"crypto_LUKS", "BitLocker"})
#: The type, here, of a logical volume that is not active: nothing can be read from it.
INACTIVE = "inactive"
#: What the appliance cannot look into although it is whole, as the end of a sentence that begins with the device.
_FOREIGN = {
    "zfs_member": "is a part of a ZFS pool, which the appliance cannot read",
    "apfs": "has the file system APFS of macOS, which the appliance cannot read",
    "hfsplus": "has the file system HFS+ of macOS",
    "ufs": "has the file system UFS of BSD or Solaris, which the appliance cannot read",
    "VMFS": "has VMware's file system VMFS: it holds virtual machines and is none",
    "VMFS_volume_member": "has VMware's file system VMFS: it holds virtual machines and is none",
    "ReFS": "has the file system ReFS of Windows, which the appliance cannot read",
    "bcachefs": "has the file system bcachefs, which the appliance cannot read",
    "bcache": "is a part of bcache, which the appliance does not start",
    "stratis": "is a part of a Stratis pool, which the appliance does not start",
    "drbd": "is a part of DRBD, which the appliance does not start",
    "vdo": "is a VDO volume, which the appliance does not start",
    "ceph_bluestore": "is the storage of a Ceph server",
    "oracleasm": "is a disk of Oracle ASM, without files for the appliance to read",
    "DM_integrity": "is protected with dm-integrity, which the appliance does not start",
    "DM_verity_hash": "holds the checksums of a dm-verity device",
    "isw_raid_member": "is a part of an Intel firmware RAID, which does not start with the given disks",
    "ddf_raid_member": "is a part of a firmware RAID (DDF), which does not start with the given disks",
    "mpath_member": "is a path to a multipath device",
}
_SECTORS = (512, 4096)
_GPT = b"EFI PART"
#: The partition types of Windows's dynamic disks: in a GPT, and in an MBR.
_DYNAMIC = frozenset(
    {uuid.UUID("5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"), uuid.UUID("AF9B60A0-1431-4F62-BC68-3311714A69AD")}
)
_DYNAMIC_MBR = 0x42
_PROTECTIVE_MBR = 0xEE
#: Partition tables of other machines: where their mark is.
_OTHER_TABLES = (
    (508, b"\xda\xbe", "Solaris (SPARC)"),
    (8192, b"\xe5\xd6\xd3\xf1", "an IBM mainframe (DASD)"),
    (4096, b"\xe5\xd6\xd3\xf1", "an IBM mainframe (DASD)"),
    (0, b"\x0b\xe5\xa9\x41", "SGI IRIX"),
    (512, b"\x57\x45\x56\x82", "BSD"),
    (0, b"RDSK", "an Amiga"),
    (512, b"PM\0\0", "an old Apple Macintosh"),
)

#: Bytes: the header in the second sector, and the usual 128 entries of 128 bytes after it, in sectors of 4 KiB.
_TABLE_SIZE = 2 * 4096 + 128 * 128


def list_filesystems(handle: Handle, *, everything: bool = False) -> dict[str, str]:
    """Return the type of each file system by its device; "unknown" where there is none.

    Encrypted devices are included; members of volume groups and arrays are not. A logical volume that LVM does not
    activate has the type ``INACTIVE``.

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
        found |= _types_of_mapped(handle, mapped)
    if dynamic:
        # libguestfs's own list has no encrypted devices.
        listed = {str(device): str(kind) for device, kind in handle.list_filesystems().items()}
        return listed | {device: kind for device, kind in found.items() if kind in ENCRYPTED}
    return {device: kind or "unknown" for device, kind in found.items() if kind not in _MEMBERS}


def _types_of_mapped(handle: Handle, devices: list[str]) -> dict[str, str]:
    """Return the type of each volume. LVM lists volumes that it does not activate, for example without all disks."""
    found, left = {}, devices
    for last in (False, True):
        for device in left:
            with suppress(RuntimeError):
                found[device] = str(handle.vfs_type(device))
        left = [device for device in devices if device not in found]
        if left and not last:
            # At its start, the appliance activates only whole groups. Of others, the volumes that are whole can be.
            with suppress(RuntimeError):
                handle.vg_activate_all(True)
    return found | dict.fromkeys(left, INACTIVE)


def is_foreign(kind: str) -> str | None:
    """Return what a device is that the appliance cannot look into, as the end of a sentence; None for other kinds."""
    return _FOREIGN.get(kind)


def partition_table(start: bytes, end: bytes) -> tuple[str, str] | None:
    """Return what is wrong with a disk on which no partition was found, and what helps; None if nothing is known.

    :param start: its beginning. :param end: its last 4096 bytes.
    """
    if any(start[sector : sector + 8] == _GPT for sector in _SECTORS):
        return "has a GPT without partitions", "check that it is the right disk"
    if end[-512:].startswith(_GPT) or end.startswith(_GPT):
        return (
            "has a damaged partition table: of its GPT only the copy at the end of the disk is left",
            "restore the table from its copy at the source, for example with gdisk",
        )
    if start[510:512] == b"\x55\xaa" and start[446 + 4] == _PROTECTIVE_MBR:
        return (
            "has lost its partition table: the protective MBR of a GPT is there, the GPT is not",
            "check that the disk was copied whole, from its beginning to its end",
        )
    for offset, magic, name in _OTHER_TABLES:
        if start[offset : offset + len(magic)] == magic:
            return (
                f"has a partition table of {name}, which the appliance does not read",
                "check that it is the right disk",
            )
    if start[32769:32774] == b"CD001":
        return "is an installation medium (ISO 9660)", "give the disk on which the guest is installed"
    return None


def sizes_of(handle: Handle, devices: Iterable[str]) -> dict[str, int]:
    """Return the sizes of devices in bytes, as far as they are known.

    That of a part of a device (``btrfsvol:…``) is not, nor that of an inactive volume.
    """
    sizes = {}
    for device in devices:
        if device.startswith("/dev/"):
            with suppress(RuntimeError):
                sizes[device] = int(handle.blockdev_getsize64(device))
    return sizes


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
