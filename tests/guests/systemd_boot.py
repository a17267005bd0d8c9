# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian guest that boots with systemd-boot, as on VMware: two kernels, no virtio in their images, names of disks."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from guests import bootstrap
from guests.build import cached
from guests.disk_images import write_file
from guests.host import run
from guests.recipe import MARKER, ROOT_PASSWORD

_PACKAGES = (
    *("systemd-sysv", "systemd-boot", "udev", "dbus", "kmod", "procps", "e2fsprogs", "dosfstools"),
    *("initramfs-tools", "busybox", "zstd", "linux-image-amd64", "linux-image-cloud-amd64"),
)
_MODULES = ("mptspi", "mptsas", "vmw_pvscsi", "ata_piix", "sd_mod", "ext4", "vfat")
_MIB = 1024 * 1024
_ESP, _SIZE = 256, 2304
#: Of the EFI system partition, as mkfs.vfat and fstab write it.
_SERIAL = "0123ABCD"

# With the script of the other guests; before the login prompt, which hangs its terminal up.
_SCRIPT = f"""\
#!/bin/sh
printf '\\n{MARKER} kernel=%s root=%s esp=%s failed=%s\\n' "$(uname -r)" "$(findmnt -vno SOURCE /)" \\
    "$(findmnt -vno SOURCE /boot/efi)" "$(systemctl --failed --no-legend --plain | wc -l)"
"""
_UNIT = f"""\
[Unit]
After=basic.target local-fs.target systemd-user-sessions.service
Before=serial-getty@ttyS0.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/{MARKER.lower()}
StandardOutput=tty
TTYPath=/dev/ttyS0

[Install]
WantedBy=multi-user.target
"""

# bootctl wants a file system of its own. What the packages' scripts have put into /boot is of this machine.
_INSTALL = """\
set -e
find /boot -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
mkdir /boot/efi /esp
mount -t tmpfs none /boot/efi
export SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_ESP_PATH=/boot/efi
bootctl --esp-path=/boot/efi --no-variables install
for version in $(ls /lib/modules); do
    rm -f "/boot/initrd.img-$version"
    update-initramfs -c -k "$version"
    kernel-install add "$version" "/boot/vmlinuz-$version" "/boot/initrd.img-$version"
done
cp -r /boot/efi/. /esp/
umount /boot/efi
"""


def systemd_boot_guest() -> Path:
    """Return the guest's disk, building it where the cache lacks it."""
    return cached("debian12-systemd-boot", sys.modules[__name__], _build_in) / "sda.img"


def _build_in(work: Path) -> None:
    root = work / "root"
    bootstrap.install_packages("bookworm", _PACKAGES, root, form="directory")
    write_file(
        root,
        "/etc/fstab",
        f"/dev/sda2 / ext4 defaults 0 1\nUUID={_SERIAL[:4]}-{_SERIAL[4:]} /boot/efi vfat umask=0077 0 0\n",
    )
    write_file(root, "/etc/hostname", "systemd-boot\n")
    write_file(root, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    write_file(root, "/etc/kernel/cmdline", "root=/dev/sda2 ro console=tty0 console=ttyS0,115200\n")
    write_file(root, "/etc/kernel/install.conf", "layout=bls\nBOOT_ROOT=/boot/efi\n")
    write_file(root, "/etc/initramfs-tools/modules", "".join(f"{name}\n" for name in _MODULES))
    write_file(root, "/etc/initramfs-tools/conf.d/list", "MODULES=list\n")
    write_file(root, f"/etc/systemd/system/{MARKER.lower()}.service", _UNIT)
    write_file(root, f"/usr/local/sbin/{MARKER.lower()}", _SCRIPT, 0o755)
    bootstrap.in_root(root, ["systemctl", "enable", "--quiet", f"{MARKER.lower()}.service"])
    bootstrap.in_root(root, ["chpasswd"], stdin=f"root:{ROOT_PASSWORD}\n")
    bootstrap.in_root(root, ["bash", "-s"], stdin=_INSTALL)
    # MODULES=list was for this machine's sake, on which MODULES=dep would look.
    write_file(root, "/etc/initramfs-tools/conf.d/list", "MODULES=dep\n")
    esp = work / "esp"
    (root / "esp").rename(esp)
    _put_together(work / "sda.img", root, esp)
    shutil.rmtree(root)
    shutil.rmtree(esp)
    (work / "sda.img").chmod(0o444)


def _put_together(image: Path, root: Path, esp: Path) -> None:
    """Make the disk: a GPT with an EFI system partition and the root filesystem."""
    with image.open("wb") as stream:
        stream.truncate(_SIZE * _MIB)
    room = _SIZE - _ESP - 2
    table = (
        f"label: gpt\nstart=2048, size={_ESP * 2048}, type=U\nstart={(_ESP + 1) * 2048}, size={room * 2048}, type=L\n"
    )
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], stdin=table)
    fat = image.with_suffix(".fat")
    with fat.open("wb") as stream:
        stream.truncate(_ESP * _MIB)
    run(["mkfs.vfat", "-F", "32", "-i", _SERIAL, fat])
    run(["mcopy", "-i", fat, "-s", *sorted(esp.iterdir()), "::"])
    run(["dd", "status=none", f"if={fat}", f"of={image}", "bs=1M", "seek=1", "conv=notrunc,sparse"])
    fat.unlink()
    options = f"offset={(_ESP + 1) * _MIB},root_owner=0:0"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", options, "-d", root, image, f"{room}M"])
