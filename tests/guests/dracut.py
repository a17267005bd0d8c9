# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian guest with dracut in the place of initramfs-tools, whose image has no virtio and waits for ``/dev/sda``.

It has one disk with a file system on the whole of it and no boot loader: it is booted with its kernel from outside.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from guests import bootstrap
from guests.build import cached
from guests.disk_images import write_file
from guests.host import run
from guests.recipe import MARKER, ROOT_PASSWORD

_PACKAGES = ("systemd-sysv", "udev", "dbus", "kmod", "procps", "e2fsprogs", "dracut", "linux-image-amd64")
_LACKING = (
    *("virtio", "virtio_ring", "virtio_pci", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_mmio"),
    *("virtio_blk", "virtio_scsi", "virtio_net", "virtio_balloon", "virtio_console", "virtio_rng", "virtio_input"),
)
#: What hangs on a controller of VMware's: no such link exists anywhere else.
_BY_PATH = "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0"

# Before the login prompt: who gives that one its terminal hangs up everybody else there, and what they write is lost.
_UNIT = f"""\
[Unit]
After=basic.target
Before=serial-getty@ttyS0.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'printf "\\\\n{MARKER} root=%%s\\\\n" "$(findmnt -vno SOURCE /)"'
StandardOutput=tty
TTYPath=/dev/ttyS0
"""

# dracut's own functions write what waits for a disk, as they do for a machine that has those disks. Some modules and
# arguments are named, because here dracut sees the hardware of this host, or none.
_MAKE_INITRAMFS = f"""\
set -e
include=$(mktemp -d)
mkdir "$include/lib"
export PREFIX="$include" hookdir=/lib/dracut/hooks DRACUT_SYSTEMD=1
mkdir -p "$include$hookdir/initqueue/finished" "$include$hookdir/emergency"
. /usr/lib/dracut/modules.d/99base/dracut-dev-lib.sh
wait_for_dev /dev/sda 0
wait_for_dev {_BY_PATH} 0
mkdir "$include/usr"
mv "$include/lib" "$include/usr/lib"
unset PREFIX hookdir DRACUT_SYSTEMD
version=$(ls /lib/modules)
dracut --force --hostonly --omit-drivers '{" ".join(_LACKING)}' --add-drivers 'mptspi vmw_pvscsi ahci sd_mod ext4' \
    --kernel-cmdline 'root=/dev/sda rootfstype=ext4' --include "$include" / "/boot/initrd.img-$version" "$version"
rm -rf "$include"
"""


def dracut_guest() -> Path:
    """Return the directory with ``disk.img``, ``vmlinuz`` and ``initrd.img``, building it where the cache lacks it."""
    return cached("debian12-dracut", sys.modules[__name__], _build_in)


def _build_in(work: Path) -> None:
    root = work / "root"
    bootstrap.install_packages("bookworm", _PACKAGES, root, form="directory")
    write_file(root, "/etc/fstab", "/dev/sda / ext4 defaults 0 1\n")
    write_file(root, "/etc/hostname", "dracut\n")
    write_file(root, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    write_file(root, "/etc/dracut.conf.d/10-hostonly.conf", 'hostonly="yes"\n')
    write_file(root, f"/etc/systemd/system/{MARKER.lower()}.service", _UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / f"{MARKER.lower()}.service").symlink_to(f"/etc/systemd/system/{MARKER.lower()}.service")
    bootstrap.in_root(root, ["chpasswd"], stdin=f"root:{ROOT_PASSWORD}\n")
    bootstrap.in_root(root, ["bash", "-s"], stdin=_MAKE_INITRAMFS)
    for name in ("vmlinuz", "initrd.img"):
        (found,) = (root / "boot").glob(f"{name}-*")
        shutil.copyfile(found, work / name)
    for place in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / place)
    run(["truncate", "-s", "1800M", work / "disk.img"])
    run(["mkfs.ext4", "-q", "-F", "-d", root, work / "disk.img"])
    shutil.rmtree(root)
    for path in work.iterdir():
        path.chmod(0o444)
