# SPDX-License-Identifier: GPL-2.0-or-later
"""The images behind the disks: files, also where the storage domain says that it is block storage."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from engine_simulator.faults import Refusal
from engine_simulator.state import Disk, StorageDomain


def check_configuration(domain: StorageDomain, disk_format: str, sparse: bool) -> None:
    """Refuse what the engine refuses."""
    if domain.block and sparse and disk_format == "raw":
        raise Refusal(
            400, f"[Cannot add Virtual Disk. Disk configuration (RAW Sparse) is incompatible with {domain.name}.]"
        )
    if disk_format == "cow" and not sparse:
        raise Refusal(400, "[Cannot add Virtual Disk. Disk configuration (COW Preallocated) is not supported.]")


def check_space(domain: StorageDomain, needed: int) -> None:
    """Refuse what does not fit."""
    if domain.available is not None and domain.available - domain.blocker * 2**30 < needed:
        raise Refusal(409, f"[Cannot add Virtual Disk. Low disk space on Storage Domain {domain.name}.]")


def make_image(disk: Disk) -> None:
    """Make the empty image of a disk."""
    kind = "qcow2" if disk.format == "cow" else "raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, disk.image, str(disk.size)], check=True)
    if not disk.sparse:
        subprocess.run(["fallocate", "--length", str(disk.size), disk.image], check=True)


def remove_image(disk: Disk) -> None:
    """Remove the image of a disk."""
    disk.image.unlink(missing_ok=True)


@contextlib.contextmanager
def raw_image(disk: Disk) -> Iterator[Path]:
    """Yield the content of a disk, as its guest reads it, in a raw image."""
    kind = "qcow2" if disk.format == "cow" else "raw"
    raw = disk.image.with_suffix(".raw")
    try:
        subprocess.run(["qemu-img", "convert", "-f", kind, "-O", "raw", disk.image, raw], check=True)
        yield raw
    finally:
        raw.unlink(missing_ok=True)


def read_image(disk: Disk) -> bytes:
    """Return the content of a disk, as its guest reads it."""
    with raw_image(disk) as raw:
        return raw.read_bytes()
