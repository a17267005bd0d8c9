# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the appliance can do for a guest: md, LUKS and LVM, a FAT, and GRUB; this host's kernel may have none."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import guestfs  # type: ignore[import-untyped, import-not-found, unused-ignore]

from guests.bootstrap import raid_identity
from guests.host import HostError, appliance_environment
from guests.recipe import Recipe, disk_names, filesystem_identity, identity_of
from guests.storage import LUKS_PASSPHRASE, Luks, Placed, Raid, VolumeGroup

_ATTEMPTS = 6


def assemble(recipe: Recipe, work: Path, filesystems: Sequence[tuple[Placed, Path]]) -> None:
    """Make the layers upon the partitions and put the images of the filesystems into them, which are deleted."""
    if not recipe.layers:
        return
    sources = [part for _, part in filesystems]
    with appliance(recipe, work, sources) as guest:
        for layer in recipe.layers:
            match layer:
                case Raid():
                    _make_raid(guest, recipe, layer)
                case Luks():
                    _make_luks(guest, recipe, layer)
                case VolumeGroup():
                    for device in layer.on:
                        guest.pvcreate(f"/dev/{device}")
                    guest.vgcreate(layer.name, [f"/dev/{device}" for device in layer.on])
                    for volume in layer.volumes:
                        guest.lvcreate(volume.name, layer.name, volume.size)
                case _:
                    pass
        devices = guest.list_devices()[len(recipe.disks) :]
        for (place, part), source in zip(filesystems, devices, strict=True):
            # What was never written behind a key is not zero, so there the zeros have to be written as well.
            guest.copy_device_to_device(
                source, f"/dev/{place.device}", size=part.stat().st_size, sparse=not recipe.encrypted
            )
        guest.sync()
    for part in sources:
        part.unlink()


def _make_raid(guest: Any, recipe: Recipe, array: Raid) -> None:
    """Make an array of partitions that are all zero still, so that there is nothing to be synchronized."""
    members = [f"/dev/disk/guestfs/{member}" for member in array.members]
    options = [
        *("--run", "--metadata=1.2", "--level=1", "--assume-clean", "--homehost=any", f"--name={array.number}"),
        *(f"--uuid={raid_identity(recipe, array)}", f"--raid-devices={len(members)}"),
    ]
    _shell(guest, ["mdadm", "--create", f"/dev/{array.device}", *options, *members])


