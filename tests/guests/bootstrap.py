# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a guest: packages from the mirror, and what an administrator of such a machine would have written."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from guests.disk_images import write_file
from guests.host import HostError, run
from guests.networks import DROP_IN, SCRIPT_PATH, UNITS, configuration, script
from guests.recipe import MARKER, ROOT_PASSWORD, Recipe, filesystem_identity, identity_of, source_of
from guests.storage import Luks, Raid, RandomSwap

_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")

_MARKER_UNIT = f"""\
[Unit]
Description=Tell the serial console that the guest is up
After=basic.target swap.target remote-fs.target dbus.service systemd-logind.service systemd-user-sessions.service
After=open-vm-tools.service vgauth.service qemu-guest-agent.service
Before=serial-getty@ttyS0.service getty@tty1.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/{MARKER.lower()}
StandardOutput=tty
TTYPath=/dev/ttyS0

[Install]
WantedBy=multi-user.target
"""

# The empty line first: the kernel may have left the cursor in the middle of one.
_MARKER_SCRIPT = f"""\
#!/bin/sh
kernel=$(uname -r)
root=$(findmnt -vno SOURCE /)
mounts=$(findmnt -rvno TARGET,SOURCE --real | tr ' ' '=' | paste -sd,)
swap=$(swapon --show=NAME --noheadings | paste -sd,)
failed=$(systemctl --failed --no-legend --plain | wc -l)
units=$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | paste -sd,)
facts=$(printf 'kernel=%s root=%s failed=%s units=%s' "$kernel" "$root" "$failed" "$units")
printf '\\n{MARKER} %s swap=%s mounts=%s\\n' "$facts" "$swap" "$mounts"
"""


def bootstrap(recipe: Recipe, tree: Path) -> None:
    """Install the guest's packages and write the result as a tar file, which guests with the same packages share."""
    install_packages(recipe.suite, recipe.all_packages, tree, "tar")


def install_packages(
    suite: str, packages: Sequence[str], target: Path, kind: Literal["directory", "tar"] = "directory"
) -> None:
    """Install packages of a suite, and what they need, into a directory or a tar file."""
    unneeded = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
    run(
        [
            # Its mounts and its children must not outlive it, and mmdebstrap puts off its own end when it is told to.
            *_NAMESPACES,
            "--mount-proc",
            "--",
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            f"--format={kind}",
            # A mirror that has stood still for weeks, of a testing suite mostly, is good enough for a test; what it
            # serves is checked against the signatures as ever.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in unneeded),
            f"--include={','.join(packages)}",
            suite,
            target,
            *_apt_line(suite),
        ]
    )


def unpack(tree: Path, root: Path) -> None:
    """Make the root directory of a guest from what was bootstrapped."""
    root.mkdir()
    run(["tar", "--extract", "--file", tree, "--directory", root, "--numeric-owner", "--xattrs", "--xattrs-include=*"])


def _apt_line(suite: str) -> list[str]:
    """Return a Debian host's own package source, turned to another suite: mirrors are the host's business.

    On a host that is no Debian there is nothing to return, and mmdebstrap uses the mirror that it knows.
    """
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return []
    host_suite = release.get("VERSION_CODENAME", "")
    for uri, suites, options in _apt_sources():
        if host_suite in suites:
            return [f"deb {options}{uri} {suite} main"]
    raise HostError(f"the host's apt has no source for its own suite {host_suite!r}")


def _apt_sources() -> Iterator[tuple[str, Sequence[str], str]]:
    """Yield URI, suites and options of every binary package source of the host, of both formats."""
    etc = Path("/etc/apt")
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = {
                name.lower(): " ".join(value.split())
                for name, value in re.findall(r"^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)
            }
            if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
                continue
            signed_by = fields.get("signed-by", "")
            options = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
            for uri in fields.get("uris", "").split():
                yield uri, fields.get("suites", "").split(), options
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))):
        for line in path.read_text().splitlines() if path.exists() else ():
            if found := re.match(r"\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)", line):
                yield found[2], [found[3]], found[1] or ""


