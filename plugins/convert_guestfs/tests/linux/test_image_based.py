# SPDX-License-Identifier: GPL-2.0-or-later
"""Flatcar: examined, and handed over without any change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from v2v_convert_guestfs.linux.flow import convert_linux
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import Bus, ConversionError

VERSION = "6.6.74-flatcar"


def flatcar(phony: Callable[..., Any], modules: bytes, *, kernel: bool = True) -> Any:
    header = bytearray(0x1000)
    header[0x202:0x206], header[0x20E:0x210] = b"HdrS", (0xC00 - 0x200).to_bytes(2, "little")
    header[0xC00 : 0xC00 + len(VERSION) + 1] = VERSION.encode() + b" "
    files = {
        "/usr/lib/os-release": b'ID=flatcar\nID_LIKE=coreos\nPRETTY_NAME="Flatcar Container Linux 4081.2.0"\n',
        f"/lib/modules/{VERSION}/": b"",
        f"/lib/modules/{VERSION}/modules.dep": modules,
        f"/lib/modules/{VERSION}/modules.builtin": b"kernel/drivers/virtio/virtio_pci.ko\n",
        **({"/boot/flatcar/vmlinuz-a": bytes(header)} if kernel else {}),
    }
    guest = phony(files, distro="unknown")
    is_dir = guest.tree.is_dir
    guest.tree.is_dir = lambda path, followsymlinks=False: is_dir(path)
    guest.tree.file_architecture = lambda _path: "x86_64"
    return guest


def test_nothing_is_changed(phony: Callable[..., Any]) -> None:
    """flatcar/Flatcar#1589: a VMware image that runs elsewhere: oem_id in grub.cfg of the OEM partition matters."""
    guest = flatcar(phony, b"kernel/virtio_blk.ko:\nkernel/virtio_net.ko:\n")
    before = dict(guest.tree.files)
    found = convert_linux(guest.session, Blockers())
    assert (found.block_bus, found.net_model, found.machine) == (Bus.VIRTIO_BLK, "virtio", "q35")
    assert (guest.tree.files, guest.session.changes) == (before, [])
    (warning,) = guest.report.warnings
    assert warning.startswith("Flatcar Container Linux 4081.2.0 boots from an image, so nothing was changed in it")
    assert "oem_id" in warning


def test_a_kernel_without_virtio_is_in_the_way(phony: Callable[..., Any]) -> None:
    with pytest.raises(ConversionError, match=f"the kernel {VERSION} of Flatcar .* has no virtio drivers for disks"):
        convert_linux(flatcar(phony, b"kernel/ahci.ko:\n").session, Blockers())


def test_no_kernel(phony: Callable[..., Any]) -> None:
    with pytest.raises(ConversionError, match=f"nothing in /boot, and {VERSION} in /lib/modules"):
        convert_linux(flatcar(phony, b"", kernel=False).session, Blockers())
