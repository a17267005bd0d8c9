# SPDX-License-Identifier: GPL-2.0-or-later
"""The way of a guest of the Red Hat family from its bootstrapped packages to its disks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from guests.assembly import appliance, assemble
from guests.bootstrap import configure, kernel_versions, take_virtio_away
from guests.disk_images import make_disks
from guests.grub_with_bls import write_boot_sector
from guests.host import HostError
from guests.recipe import Recipe, disk_names
from guests.rpm_family import BRANDS, default_version, environment, rebrand

_MENU = "/boot/grub2/grub.cfg"


def make_rpm_guest(recipe: Recipe, root: Path, work: Path, grub: Path) -> dict[str, Any]:
    """Make the guest's disks in the work directory and return what is to be known about it.

    :param root: the guest's files as they were bootstrapped.
    :param grub: the directory of a GRUB that knows the Boot Loader Specification.
    """
    kernels = kernel_versions(root)
    if len(kernels) != len(recipe.kernels):
        raise HostError(f"the guest {recipe.name} has the kernels {kernels}, not one of {recipe.kernels} each")
    take_virtio_away(recipe, root)
    configure(recipe, root)
    rebrand(recipe, root, grub)
    default = default_version(recipe, root)
    assemble(recipe, work, make_disks(recipe, root, work))
    write_boot_sector(grub, work / disk_names(recipe)[0])
    menu, listings = _finish(recipe, work, kernels, default)
    modules = {version: _checked_modules(recipe, version, listing) for version, listing in listings.items()}
    return {"kernels": kernels, "initramfs_modules": modules, "grub_menu": menu}


def _finish(recipe: Recipe, work: Path, kernels: list[str], default: str) -> tuple[list[str], dict[str, str]]:
    """Have the guest write its menu and choose its default; return the menu's lines and the images' lists of files."""
    with appliance(recipe, work) as guest:
        for mountpoint, device, options in recipe.mounts:
            guest.mount_options(options, device, mountpoint)
        guest.command(["grub2-mkconfig", "-o", _MENU])
        text = bytes(guest.read_file(_MENU)).decode(errors="replace")
        menu = [line.strip() for line in text.splitlines() if re.match(r"\s*(menuentry|linux|blscfg)\b", line)]
        if BRANDS[recipe.brand].bls:
            if menu != ["blscfg"]:
                raise HostError(f"grub2-mkconfig wrote no menu of {recipe.name} that reads its entries: {menu}")
        else:
            titles = re.findall(r"^menuentry '([^']+)'", text, re.MULTILINE)
            chosen = [title for title in titles if title.endswith(f" {default}")]
            if len(titles) != len(kernels) + 1 or len(chosen) != 1:
                raise HostError(f"grub2-mkconfig wrote these entries for {recipe.name}: {titles}")
            # What RHEL 7 remembers is a title.
            guest.write("/boot/grub2/grubenv", environment(chosen[0]).encode())
            guest.chmod(0o644, "/boot/grub2/grubenv")
        listings = {version: guest.command(["lsinitrd", f"/boot/initramfs-{version}.img"]) for version in kernels}
        guest.umount_all()
    return menu, listings


def _checked_modules(recipe: Recipe, version: str, listing: str) -> list[str]:
    """Return the modules in an initramfs, having checked that they are those of a guest on VMware."""
    modules = sorted({Path(line.split()[-1]).name.split(".ko")[0] for line in listing.splitlines() if ".ko" in line})
    if virtio := [name for name in modules if "virtio" in name]:
        raise HostError(f"the initramfs of {recipe.name} for {version} has these virtio modules: {virtio}")
    # A kernel made for clouds has few of them.
    missing = set(recipe.initramfs_modules) - {name.replace("-", "_") for name in modules}
    if missing and "cloud" not in version:
        raise HostError(f"the initramfs of {recipe.name} for {version} lacks {sorted(missing)}")
    return modules