def _make_luks(guest: Any, recipe: Recipe, layer: Luks) -> None:
    """Encrypt a partition, with a derivation of the key that an emulated machine gets done."""
    identity = str(identity_of(recipe, layer.name))
    options = ["--batch-mode", "--type=luks2", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", f"--uuid={identity}"]
    command = shlex.join(["cryptsetup", "luksFormat", *options, f"/dev/disk/guestfs/{layer.on}", "-"])
    guest.debug("sh", [f"printf %s {shlex.quote(LUKS_PASSPHRASE)} | {command}"])
    _open_luks(guest, layer)


def _open_luks(guest: Any, layer: Luks) -> None:
    guest.cryptsetup_open(f"/dev/{layer.on}", LUKS_PASSPHRASE, layer.name)


@dataclasses.dataclass(frozen=True)
class Finished:
    """What the finished guest has: the kernel lines of GRUB's menu, and the lists of files of its initramfs images."""

    menu: list[str]
    initramfs: dict[str, str]


def finish(recipe: Recipe, work: Path, kernels: Sequence[str], afterwards: Mapping[str, str]) -> Finished:
    """Make the initramfs of a guest behind a key, install GRUB and have it write its menu.

    :param kernels: their versions.
    :param afterwards: the files of the guest that have other contents after its initramfs has been made.

    On a loop device of the host, grub-mkconfig writes a menu without entries and says nothing.
    """
    with appliance(recipe, work) as guest:
        for layer in recipe.layers:
            if isinstance(layer, Luks):
                _open_luks(guest, layer)
        if recipe.encrypted:
            guest.lvm_scan(True)
        for mountpoint, device, options in recipe.mounts:
            guest.mount_options(options, device, mountpoint)
        if recipe.encrypted:
            guest.command(["update-initramfs", "-u", "-k", "all"])
            for path, text in afterwards.items():
                guest.write(path, text.encode())
        if recipe.boot == "bios":
            boot_disks = [
                "/dev/sda",
                *(["/dev/sdb"] if any(isinstance(layer, Raid) for layer in recipe.layers) else []),
            ]
            for disk in boot_disks:
                guest.command(["grub-install", "--target=i386-pc", disk])
        else:
            signed = ["--uefi-secure-boot" if recipe.boot == "uefi-signed" else "--no-uefi-secure-boot"]
            where = ["--target=x86_64-efi", "--efi-directory=/boot/efi", "--bootloader-id=debian", "--no-nvram"]
            guest.command(["grub-install", *where, *signed])
            if guest.exists("/boot/efi/EFI/BOOT"):
                raise HostError(f"{recipe.name} boots without variables of its firmware, which a guest here must not")
        guest.command(["update-grub"])
        listings = {version: guest.command(["lsinitramfs", f"/boot/initrd.img-{version}"]) for version in kernels}
        text = bytes(guest.read_file("/boot/grub/grub.cfg")).decode(errors="replace")
        guest.umount_all()
    menu = [line.strip() for line in text.splitlines() if re.match(r"\s*linux\s", line)]
    wanted = f"root={_root_in_menu(recipe)}"
    if not menu or not all(wanted in line.split() for line in menu):
        raise HostError(f"grub-mkconfig wrote these kernel lines for {recipe.name}, without {wanted}: {menu}")
    return Finished(menu, listings)


def _root_in_menu(recipe: Recipe) -> str:
    """Return what grub-mkconfig calls the root filesystem: a logical volume has its own name whatever is set."""
    (root,) = (place for place in recipe.places if "/" in dict(place.volume.mounts))
    logical = root.layered and any(isinstance(layer, VolumeGroup) for layer in recipe.layers)
    if logical or not recipe.linux_uuid:
        return f"/dev/{root.device}"
    return f"UUID={filesystem_identity(recipe, root)}"


@contextlib.contextmanager
def appliance(recipe: Recipe, work: Path, more: Sequence[Path] = ()) -> Iterator[Any]:
    """Start an appliance with the guest's disks and more images after them; what it wrote is on the disks at the end.

    There the disks are called sda and sdb as in the guest itself, mostly: the appliance's kernel names them in the
    order in which they answer, and libguestfs translates names for its own calls only, not for the guest's programs.
    So the names are checked before anything is done, and another appliance is started if they are not the guest's.
    """
    for _ in range(_ATTEMPTS):
        guest = guestfs.GuestFS(python_return_dict=True)
        try:
            environment = appliance_environment()
            guest.set_backend(environment["LIBGUESTFS_BACKEND"])
            if settings := environment["LIBGUESTFS_BACKEND_SETTINGS"]:
                guest.set_backend_settings(settings.split(":"))
            names = [name.removesuffix(".img") for name in disk_names(recipe)]
            for name in names:
                guest.add_drive_opts(str(work / f"{name}.img"), format="raw", label=name, cachemode="unsafe")
            for path in more:
                guest.add_drive_opts(str(path), format="raw", readonly=True)
            guest.launch()
            if all(_shell(guest, ["readlink", "-f", f"/dev/disk/guestfs/{name}"]) == f"/dev/{name}" for name in names):
                yield guest
                guest.shutdown()
                return
        finally:
            guest.close()
    raise HostError(f"{_ATTEMPTS} appliances in turn called the disks of {recipe.name} by other names than the guest")


def _shell(guest: Any, arguments: Sequence[str]) -> str:
    """Run a program of the appliance itself."""
    return str(guest.debug("sh", [shlex.join(arguments)])).strip()
