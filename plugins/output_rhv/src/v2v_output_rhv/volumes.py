# SPDX-License-Identifier: GPL-2.0-or-later
"""What VDSM's storage on files asks of volumes: how many there may be, their sizes, and a ``.meta`` file beside each.

The keys of a ``.meta`` file are those of VDSM's ``volumemetadata.py``, before version 5 of the storage format, which
counts bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from v2v_core.api import DestinationError, SourceDisk, TargetDisk
from v2v_output_rhv.generator import generator
from v2v_output_rhv.ovf import OvfDisk
from v2v_output_rhv.ovf.tree import NO_UUID

#: As many as a virtual machine of oVirt has places for.
MOST_DISKS = 23
_SECTOR = 512
#: The type of a disk that is neither a template's nor a snapshot's.
_DATA_DISK = 2
#: ``=`` ends a key, and a line ends a value.
_NOT_VALUE = re.compile("[=\x00-\x1f\x7f]")


def check_disks(mode: str, disks: Sequence[SourceDisk | TargetDisk]) -> None:
    """Make sure that oVirt can take these disks; a size that is not known yet is not looked at.

    :param mode: of the output, for the error.
    :raises DestinationError: it cannot.
    """
    if len(disks) > MOST_DISKS:
        raise DestinationError(
            f"{mode}: the guest has {len(disks)} disks, and oVirt takes at most {MOST_DISKS}",
            hint="detach disks from the guest, and attach them in oVirt",
        )
    for disk in disks:
        if disk.size is not None and disk.size % _SECTOR:
            raise DestinationError(
                f"{mode}: disk {disk.index} has {disk.size} bytes, and VDSM counts in sectors of {_SECTOR}",
                hint=f"enlarge the disk to {-(-disk.size // _SECTOR) * _SECTOR} bytes, as with qemu-img resize",
            )


def volume_metadata(disk: OvfDisk, *, storage_domain_id: str, created: datetime) -> bytes:
    """Give the content of the ``.meta`` file of a volume.

    :raises DestinationError: a format or an allocation that oVirt does not know.
    """
    time = int(created.timestamp())
    values = {
        "DOMAIN": storage_domain_id,
        "VOLTYPE": "LEAF",
        "CTIME": time,
        "MTIME": time,
        "IMAGE": disk.image_id,
        "DISKTYPE": _DATA_DISK,
        "PUUID": NO_UUID,
        "LEGALITY": "LEGAL",
        "POOL_UUID": "",
        "SIZE": disk.size // _SECTOR,
        "FORMAT": disk.volume_format,
        # upper case here, and mixed case in the OVF
        "TYPE": disk.volume_type.upper(),
        "DESCRIPTION": generator(),
    }
    lines = [f"{key}={_NOT_VALUE.sub('_', str(value))}\n" for key, value in values.items()]
    return "".join([*lines, "EOF\n"]).encode()
