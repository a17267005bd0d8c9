# SPDX-License-Identifier: GPL-2.0-or-later
"""What several boot loaders share: the settings that menus are generated from, and finding kernels by their paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import devices_in, grub_cfg, shell
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.linux.left_names import warn_of_untold
from v2v_convert_guestfs.session import Session

DEFAULTS = "/etc/default/grub"
RENAMED = ("disks are called by their new names", "disks have other names with virtio")
NEW_DEFAULT = "the default kernel cannot drive virtio disks as well as this one"

_PATTERNS = (
    *(DEFAULTS, "/etc/default/grub.d/*.cfg"),
    # RHEL (a link, or GRUB legacy's settings), ALT, SUSE.
    *("/etc/sysconfig/grub", "/etc/sysconfig/grub2", "/etc/sysconfig/bootloader"),
)
_DEVICE_MAPS = ("/boot/grub/device.map", "/boot/grub2/device.map")
#: SUSE's list of disks that grub2-install is run on after an update.
_INSTALLED_ON = "/etc/default/grub_installdevice"
_SYSCONFIG_KERNEL = "/etc/sysconfig/kernel"


def setting_files(files: GuestFiles) -> list[str]:
    """Return the files with boot loader settings, each once: RHEL's /etc/sysconfig/grub is a link to another one."""
    resolved = (files.resolve(path) for pattern in _PATTERNS for path in files.glob(pattern))
    return list(dict.fromkeys(path for path in resolved if path is not None))


def rename_devices(session: Session, files: GuestFiles, names: DeviceNames) -> None:
    """Rename disks in the settings, in device.map and in the list of disks that GRUB is installed on.

    :raises ConversionError: a file cannot be written.
    """
    what, why = RENAMED
    for path in setting_files(files):
        files.edit(path, lambda data: devices_in.grub_defaults(data, names), what=what, why=why)
        warn_of_untold(session, path, files.read(path) or b"", names)
    files.edit(_INSTALLED_ON, lambda data: devices_in.kernel_arguments(data, names), what=what, why=why)
    for path in _DEVICE_MAPS:
        files.edit(path, lambda data: devices_in.device_map(data, names), what=what, why=why)


@dataclass(frozen=True)
class Consoles:
    """What to do with Xen's consoles on kernel command lines and in other files.

    :param edit: the edit of a file with kernel command lines.
    :param what: the text of the change. :param why: the reason for the change.
    """

    edit: Callable[[bytes], bytes]
    what: str
    why: str


ON_THE_SERIAL_PORT = Consoles(
    grub_cfg.replace_consoles,
    "ttyS0 instead of a Xen console",
    "KVM has a serial port and no Xen console",
)
NOWHERE = Consoles(
    grub_cfg.remove_consoles,
    "removed a console that does not exist",
    "the target has no serial port and no Xen console",
)


def change_consoles(files: GuestFiles, consoles: Consoles) -> None:
    """Change Xen's consoles in the settings.

    :raises ConversionError: a file cannot be written.
    """
    for path in setting_files(files):
        files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)


def remember_flavour(session: Session, files: GuestFiles, kernel: Kernel) -> None:
    """Set DEFAULTKERNEL in /etc/sysconfig/kernel, if it exists, to the package of a kernel.

    Updates of that package become the default kernel. Updates of the package named before must not.

    :raises ConversionError: the file cannot be written.
    """
    old = files.read(_SYSCONFIG_KERNEL)
    if old is None or shell.value(old, "DEFAULTKERNEL") is None:
        return
    try:
        owners = session.run(["rpm", "-qf", "--queryformat", "%{NAME}\\n", kernel.image]).split()
    except RuntimeError as err:
        session.warn(f"DEFAULTKERNEL in {_SYSCONFIG_KERNEL} in the guest stays as it is", err)
        return
    package = next((name for name in owners if re.fullmatch(r"kernel(?:-[A-Za-z0-9_+.-]{1,60})?", name, re.A)), None)
    if package is not None:
        files.edit(
            _SYSCONFIG_KERNEL,
            lambda data: shell.edit_values(data, re.compile("DEFAULTKERNEL"), lambda _: package),
            what=f"updates of {package} become the default",
            why=NEW_DEFAULT,
        )


def kernel_of(files: GuestFiles, path: str, kernels: Sequence[Kernel]) -> Kernel | None:
    """Return the kernel that a path in a boot menu refers to, or None.

    :param path: relative to the root of the file system or subvolume that contains /boot. So only the file name is
        compared. If it is not that of a kernel, it may be a link to one (SUSE: /boot/vmlinuz).
    """
    by_name = {base(kernel.image): kernel for kernel in kernels}
    path = re.sub(r"^\([^)]*\)", "", path)
    if base(path) in by_name:
        return by_name[base(path)]
    for place in (f"/boot{path}", path) if path.startswith("/") else ():
        real = files.resolve(place)
        if real is not None and base(real) in by_name:
            return by_name[base(real)]
    return None


def with_image(files: GuestFiles, kernel: Kernel, paths: Sequence[str]) -> Kernel:
    """Return the kernel with the initramfs that its entry in the menu loads.

    If that cannot be found in the guest, return the kernel unchanged.

    :param paths: the images that the entry loads, relative to the root of the file system or subvolume that contains
        /boot. The last one belongs to the kernel; those before it contain microcode.
    """
    if not paths:
        return replace(kernel, initramfs=None)
    path = re.sub(r"^\([^)]*\)", "", paths[-1].strip("\"'"))
    if not path.startswith("/") or ".." in path.split("/"):
        return kernel
    # The path may begin with a subvolume that is not mounted under its name.
    for place in (f"/boot{path}", path, f"/boot/{base(path)}"):
        real = files.resolve(place)
        if real is not None:
            same = kernel.initramfs is not None and files.resolve(kernel.initramfs) == real
            return kernel if same else replace(kernel, initramfs=real)
    return kernel


def base(path: str) -> str:
    """Return the last component of a path."""
    return path.rpartition("/")[2]
