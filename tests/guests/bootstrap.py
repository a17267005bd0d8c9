# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a guest: packages from the mirror, and what an administrator of such a machine would have written."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from guests.disk_images import write_file
from guests.host import HostError, run
from guests.recipes import BASE_PACKAGES, MARKER, ROOT_PASSWORD, Recipe, identity_of

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
root=$(findmnt -vno SOURCE /)
mounts=$(findmnt -rvno TARGET,SOURCE --real | tr ' ' '=' | paste -sd,)
swap=$(swapon --show=NAME --noheadings | paste -sd,)
failed=$(systemctl --failed --no-legend --plain | wc -l)
units=$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | paste -sd,)
printf '\\n{MARKER} root=%s failed=%s units=%s swap=%s mounts=%s\\n' "$root" "$failed" "$units" "$swap" "$mounts"
"""


def bootstrap(recipe: Recipe, root: Path) -> None:
    """Install the packages into the root directory."""
    install_packages(recipe.suite, (*BASE_PACKAGES, *recipe.packages), root)


def install_packages(suite: str, packages: Sequence[str], root: Path) -> None:
    """Install packages of a suite, and what they need, into the root directory."""
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
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in unneeded),
            f"--include={','.join(packages)}",
            suite,
            root,
            *_apt_line(suite),
        ]
    )


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
    arguments = " ".join(filter(None, ("console=tty0 console=ttyS0,115200", recipe.kernel_arguments)))
    grub = [
        "GRUB_DEFAULT=0",
        "GRUB_TIMEOUT=1",
        'GRUB_DISTRIBUTOR="Debian"',
        'GRUB_CMDLINE_LINUX_DEFAULT=""',
        f'GRUB_CMDLINE_LINUX="{arguments}"',
        'GRUB_TERMINAL="serial console"',
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"',
        *(() if recipe.linux_uuid else ("GRUB_DISABLE_LINUX_UUID=true",)),
    ]
    write_file(root, "/etc/default/grub", "\n".join(grub) + "\n")
    write_file(root, "/etc/fstab", _fstab(recipe))
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
    for path, text in recipe.files:
        write_file(root, path, text)
    in_root(root, ["systemctl", "enable", "--quiet", f"{MARKER.lower()}.service"])
    in_root(root, ["chpasswd"], stdin=f"root:{ROOT_PASSWORD}\n")
    # What the installer answers for the administrator: where a later upgrade of GRUB writes its boot sector.
    in_root(root, ["debconf-set-selections"], stdin="grub-pc grub-pc/install_devices multiselect /dev/sda\n")


def _fstab(recipe: Recipe) -> str:
    """Return the guest's /etc/fstab."""
    lines = ["# <file system> <mount point> <type> <options> <dump> <pass>"]
    for disk_index, disk in enumerate(recipe.disks):
        for number, partition in enumerate(disk.partitions, start=1):
            name = f"sd{chr(ord('a') + disk_index)}{number}"
            source = f"/dev/{name}" if partition.named_by == "device" else f"UUID={identity_of(recipe, name)}"
            if partition.filesystem == "swap":
                lines.append(f"{source} none swap sw 0 0")
            elif partition.mountpoint:
                order = 0 if partition.filesystem == "xfs" else 1 if partition.mountpoint == "/" else 2
                lines.append(f"{source} {partition.mountpoint} {partition.filesystem} {partition.options} 0 {order}")
    return "\n".join(lines) + "\n"


def make_initramfs(recipe: Recipe, root: Path) -> list[str]:
    """Make the initramfs as the recipe wants it, check it, and return the names of the modules in it."""
    settings = root / "etc/initramfs-tools/initramfs.conf"
    original = settings.read_text()
    if recipe.initramfs_modules:
        # MODULES=dep looks at the hardware it runs on, which is this host's: name what it would have found on VMware.
        listed = _replace_setting(_replace_setting(original, "MODULES", "list"), "FSTYPE", "ext4")
        settings.write_text(listed)
        modules_file = root / "etc/initramfs-tools/modules"
        before = modules_file.read_text()
        modules_file.write_text("\n".join(recipe.initramfs_modules) + "\n")
        in_root(root, ["update-initramfs", "-u", "-k", "all"])
        modules_file.write_text(before)
        settings.write_text(_replace_setting(original, "MODULES", "dep"))
    else:
        in_root(root, ["update-initramfs", "-u", "-k", "all"])
    images = sorted((root / "boot").glob("initrd.img-*"))
    if len(images) != 1:
        raise HostError(f"the guest {recipe.name} has {len(images)} initramfs images, not one")
    modules = sorted(
        # the guest's own program: a host of another family has none
        Path(line).name.split(".ko")[0]
        for line in run(["chroot", root, "lsinitramfs", f"/boot/{images[0].name}"]).splitlines()
        if ".ko" in line
    )
    virtio = [name for name in modules if "virtio" in name]
    if bool(virtio) == bool(recipe.initramfs_modules):
        raise HostError(f"the initramfs of {recipe.name} has these virtio modules: {virtio}")
    if missing := set(recipe.initramfs_modules) - set(modules):
        raise HostError(f"the initramfs of {recipe.name} lacks {sorted(missing)}")
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
