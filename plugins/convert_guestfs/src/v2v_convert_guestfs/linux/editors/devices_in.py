# SPDX-License-Identifier: GPL-2.0-or-later
"""Rename disks in configuration files. Each function knows where a device name occurs in its kind of file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from v2v_convert_guestfs.devices import BY_UUID, DeviceNames
from v2v_convert_guestfs.linux.editors import lvm_filters as lvm
from v2v_convert_guestfs.linux.editors import systemd_units
from v2v_convert_guestfs.linux.editors.shell import edit_values

#: Return what root= on a kernel command line may be called instead, such as UUID=…, by the new name of a disk, or None.
RootName = Callable[[str], str | None]

#: The parameters whose value may be UUID=…, as every initramfs understands them.
_FILE_SYSTEM = re.compile(
    r"(?<![\w./-])(?P<name>(?:real_)?(?:root|resume)|crypt_root)=(?P<device>/dev/[^\s\"']+)", re.ASCII
)
#: A line of fstab(5) or crypttab(5): fields separated by blanks.
_FIELDS = re.compile(r"(?P<indent>[ \t]*)(?P<fields>[^#\s][^\n]*)", re.ASCII)
_GRUB_CMDLINE = re.compile(r"GRUB_CMDLINE_[A-Z_]+|GRUB_DEVICE(?:_BOOT)?|boot|[A-Z_]*APPEND")
_DRACUT = re.compile(r"kernel_cmdline|add_device")
_RESUME = re.compile(r"RESUME|resume|ROOT|CRYPTDEVICE")
_KERNEL_LINE = re.compile(
    r"[ \t]*(?:(?:linux(?:16|efi)?|kernel|options|append)[ \t]|set[ \t]+(?:default_)?kernelopts=)", re.ASCII
)
_CRYPTTAB_DEVICE = re.compile(r"(?P<before>[ \t]*[^#\s]\S*[ \t]+)(?P<device>/dev/\S+)", re.ASCII)
_LINK_BY_UUID = re.compile(rf"^(?P<indent>[ \t]*)(?P<link>{BY_UUID}[\w-]+)", re.ASCII)
_DEVICE_MAP = re.compile(r"(?P<drive>[ \t]*\(hd(?P<number>\d{1,3})\)[ \t]+)(?P<device>\S+)(?P<rest>[^\n]*)", re.ASCII)


def fstab(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in fstab(5): the device of each line, and devices in its options (``logdev=/dev/sdb1``)."""

    def edit(line: str) -> str:
        new = _fields(line, names, columns={0, 3})
        return new if new == line else _LINK_BY_UUID.sub(lambda match: match["indent"] + _by_uuid(match["link"]), new)

    return _by_line(data, edit)


def crypttab(data: bytes, names: DeviceNames, uuids: Mapping[str, str] | None = None) -> bytes:
    """Rename disks in crypttab(5): in the device, the key file (``/dev/sdb1:/key``) and the options of each line.

    :param uuids: UUIDs of encrypted devices by their new names; where there is one, it replaces the name.
    """

    def edit(line: str) -> str:
        line = _fields(line, names, columns={1, 2, 3})
        match = _CRYPTTAB_DEVICE.match(line)
        device = match["device"] if match else ""
        uuid = (uuids or {}).get(device) or (device.removeprefix(BY_UUID) if device.startswith(BY_UUID) else None)
        return line if match is None or uuid is None else f"{match['before']}UUID={uuid}{line[match.end() :]}"

    return _by_line(data, edit)


