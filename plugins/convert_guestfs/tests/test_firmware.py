# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot disk is the first with GRUB, in the boot order of the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from v2v_convert_guestfs.firmware import find_boot_disk
from v2v_core.api import Guest, SourceDisk

GRUB = b"\xebc" + b"GRUB".rjust(300).ljust(510)


@pytest.mark.parametrize(
    ("sectors", "orders", "found"),
    [
        ((GRUB, GRUB), (None, None), 1),
        ((GRUB, GRUB), (2, 1), 2),
        ((GRUB, GRUB), (None, 1), 2),
        ((GRUB, b"\0" * 512), (2, 1), 1),
        # A supervisor's own endpoints: the metadata has only one disk.
        ((b"\0" * 512, GRUB), (1,), 2),
    ],
)
def test_the_order_of_the_source_counts(
    phony: Callable[..., Any], sectors: tuple[bytes, ...], orders: tuple[int | None, ...], found: int
) -> None:
    session = phony({}, sectors=dict(zip(("/dev/vda", "/dev/vdb"), sectors, strict=True))).session
    disks = tuple(SourceDisk(index=index, boot_order=order) for index, order in enumerate(orders, 1))
    session.request = replace(session.request, guest=Guest(name="g", disks=disks))
    assert find_boot_disk(session) == found
