# SPDX-License-Identifier: GPL-2.0-or-later
"""Join disks that a package holds in chunks (DSP0243 section 7.1): ``disk.vmdk.000000000``, ``disk.vmdk.000000001``, …

VMware calls snapshots by the same names. A disk is in chunks if its descriptor says so (``ovf:chunkSize``), or if the
sizes of these files add up to the size that the descriptor gives the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from v2v_core.api import SourceError
from v2v_input_vmware.ova.drives import OvfDisk
from v2v_input_vmware.ova.package import Package, Part, names_of_reference, room_in

_CHUNK = 1024 * 1024


def numbered_files(package: Package, folder: str, href: str) -> list[tuple[int, str]]:
    """Return the files ``NAME.NUMBER`` of a reference with their numbers, in the order of these."""
    names = names_of_reference(folder, href)
    numbered = re.compile("(?:" + "|".join(map(re.escape, names)) + r")\.([0-9]{1,18})")
    return sorted((int(match[1]), name) for name in package.files if (match := numbered.fullmatch(name)))


def chunks_of(package: Package, folder: str, disk: OvfDisk) -> tuple[str, ...]:
    """Return the names of the chunks of a disk in their order; nothing if it is not in chunks.

    :raises SourceError: a chunk is missing.
    """
    if disk.href is None or package.find(folder, disk.href) is not None:
        return ()
    found = numbered_files(package, folder, disk.href)
    whole = disk.size is not None and len(found) > 1 and disk.size == sum(package.files[n].size for _, n in found)
    if not found or not (disk.chunked or whole):
        return ()
    missing = next((wanted for wanted, (number, _) in enumerate(found) if number != wanted), None)
    if missing is not None:
        raise SourceError(
            f"the disk {disk.href[:80]!r} of the OVA is in chunks, and chunk {missing} of them is not in "
            f"{package.origin}",
            hint=f"put {os.path.basename(disk.href)[:80]}.{missing:09} beside the other chunks",  # noqa: PTH119
        )
    return tuple(name for _, name in found)


def join(package: Package, names: Sequence[str], target: Path, *, what: str) -> Part:
    """Join chunks into a file. Zeros become holes.

    :raises SourceError: there is no room for it, or a chunk cannot be read.
    """
    parts = [package.files[name] for name in names]
    size, room = sum(part.size for part in parts), room_in(target.parent)
    if size > room:
        raise SourceError(
            f"{what} has {size} bytes in {len(parts)} chunks: there is room for {room} bytes in {target.parent}",
            hint="set VIRT_V2V_TMPDIR to a directory with more room; or unpack the OVA, join the chunks with cat(1), "
            "and name the directory",
        )
    try:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            for part in parts:
                with part.open() as source:
                    left = part.size
                    while left and (data := source.read(min(_CHUNK, left))):
                        left -= len(data)
                        if any(data):
                            stream.write(data)
                        else:
                            stream.seek(len(data), os.SEEK_CUR)
            stream.truncate(size)
    except OSError as err:
        raise SourceError(f"the chunks of {what} cannot be joined: {err}", hint=f"look at {target.parent}") from err
    return Part(target, size)