def lvm_filters(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in the filters of lvm.conf(5): LVM ignores every disk that does not pass."""
    return lvm.edit(data, names)


def mdadm(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in mdadm.conf(5): in the lines DEVICE and ARRAY, and the lines that continue them."""
    wanted = False

    def edit(line: str) -> str:
        nonlocal wanted
        if line and line[0] not in " \t#":
            wanted = line[:3].lower() in {"dev", "arr"}
        return names.rename_patterns_in(line) if wanted and not line.startswith("#") else line

    return _by_line(data, edit)


def grub_defaults(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in /etc/default/grub and similar files: in the kernel command lines and GRUB's devices."""
    return edit_values(data, _GRUB_CMDLINE, lambda text: command_line(text, names))


def dracut(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in dracut.conf(5): in kernel_cmdline, and in the devices that the initramfs waits for."""
    return edit_values(data, _DRACUT, names.rename_in)


def resume(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in initramfs-tools's configuration: in the assignments to RESUME, ROOT and CRYPTDEVICE."""
    return edit_values(data, _RESUME, names.rename_in)


def kernel_arguments(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks everywhere in a file of kernel arguments: dracut's cmdline.d, and its copies in an initramfs."""
    return _by_line(data, names.rename_in)


def crypttab_in_initramfs(data: bytes) -> bytes:
    """Add the option ``initramfs`` to devices with a passphrase, so that initramfs-tools always includes them.

    It would look for them under the names that they have in the appliance. Devices with a key file are left out: the
    file is on a disk of the guest, which the initramfs cannot read.
    """

    def edit(line: str) -> str:
        match = _FIELDS.match(line)
        parts = re.split(r"([ \t]+)", match["fields"].rstrip(), flags=re.ASCII) if match else []
        if not match or len(parts) < 5 or parts[4] not in {"none", "-"}:
            return line
        rest = line[match.start("fields") + len("".join(parts)) :]
        if len(parts) == 5:
            parts += [" ", "initramfs"]
        elif "initramfs" not in parts[6].split(","):
            parts[6] += ",initramfs"
        return match["indent"] + "".join(parts) + rest

    return _by_line(data, edit)


def resume_device(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in uswsusp.conf: ``resume device = /dev/sda5``."""
    return _by_line(data, lambda line: names.rename_in(line) if line.lstrip().startswith("resume device") else line)


def kernel_lines(data: bytes, names: DeviceNames, *, root: RootName | None = None) -> bytes:
    """Rename disks on the kernel command lines of a boot loader's configuration, and nowhere else in it.

    :param root: the value of root= for the new name of a disk; without it, root= gets the new name.
    """

    def edit(line: str) -> str:
        if not _KERNEL_LINE.match(line):
            return line
        return command_line(line, names, root=root)

    return _by_line(data, edit)


def command_line(text: str, names: DeviceNames, *, root: RootName | None = None) -> str:
    """Rename disks on a kernel command line; nothing else in the text may look like a disk.

    :param root: the value of root= for the new name of a disk; without it, root= gets the new name.
    """

    def edit(match: re.Match[str]) -> str:
        new = names.rename(match["device"])
        if new is None:
            return names.rename_in(match[0])
        by_uuid = _by_uuid(new) if new.startswith(BY_UUID) else None
        if by_uuid is None and root is not None and match["name"] == "root":
            by_uuid = root(new)
        return f"{match['name']}={by_uuid or new}"

    # The new name must not be renamed once more: it can be the old name of another disk.
    parts, position = [], 0
    for match in _FILE_SYSTEM.finditer(text):
        parts += [names.rename_in(text[position : match.start()]), edit(match)]
        position = match.end()
    return "".join([*parts, names.rename_in(text[position:])])


def kernel_cmdline(data: bytes, names: DeviceNames, *, root: RootName | None = None) -> bytes:
    """Rename disks in /etc/kernel/cmdline: a kernel command line and comments."""
    return _by_line(data, lambda line: line if line.lstrip().startswith("#") else command_line(line, names, root=root))


def device_map(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in GRUB's device.map. A by-id link of the old hypervisor is replaced by the N-th disk, for (hdN)."""
    in_order = list(dict.fromkeys(names.disks.values()))

    def edit(line: str) -> str:
        match = _DEVICE_MAP.match(line)
        if not match:
            return line
        device, number = match["device"], int(match["number"])
        new = names.rename(device)
        if new is None and device.startswith(("/dev/disk/by-id/", "/dev/disk/by-path/")) and number < len(in_order):
            new = "/dev/" + sorted(in_order, key=lambda name: (len(name), name))[number]
        return line if new is None else match["drive"] + new + match["rest"] + line[match.end() :]

    return _by_line(data, edit)


def mount_unit(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in a systemd unit."""
    return systemd_units.unit(data, names)


def _by_uuid(link: str) -> str:
    return f"UUID={link.removeprefix(BY_UUID)}"


def _by_line(data: bytes, edit: Callable[[str], str]) -> bytes:
    return "\n".join(edit(line) for line in data.decode("latin-1").split("\n")).encode("latin-1")


def _fields(line: str, names: DeviceNames, columns: set[int]) -> str:
    match = _FIELDS.match(line)
    if not match:
        return line
    parts = re.split(r"([ \t]+)", match["fields"], flags=re.ASCII)
    # Fields are at even positions, the blanks between them at odd ones.
    edited = (
        names.rename_in(part) if position % 2 == 0 and position // 2 in columns else part
        for position, part in enumerate(parts)
    )
    return match["indent"] + "".join(edited) + line[match.end() :]
