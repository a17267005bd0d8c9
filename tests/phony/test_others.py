# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of small families, and of one that nobody knows: each boots from its virtio disk after the conversion."""

from __future__ import annotations

import pytest

from phony.recipes import PHONIES
from phony.test_phony import converted, installed, see_first_boot, see_virtio
from runs import Place

pytestmark = pytest.mark.slow


def test_alpine_linux_with_extlinux_and_openrc(place: Place) -> None:
    with converted(place, "alpine") as found:
        for path in ("/boot/extlinux.conf", "/etc/update-extlinux.conf"):
            text = found.text(path)
            assert "root=UUID=" in text
            assert "/dev/sda" not in text
        see_virtio(found, "/boot/initramfs-lts")
        assert "open-vm-tools" not in found.text("/lib/apk/db/installed")
        assert "P:musl\n" in found.text("/lib/apk/db/installed")
        assert "virtio" in found.text("/etc/mkinitfs/mkinitfs.conf")
        assert found.link("/etc/runlevels/default/v2v-firstboot") == "/etc/init.d/v2v-firstboot"
        assert found.calls("mkinitfs") == []


@pytest.mark.zoo
def test_arch_linux_with_a_kernel_named_after_its_package(place: Place) -> None:
    with converted(place, "arch") as found:
        menu = found.text("/boot/grub/grub.cfg")
        assert "root=UUID=" in menu
        assert "resume=/dev/vda2" in menu
        see_virtio(found, "/boot/initramfs-linux.img")
        assert found.names("/var/lib/pacman/local") == [
            *("ALPM_DB_VERSION", "base-3-1", "grub-2:2.12-1", "linux-6.9.7-1", "mkinitcpio-39.2-1"),
        ]
        assert "virtio_blk" in found.text("/etc/mkinitcpio.conf")
        assert found.calls("mkinitcpio") == []
        see_first_boot(found)


@pytest.mark.zoo
def test_photon_os(place: Place) -> None:
    """libguestfs/virt-v2v#33."""
    (kernel,) = PHONIES["photon"].kernels
    with converted(place, "photon") as found:
        assert "set rootpartition=UUID=" in found.text("/boot/grub2/grub.cfg")
        assert "resume=/dev/vda2" in found.text("/boot/photon.cfg")
        assert found.link("/boot/photon.cfg") == f"linux-{kernel.version}.cfg"
        see_virtio(found, f"/boot/{kernel.initramfs}")
        assert "open-vm-tools" not in installed(found)
        see_first_boot(found)


@pytest.mark.zoo
def test_one_that_nobody_knows(place: Place) -> None:
    (kernel,) = PHONIES["acme"].kernels
    with converted(place, "acme") as found:
        assert "root=UUID=" in found.text("/boot/grub/grub.cfg")
        see_virtio(found, f"/boot/{kernel.initramfs}")
