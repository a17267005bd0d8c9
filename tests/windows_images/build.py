# SPDX-License-Identifier: GPL-2.0-or-later
"""Build Windows guests into the cache of the test guests: seconds each, no appliance.

From the tests directory, ``python3 -m windows_images.build [NAME…]`` builds the named guests (without a name those of
``make test``) and prints the paths of their disks. It needs root, or a mount program of FUSE that has its rights.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from guests.build import cache_directory, digest, kept
from windows_images import real_hives
from windows_images.bcd import write_bcd
from windows_images.disk import make_data_disk, make_disk, places, system_place
from windows_images.programs import Programs, programs
from windows_images.recipe import Windows
from windows_images.regf import edit_hive, soil, sz, write_hive
from windows_images.software_hive import software_tree
from windows_images.system_hive import mounted_devices, system_tree

#: When one of these changes, the guests are made anew.
_MAKERS = (
    *("bcd.py", "build.py", "disk.py", "ntfs.py", "places.py", "programs.py", "regf.py"),
    *("software_hive.py", "system_hive.py"),
)
_PROGRAMS = (
    "Windows/explorer.exe",
    "Windows/System32/cmd.exe",
    "Windows/System32/ntoskrnl.exe",
    "Windows/System32/hal.dll",
    "Windows/System32/services.exe",
    "Windows/System32/smss.exe",
    "Windows/System32/winlogon.exe",
    "Windows/System32/WindowsPowerShell/v1.0/powershell.exe",
)
_DIRECTORIES = (
    "Program Files/Common Files",
    "ProgramData",
    "Users/Public/Desktop",
    "Users/Administrator",
    "Windows/System32/drivers/etc",
    "Windows/System32/config/TxR",
    "Windows/Temp",
)
_INF = '[Version]\r\nSignature="$WINDOWS NT$"\r\nClass=System\r\nProvider="Test"\r\n'
_BOOT_INI = (
    "[boot loader]\r\ntimeout=30\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS\r\n[operating systems]\r\n"
    'multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Microsoft Windows XP Professional" /noexecute=optin /fastdetect\r\n'
)


def disks(recipe: Windows) -> tuple[Path, ...]:
    """Return the disks of a guest in their order, read-only, building it first where the cache lacks it.

    :raises real_hives.NoHives: it is made of real hives, and they are not here.
    """
    here = Path(__file__).parent
    sources = b"".join((here / name).read_bytes() for name in _MAKERS)
    if recipe.hives == "windows-7":
        real_hives.windows_7()
    elif recipe.hives == "windows-10-system":
        cache_directory().mkdir(parents=True, exist_ok=True)
        real_hives.windows_10_system(cache_directory())
    directory = kept(f"windows-{recipe.name}", digest(sources, repr(recipe)), lambda work: build_in(recipe, work))
    return tuple(directory / name for name in recipe.disk_names)


def build_in(recipe: Windows, work: Path) -> None:
    """Build the disks of a guest in a directory, and leave nothing else there."""
    root, esp, data = (work / name for name in ("root", "esp", "data"))
    for directory in (root, esp, data):
        directory.mkdir()
    own = programs(recipe.arch)
    _write_files(recipe, root, own)
    _write_hives(recipe, root / "Windows" / "System32" / "config")
    _write_drivers(root, own)
    _write_boot_files(recipe, root, esp, own)
    for path, content in recipe.files.items():
        write(root, path, content)
    if recipe.filler:
        (root / "pagefile.sys").write_bytes(bytes(recipe.filler * 1024 * 1024))
    if not recipe.vista:
        (root / "Windows").rename(root / "WINDOWS")
    make_disk(recipe, work / "sda.img", root, esp)
    if recipe.data_disk:
        write(data, "data.txt", b"Data of the guest.\r\n")
        make_data_disk(recipe, work / "sdb.img", data)
    for directory in (root, esp, data):
        shutil.rmtree(directory)
    for image in work.iterdir():
        image.chmod(0o444)


def _write_files(recipe: Windows, root: Path, own: Programs) -> None:
    """Write what every Windows has, and the programs of VMware Tools."""
    for directory in _DIRECTORIES:
        (root / directory).mkdir(parents=True, exist_ok=True)
    for path in _PROGRAMS:
        write(root, path, own.program)
    if recipe.arch == "x86_64":
        write(root, "Windows/SysWOW64/cmd.exe", own.program)
        (root / "Program Files (x86)").mkdir()
    for name in ("machine.inf", "pci.inf", "disk.inf"):
        write(root, f"Windows/inf/{name}", _INF.encode())
    if recipe.tools:
        write(root, "Program Files/VMware/VMware Tools/vmtoolsd.exe", own.program)


def _write_hives(recipe: Windows, config: Path) -> None:
    """Write the hives, real ones or made ones, and soil those that the recipe says."""
    system, software = config / "SYSTEM", config / "SOFTWARE"
    match recipe.hives:
        case "windows-7":
            found = real_hives.windows_7()
            real_hives.unpack(found["SYSTEM"], system)
            real_hives.unpack(found["SOFTWARE"], software)
            # the letter of the data disk is not in the real hive; C: is
            more = {"MountedDevices": mounted_devices({**places(recipe)})} if recipe.data_disk else {}
            edit_hive(system, {**more, **recipe.system})
            edit_hive(software, recipe.software)
        case "windows-10-system":
            shutil.copyfile(real_hives.windows_10_system(cache_directory()), system)
            edit_hive(system, recipe.system)
            write_hive(software, software_tree(recipe))
        case "phony":
            write_hive(system, system_tree(recipe, places(recipe)))
            write_hive(software, software_tree(recipe))
    for name in ("SAM", "SECURITY", "DEFAULT"):
        write_hive(config / name, {name: {"": sz("")}})
    for name in recipe.dirty_hives:
        soil(config / name)


def _write_drivers(root: Path, own: Programs) -> None:
    """Write a driver for each service of the guest that has one, as its hive names it."""
    for path in _driver_paths(root / "Windows" / "System32" / "config" / "SYSTEM"):
        write(root, path, own.driver)


def _driver_paths(system: Path) -> Iterator[str]:
    import hivex

    hive = hivex.Hivex(str(system))
    sets = [node for node in hive.node_children(hive.root()) if hive.node_name(node).startswith("ControlSet")]
    for control_set in sets:
        for service in hive.node_children(hive.node_get_child(control_set, "Services")):
            values = {hive.value_key(value).casefold(): hive.value_value(value) for value in hive.node_values(service)}
            kind = int.from_bytes(values.get("type", (4, b""))[1], "little")
            text = values.get("imagepath", (2, b""))[1].decode("utf-16-le", "replace").rstrip("\0").replace("\\", "/")
            # drivers of devices (1), of file systems (2) and recognizers (8)
            if kind in {1, 2, 8} and text:
                path = re.sub(r"(?i)^(/systemroot/|(/\?\?/)?c:/windows/|%systemroot%/)?", "", text, count=1)
                if re.fullmatch(r"(?i)(system32/[\w ./-]+)\.sys", path):
                    yield "Windows/System32" + path[len("system32") :].replace("/DRIVERS/", "/drivers/").replace(
                        "/Drivers/", "/drivers/"
                    )


def _write_boot_files(recipe: Windows, root: Path, esp: Path, own: Programs) -> None:
    """Write the loaders and the boot configuration."""
    if not recipe.vista:
        write(root, "boot.ini", _BOOT_INI.encode())
        write(root, "ntldr", b"NTLDR")
        write(root, "NTDETECT.COM", b"NTDETECT")
        return
    for name in ("winload.exe", "winresume.exe"):
        write(root, f"Windows/System32/{name}", own.program)
    loaders = {"EFI/Microsoft/Boot/bootmgfw.efi", "EFI/Microsoft/Boot/memtest.efi", "EFI/Boot/bootx64.efi"}
    if recipe.uefi:
        for name in ("winload.efi", "winresume.efi"):
            write(root, f"Windows/System32/{name}", own.efi)
        for path in loaders:
            write(esp, path, own.efi)
    else:
        write(root, "bootmgr", b"BOOTMGR")
        write(root, "Boot/memtest.exe", own.program)
    bcd = esp / "EFI/Microsoft/Boot/BCD" if recipe.uefi else root / "Boot/BCD"
    name = recipe.product.replace("Windows 10", "Windows 11") if recipe.build >= 22000 else recipe.product
    write_bcd(bcd, system=system_place(recipe), windows=places(recipe)["C"], uefi=recipe.uefi, name=name)


def write(root: Path, path: str, content: bytes) -> None:
    """Write one file of the guest; a later one replaces it in any capitals."""
    target = root
    for part in path.split("/"):
        spelt = {} if not target.is_dir() else {entry.name.casefold(): entry for entry in target.iterdir()}
        target = spelt.get(part.casefold(), target / part)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the guests that are named on the command line and print their disks."""
    from windows_images.recipes import DAILY, RECIPES

    parser = argparse.ArgumentParser(prog="windows_images.build", description="Build Windows guests for the tests.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--all", action="store_true", help="all of them")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(RECIPES):
        parser.error(f"no such guest: {', '.join(sorted(unknown))}")
    for name in chosen.names or (RECIPES if chosen.all else DAILY):
        try:
            for path in disks(RECIPES[name]):
                print(path, flush=True)
        except real_hives.NoHives as reason:
            print(f"{name}: not built: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
