# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes in file-based storage of VDSM: their sizes, and the ``.meta`` file beside each.

The keys of a ``.meta`` file are those in VDSM's ``volumemetadata.py`` up to version 4 of the storage format. Version 5
counts bytes where these versions count sectors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from v2v_core.api import DestinationError, SourceDisk
from v2v_output_rhv.ovf import OvfDisk
from v2v_output_rhv.ovf.tree import NO_UUID, generator

_SECTOR = 512
#: The type of a disk that belongs neither to a template nor to a snapshot.
_DATA_DISK = 2
#: ``=`` ends a key, and a line ends a value.
_NOT_VALUE = re.compile("[=\x00-\x1f\x7f]")


def check_sizes(mode: str, disks: Sequence[SourceDisk]) -> None:
    """Check that VDSM can store disks of these sizes.

    :param mode: the output, such as ``-o vdsm``, for the error.
    :raises DestinationError: a size is not a multiple of a sector.
    """
    for disk in disks:
        if disk.size is not None and disk.size % _SECTOR:
            raise DestinationError(
                f"{mode}: disk {disk.index} has {disk.size} bytes, and VDSM counts in sectors of {_SECTOR}",
                hint=f"enlarge the disk to {-(-disk.size // _SECTOR) * _SECTOR} bytes, as with qemu-img resize",
            )


def meta_file(volume: Path) -> Path:
    """Return the ``.meta`` file of a volume."""
    return volume.with_name(f"{volume.name}.meta")


def volume_metadata(disk: OvfDisk, *, storage_domain_id: str, created: datetime) -> bytes:
    """Return the content of the ``.meta`` file of a volume.

    :raises DestinationError: oVirt does not know the format or the allocation.
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
        # upper case in this file, mixed case in the OVF
        "TYPE": disk.volume_type.upper(),
        "DESCRIPTION": generator(),
    }
    lines = [f"{key}={_NOT_VALUE.sub('_', str(value))}\n" for key, value in values.items()]
    return "".join([*lines, "EOF\n"]).encode()