def configure(recipe: Recipe, root: Path) -> None:
    """Write what an administrator of such a machine would have written."""
    write_file(root, "/etc/default/grub", _grub_settings(recipe, root))
    write_file(root, "/etc/fstab", _fstab(recipe))
    if crypttab := _crypttab(recipe):
        write_file(root, "/etc/crypttab", crypttab)
    if arrays := [layer for layer in recipe.layers if isinstance(layer, Raid)]:
        lines = [f"ARRAY /dev/{array.device} metadata=1.2 UUID={raid_identity(recipe, array)}" for array in arrays]
        text = "\n".join(["HOMEHOST <system>", "MAILADDR root", *lines])
        write_file(root, "/etc/mdadm/mdadm.conf", text + "\n")
    write_file(root, "/etc/hostname", recipe.name + "\n")
    write_file(root, "/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {recipe.name}\n")
    # With an identity the guest is no first boot, which would redo every unit's preset.
    write_file(root, "/etc/machine-id", identity_of(recipe, "machine").hex + "\n")
    if recipe.resume:
        write_file(root, "/etc/initramfs-tools/conf.d/resume", f"RESUME={recipe.resume}\n")
    if recipe.device_map:
        write_file(root, "/boot/grub/device.map", "(hd0)\t/dev/sda\n")
    write_file(root, f"/etc/systemd/system/{MARKER.lower()}.service", _MARKER_UNIT)
    write_file(root, f"/usr/local/sbin/{MARKER.lower()}", _MARKER_SCRIPT, 0o755)
    if recipe.network != "none":
        write_file(root, SCRIPT_PATH, script(more_links=recipe.more_links))
        write_file(root, f"/etc/systemd/system/{MARKER.lower()}.service.d/addresses.conf", DROP_IN)
    for path, text, mode in configuration(recipe.network):
        write_file(root, path, text, mode)
    for path, text in recipe.files:
        write_file(root, path, text)
    for unit in (f"{MARKER.lower()}.service", *UNITS[recipe.network]):
        in_root(root, ["systemctl", "enable", "--quiet", unit])
    in_root(root, ["chpasswd"], stdin=f"root:{ROOT_PASSWORD}\n")
    if recipe.boot == "bios":
        # What the installer answers for the administrator: where a later upgrade of GRUB writes its boot sector.
        in_root(root, ["debconf-set-selections"], stdin="grub-pc grub-pc/install_devices multiselect /dev/sda\n")


def _grub_settings(recipe: Recipe, root: Path) -> str:
    """Return the guest's /etc/default/grub."""
    arguments = " ".join(filter(None, ("console=tty0 console=ttyS0,115200", recipe.kernel_arguments)))
    default = "0"
    if recipe.own_kernel:
        (identity,) = (filesystem_identity(recipe, place) for place in recipe.places if place.volume.mountpoint == "/")
        default = f'"gnulinux-advanced-{identity}>gnulinux-{own_kernel(recipe, root)}-advanced-{identity}"'
    lines = [
        f"GRUB_DEFAULT={default}",
        "GRUB_TIMEOUT=1",
        'GRUB_DISTRIBUTOR="Debian"',
        'GRUB_CMDLINE_LINUX_DEFAULT=""',
        f'GRUB_CMDLINE_LINUX="{arguments}"',
        'GRUB_TERMINAL="serial console"',
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"',
        *(() if recipe.linux_uuid else ("GRUB_DISABLE_LINUX_UUID=true",)),
    ]
    return "\n".join(lines) + "\n"


def _fstab(recipe: Recipe) -> str:
    """Return the guest's /etc/fstab."""
    lines = ["# <file system> <mount point> <type> <options> <dump> <pass>"]
    for place in recipe.places:
        volume = place.volume
        source = source_of(recipe, place)
        if volume.filesystem == "swap":
            lines.append(f"{source} none swap sw 0 0")
        for mountpoint, needed in volume.mounts:
            options = ",".join(filter(None, (volume.options, needed)))
            unchecked = volume.filesystem in {"xfs", "btrfs"}
            order = 0 if unchecked else 1 if mountpoint == "/" else 2
            kind = "vfat" if volume.filesystem == "esp" else volume.filesystem
            lines.append(f"{source} {mountpoint} {kind} {options} 0 {order}")
    lines += [f"/dev/mapper/{layer.name} none swap sw 0 0" for layer in recipe.layers if isinstance(layer, RandomSwap)]
    return "\n".join(lines) + "\n"


def _crypttab(recipe: Recipe) -> str:
    """Return the guest's /etc/crypttab, or nothing."""
    lines: list[str] = []
    for layer in recipe.layers:
        match layer:
            case Luks():
                by_uuid = f"UUID={identity_of(recipe, layer.name)}"
                lines.append(f"{layer.name} {by_uuid if layer.named_by == 'uuid' else f'/dev/{layer.on}'} none luks")
            case RandomSwap():
                lines.append(f"{layer.name} /dev/{layer.on} /dev/urandom swap,cipher=aes-xts-plain64,size=256")
            case _:
                pass
    return "".join(f"{line}\n" for line in lines)


