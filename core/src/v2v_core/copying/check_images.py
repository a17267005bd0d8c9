# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares images with the hashes in the report of a run: are they what was copied then?"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_core.copying.hashes import ALGORITHM, BLOCK, GROUP, HashFile
from v2v_core.copying.read_back import Range
from v2v_core.copying.task import CopyLimits
from v2v_core.copying.verify import blocks_of, cut
from v2v_core.errors import UsageError
from v2v_core.run_report import CopiedDisk, DiskHashes
from v2v_core.served import ServedDisk

#: Bytes of a report. The hashes of 8 TiB of data are smaller.
_LONGEST = 256 * 1024**2
_GROUP = BLOCK * GROUP
_DIGEST = re.compile("[0-9a-f]{64}")


def read_hashes(path: Path) -> tuple[CopiedDisk, ...]:
    """Return the disks of a report that has hashes of all of them.

    :param path: what ``--report FILE.json`` has written.
    :raises UsageError: it is no such report, or has no hashes.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST + 1)
    except OSError as err:
        raise UsageError(f"{path} cannot be read: {err.strerror}", hint="name the report of a run") from err
    if len(text) > _LONGEST:
        raise UsageError(f"{path} is larger than any report", hint="name the report of a run")
    try:
        report = json.loads(text)
        if report["format"] != "v2v-report":
            raise ValueError("another format")
        disks = tuple(_disk(record) for record in report.get("copy", []))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise UsageError(
            f"{path} is not a report with hashes",
            hint="name a file that 'v2v convert --report FILE.json' has written: the name must end in .json",
        ) from err
    if not disks:
        raise UsageError(
            f"{path} has no copied disks", hint="only the report of a conversion that was copied to its end has hashes"
        )
    without = [str(disk.index) for disk in disks if disk.hashes is None]
    if without:
        raise UsageError(
            f"{path} has no hashes of disk {', '.join(without)}",
            hint="there are none if the file system copied without reading the data, after --no-hashes, and with "
            "--copier; --hashes takes them in any case",
        )
    return disks


def _disk(record: Mapping[str, Any]) -> CopiedDisk:
    hashes = record["hashes"]
    disk = CopiedDisk(index=int(record["disk"]), size=int(record["size"]))
    if hashes is None:
        return disk
    if (hashes["algorithm"], hashes["block"], hashes["group"]) != (ALGORITHM, BLOCK, _GROUP):
        raise ValueError("other hashes")
    groups = {int(number): str(digest) for number, digest in hashes["groups"].items()}
    if any(_DIGEST.fullmatch(digest) is None for digest in groups.values()):
        raise ValueError("not a hash")
    return CopiedDisk(
        index=disk.index,
        size=disk.size,
        hashes=DiskHashes(algorithm=ALGORITHM, block=BLOCK, group=_GROUP, root=str(hashes["root"]), groups=groups),
    )


def differing(served: ServedDisk, expected: CopiedDisk, scratch: Path) -> list[Range]:
    """Return which ranges of a disk are not what was copied; none if all of it is right.

    :param served: the disk, of the same size. :param scratch: a directory for temporary files.
    :raises V2VError: it cannot be read.
    """
    from v2v_core.copying.read_back_nbd import NbdReadBack

    if expected.hashes is None:
        raise ValueError("a disk without hashes")
    read_back = NbdReadBack(served.base or served.uri, CopyLimits(), threading.Event())
    hashes = HashFile(scratch / f"hashes{served.index}", expected.size)
    try:
        extents = (blocks_of(extent, expected.size) for extent in read_back.data(expected.size))
        read_back.read(cut(extents), hashes.take)
        found = {number: digest.hex() for number, digest in hashes.groups()}
    finally:
        hashes.close()
        read_back.close()
    wrong = [
        number
        for number in {*found, *expected.hashes.groups}
        if found.get(number) != expected.hashes.groups.get(number)
    ]
    return _joined(sorted(wrong), expected.size)


def _joined(groups: list[int], size: int) -> list[Range]:
    ranges: list[Range] = []
    for number in groups:
        offset = number * _GROUP
        length = min(_GROUP, size - offset)
        if ranges and sum(ranges[-1]) == offset:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
        else:
            ranges.append((offset, length))
    return ranges
