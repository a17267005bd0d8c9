# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers that the guest's administrator has blacklisted: an initramfs that contains them still finds no disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs.drivers import essential, label
from v2v_convert_guestfs.linux.kernels import Kernel, module_name
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus

_OTHERS = ("virtio_net", "virtio_scsi", "virtio_balloon", "virtio_rng")
_CONFIGURATIONS = ("/etc/modprobe.conf", "/etc/modprobe.d/*", "/usr/lib/modprobe.d/*.conf", "/lib/modprobe.d/*.conf")
_COMMAND_LINES = (
    *("/etc/default/grub", "/etc/default/grub.d/*.cfg", "/etc/kernel/cmdline", "/boot/loader/entries/*.conf"),
    *(
        "/boot/grub/grub.conf",
        "/boot/grub/menu.lst",
        "/boot/grub/grub.cfg",
        "/boot/grub2/grub.cfg",
        "/boot/grub2/grubenv",
        # EXTLINUX and SYSLINUX, Photon OS
        "/boot/extlinux.conf",
        "/boot/*linux/*linux.c*",
        "/boot/*.cfg",
    ),
)
_RULE = re.compile(
    r"[ \t]*(?:blacklist[ \t]+(?P<name>\S+)|install[ \t]+(?P<installed>\S+)[ \t]+(?P<command>\S.*))", re.ASCII
)
_ARGUMENT = re.compile(r"(?<![\w.-])(?:rd\.driver\.blacklist|modprobe\.blacklist|module_blacklist)=([\w,-]+)", re.ASCII)


def look_for_blacklists(
    session: Session, files: GuestFiles, kernel: Kernel, blockers: Blockers, bus: Bus = Bus.VIRTIO_BLK
) -> None:
    """Block the conversion if a driver that the disk needs is blacklisted, and warn about other virtio drivers.

    The administrator wrote the blacklist on purpose, so the conversion does not change it.
    """
    paths: dict[str, str] = {}
    for path in configurations_in_force(path for pattern in _CONFIGURATIONS for path in files.glob(pattern)):
        for name in forbidden_modules(files.read(path) or b""):
            paths.setdefault(name, path)
    for path in (path for pattern in _COMMAND_LINES for path in files.glob(pattern)):
        for name in forbidden_on_command_lines(files.read(path) or b""):
            paths.setdefault(name, path)
    for_disks = needed(kernel, essential(kernel, bus))
    for name, path in paths.items():
        if name in for_disks:
            blockers.add(
                f"{path} in the guest forbids loading {name}, which the kernel {kernel.version} needs for "
                f"{label(bus)} disks",
                f"remove it from {path} in the guest on its source hypervisor, and rebuild its initramfs",
            )
        elif name in needed(kernel, _OTHERS):
            session.report.warning(f"{path} in the guest forbids loading {name}: that virtio device will not work")


def needed(kernel: Kernel, names: Iterable[str]) -> Mapping[str, None]:
    """Return the modules of the named drivers and their dependencies. Built-in drivers cannot be blacklisted."""
    modular = [name for name in names if not kernel.builds_in(name)]
    return dict.fromkeys(module_name(path) for path in kernel.modules.closure(modular))


def configurations_in_force(paths: Iterable[str]) -> list[str]:
    """Return the paths that modprobe reads, given in order of precedence.

    A file in /etc hides files of the same name elsewhere. Names end in .conf; old versions of modprobe also read names
    without a dot.
    """
    by_name: dict[str, str] = {}
    for path in paths:
        name = path.rpartition("/")[2]
        if name.endswith(".conf") or "." not in name:
            by_name.setdefault(name, path)
    return list(by_name.values())


def forbidden_modules(data: bytes) -> list[str]:
    """Return the modules that a modprobe.d(5) file forbids: blacklisted ones, and those with an install command.

    An install command that calls modprobe or insmod does not count, because it still loads a module.
    """
    forbidden = []
    for line in data.decode("utf-8", "replace").replace("\\\n", " ").splitlines():
        match = _RULE.match(line)
        if match and match["name"]:
            forbidden.append(module_name(match["name"]))
        elif match and not re.search(r"modprobe|insmod", match["command"]):
            forbidden.append(module_name(match["installed"]))
    return forbidden


def forbidden_on_command_lines(data: bytes) -> list[str]:
    """Return the modules that kernel arguments forbid, in any file that contains kernel command lines."""
    lines = data.decode("utf-8", "replace").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [module_name(name) for names in _ARGUMENT.findall(text) for name in names.split(",") if name]
