# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers that the guest's administrator has forbidden to load: an initramfs may have them all and yet see no disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.kernels import Kernel, module_name
from v2v_convert_guestfs.session import Blockers, Session

_DISK = ("virtio_pci", "virtio_blk")
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
    ),
)
_RULE = re.compile(
    r"[ \t]*(?:blacklist[ \t]+(?P<name>\S+)|install[ \t]+(?P<installed>\S+)[ \t]+(?P<command>\S.*))", re.ASCII
)
_ARGUMENT = re.compile(r"(?<![\w.-])(?:rd\.driver\.blacklist|modprobe\.blacklist|module_blacklist)=([\w,-]+)", re.ASCII)


def look_for_blacklists(session: Session, files: GuestFiles, kernel: Kernel, blockers: Blockers) -> None:
    """Block where a driver without which the disk is not found may not be loaded; warn of others.

    Somebody wrote it on purpose: it is theirs to take back.
    """
    found: dict[str, str] = {}
    for path in configurations_in_force(path for pattern in _CONFIGURATIONS for path in files.glob(pattern)):
        for name in forbidden_modules(files.read(path) or b""):
            found.setdefault(name, path)
    for path in (path for pattern in _COMMAND_LINES for path in files.glob(pattern)):
        for name in forbidden_on_command_lines(files.read(path) or b""):
            found.setdefault(name, path)
    essential = needed(kernel, _DISK)
    for name, path in found.items():
        if name in essential:
            blockers.add(
                f"{path} in the guest forbids to load {name}, without which the kernel {kernel.version} does not see "
                "a virtio disk",
                f"remove it from {path} in the guest at its hypervisor, and make its initramfs anew",
            )
        elif name in needed(kernel, _OTHERS):
            session.report.warning(f"{path} in the guest forbids to load {name}: that virtio device will not work")


def needed(kernel: Kernel, names: Iterable[str]) -> Mapping[str, None]:
    """Give the modules that some drivers are and require; what is built in cannot be forbidden like this."""
    modular = [name for name in names if not kernel.builds_in(name)]
    return dict.fromkeys(module_name(path) for path in kernel.modules.closure(modular))


def configurations_in_force(paths: Iterable[str]) -> list[str]:
    """Leave out what modprobe does not read, and what a file of the same name in /etc stands in for.

    Old versions read names without a dot as well.
    """
    found: dict[str, str] = {}
    for path in paths:
        name = path.rpartition("/")[2]
        if name.endswith(".conf") or "." not in name:
            found.setdefault(name, path)
    return list(found.values())


def forbidden_modules(data: bytes) -> list[str]:
    """List the modules that a file of modprobe.d(5) forbids: blacklisted ones, and those that a command stands in for.

    A command that calls modprobe or insmod loads something, and is let pass.
    """
    found = []
    for line in data.decode("utf-8", "replace").replace("\\\n", " ").splitlines():
        match = _RULE.match(line)
        if match and match["name"]:
            found.append(module_name(match["name"]))
        elif match and not re.search(r"modprobe|insmod", match["command"]):
            found.append(module_name(match["installed"]))
    return found


def forbidden_on_command_lines(data: bytes) -> list[str]:
    """List the modules that arguments of the kernel forbid, in any file that has command lines in it."""
    lines = data.decode("utf-8", "replace").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [module_name(name) for names in _ARGUMENT.findall(text) for name in names.split(",") if name]
