# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boot loaders of all families have in common: settings that menus are made from, and links to kernels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import devices_in, grub_cfg, shell
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Session

DEFAULTS = "/etc/default/grub"
RENAMED = ("disks are called by their new names", "disks have other names with virtio")
NEW_DEFAULT = "the default kernel cannot drive virtio disks as well as this one"

_PATTERNS = (
    *(DEFAULTS, "/etc/default/grub.d/*.cfg"),
    # RHEL: a link, or GRUB legacy's; ALT; SUSE.
    *("/etc/sysconfig/grub", "/etc/sysconfig/grub2", "/etc/sysconfig/bootloader"),
)
_DEVICE_MAPS = ("/boot/grub/device.map", "/boot/grub2/device.map")
_SYSCONFIG_KERNEL = "/etc/sysconfig/kernel"


def setting_files(files: GuestFiles) -> list[str]:
    """List the files with settings of boot loaders, without links to others of them (RHEL: /etc/sysconfig/grub)."""
    found = (files.resolve(path) for pattern in _PATTERNS for path in files.glob(pattern))
    return list(dict.fromkeys(path for path in found if path is not None))


def rename_devices(files: GuestFiles, names: DeviceNames) -> None:
    """Rename disks in the settings and in device.map.

    :raises ConversionError: a file cannot be written.
    """
    what, why = RENAMED
    for path in setting_files(files):
        files.edit(path, lambda data: devices_in.grub_defaults(data, names), what=what, why=why)
    for path in _DEVICE_MAPS:
        files.edit(path, lambda data: devices_in.device_map(data, names), what=what, why=why)


@dataclass(frozen=True)
class Consoles:
    """What becomes of the consoles of Xen on kernel command lines, and in other files."""

    edit: Callable[[bytes], bytes]
    what: str
    why: str


ON_THE_SERIAL_PORT = Consoles(
    grub_cfg.replace_consoles,
    "ttyS0 in place of a console of Xen",
    "KVM has a serial port and no console of Xen",
)
NOWHERE = Consoles(
    grub_cfg.remove_consoles,
    "a console that does not exist removed",
    "the target has no serial port and no console of Xen",
)


def change_consoles(files: GuestFiles, consoles: Consoles) -> None:
    """Change the consoles of Xen in the settings.

    :raises ConversionError: a file cannot be written.
    """
    for path in setting_files(files):
        files.edit(path, consoles.edit, what=consoles.what, why=consoles.why)


def remember_flavour(session: Session, files: GuestFiles, kernel: Kernel) -> None:
    """Name the kernel's package in /etc/sysconfig/kernel, where one is named.

    An update of that package becomes the default, and an update of the one that was named before must not.

    :raises ConversionError: the file cannot be written.
    """
    old = files.read(_SYSCONFIG_KERNEL)
    if old is None or shell.value(old, "DEFAULTKERNEL") is None:
        return
    try:
        owners = session.run(["rpm", "-qf", "--queryformat", "%{NAME}\\n", kernel.image]).split()
    except RuntimeError as err:
        session.not_done(f"DEFAULTKERNEL in {_SYSCONFIG_KERNEL} in the guest stays as it is", err)
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
    """Find the kernel that a boot loader means by a path, which begins at the root of the file system with /boot.

    The name decides: the directory is another one where /boot is a file system of its own, or a subvolume. A name that
    is no kernel's may be a link to one (SUSE: /boot/vmlinuz).
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


def base(path: str) -> str:
    """Give the last part of a path."""
    return path.rpartition("/")[2]