def raid_identity(recipe: Recipe, array: Raid) -> str:
    """Return the UUID of the array in md's own notation."""
    digits = identity_of(recipe, array.device).hex
    return ":".join(digits[place : place + 8] for place in range(0, 32, 8))


def own_kernel(recipe: Recipe, root: Path) -> str:
    """Return the version of the kernel that the administrator has made without virtio."""
    flavour = re.compile(rf"[0-9.+~-]+(?:deb\d+-)?{recipe.own_kernel}")
    found = [version for version in kernel_versions(root) if flavour.fullmatch(version)]
    if len(found) != 1:
        raise HostError(f"the guest {recipe.name} has these kernels of its own: {found}")
    return found[0]


def kernel_versions(root: Path) -> list[str]:
    """Return the versions of the guest's kernels."""
    return sorted(path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))


def take_virtio_away(recipe: Recipe, root: Path) -> None:
    """Make one of the kernels such as an administrator builds for the hardware that he has."""
    if not recipe.own_kernel:
        return
    version = own_kernel(recipe, root)
    drivers = [path for path in (root / "lib/modules" / version).rglob("*.ko*") if "virtio" in path.name]
    if not drivers:
        raise HostError(f"the kernel {version} of {recipe.name} has no virtio drivers to be taken away")
    for path in drivers:
        path.unlink()
    in_root(root, ["depmod", version])


def make_initramfs(recipe: Recipe, root: Path) -> dict[str, str]:
    """Make every initramfs as the recipe wants it, or write the settings for it where only the appliance can make it.

    With a key in the way of the root filesystem it is the appliance that can: cryptsetup looks for what is mounted.

    :return: the files of the guest, with their contents, that belong there after the initramfs has been made.
    """
    settings, modules = "/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/modules"
    afterwards: dict[str, str] = {}
    if recipe.initramfs_modules:
        # MODULES=dep looks at the hardware it runs on, which is this host's: name what it would have found on VMware.
        original = (root / settings.lstrip("/")).read_text()
        afterwards[settings] = _replace_setting(original, "MODULES", "dep")
        afterwards[modules] = (root / modules.lstrip("/")).read_text()
        (root_type,) = (place.volume.filesystem for place in recipe.places if "/" in dict(place.volume.mounts))
        listed = _replace_setting(_replace_setting(original, "MODULES", "list"), "FSTYPE", root_type)
        write_file(root, settings, listed)
        write_file(root, modules, "\n".join(recipe.initramfs_modules) + "\n")
    if recipe.encrypted:
        return afterwards
    in_root(root, ["update-initramfs", "-u", "-k", "all"])
    for path, text in afterwards.items():
        write_file(root, path, text)
    return {}


def check_initramfs(recipe: Recipe, version: str, listing: str, *, own: bool) -> list[str]:
    """Return the names of the modules in an initramfs, having checked them.

    :param listing: what the guest's own lsinitramfs says: a host of another family has none.
    :param own: whether its kernel is the one that has no virtio drivers.
    """
    modules = sorted({Path(line).name.split(".ko")[0] for line in listing.splitlines() if ".ko" in line})
    virtio = [name for name in modules if "virtio" in name]
    if bool(virtio) == (own or bool(recipe.initramfs_modules)):
        raise HostError(f"the initramfs of {recipe.name} for {version} has these virtio modules: {virtio}")
    if missing := set(recipe.initramfs_modules) - {name.replace("-", "_") for name in modules}:
        raise HostError(f"the initramfs of {recipe.name} for {version} lacks {sorted(missing)}")
    return modules


def _replace_setting(text: str, name: str, value: str) -> str:
    """Return the shell assignments with one of them changed."""
    changed, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
    if count != 1:
        raise HostError(f"initramfs.conf sets {name} {count} times")
    return changed


def in_root(root: Path, arguments: Sequence[str], *, stdin: str | None = None) -> None:
    """Run one of the guest's programs in its root directory; its /proc goes away with it."""
    inside = [*_NAMESPACES, f"--root={root}", "--mount-proc=/proc", "--"]
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    run([*inside, *arguments], stdin=stdin, environment=clean)
