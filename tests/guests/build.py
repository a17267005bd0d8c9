# SPDX-License-Identifier: GPL-2.0-or-later
"""Build real, bootable guests once and keep them in a cache; make tiny images in passing.

From the tests directory, ``python3 -m guests.build [NAME…]`` builds the named guests (all, without a name) and prints
the paths of their disks. The work needs root: it makes the guest's files with their owners, and mounts one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from guests.host import HostError, appliance_environment, run

# Raise it whenever the same recipe gives another guest than before: it is part of the cache's key.
BUILDER_VERSION = 1

ROOT_PASSWORD = "v2v-test"
MARKER = "V2V-GUEST-UP"

_MIB = 1024 * 1024
_NAMES_DIFFER = "v2v-checking-device-names"
_NAMES_AGREE = "v2v-device-names-agree"
_APPLIANCE_ATTEMPTS = 6
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_TYPE_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_TYPE_LINUX = {"dos": "83", "gpt": "0FC63DAF-8483-4772-8E79-3D69D8477DE4"}
_TYPE_SWAP = {"dos": "82", "gpt": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"}


@dataclasses.dataclass(frozen=True)
class Partition:
    """One partition: what is in it and how the guest's /etc/fstab names it."""

    filesystem: Literal["ext4", "xfs", "swap", "bios-boot"]
    size: int = 0  # MiB; 0 takes what is left of the disk
    mountpoint: str = ""
    named_by: Literal["device", "uuid"] = "device"
    options: str = "defaults"


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk: its partition table and its partitions, in order."""

    label: Literal["dos", "gpt"]
    size: int  # MiB
    partitions: tuple[Partition, ...]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one guest differ from another."""

    name: str
    suite: str
    disks: tuple[Disk, ...]
    packages: tuple[str, ...] = ()
    kernel_arguments: str = ""  # in addition to the consoles and root=
    linux_uuid: bool = True  # whether GRUB names the root filesystem by its UUID
    device_map: bool = False  # whether /boot/grub/device.map exists, as older installers left it
    initramfs_modules: tuple[str, ...] = ()  # exactly these in the initramfs, then MODULES=dep; else MODULES=most
    resume: str = ""
    files: tuple[tuple[str, str], ...] = ()


_BASE_PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "procps", "zstd", "busybox", "e2fsprogs"),
    *("initramfs-tools", "linux-image-amd64", "grub-pc"),
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="debian12-vmware",
            suite="bookworm",
            disks=(Disk("dos", 2048, (Partition("ext4", mountpoint="/", options="errors=remount-ro"),)),),
            packages=("open-vm-tools",),
            linux_uuid=False,
            device_map=True,
            initramfs_modules=("mptspi", "mptsas", "vmw_pvscsi", "ata_piix", "sd_mod", "ext4"),
        ),
        Recipe(
            name="debian13-two-disks",
            suite="trixie",
            disks=(
                Disk(
                    "gpt",
                    2560,
                    (
                        Partition("bios-boot", size=1),
                        Partition("ext4", size=256, mountpoint="/boot", named_by="uuid"),
                        Partition("xfs", size=2048, mountpoint="/", named_by="uuid"),
                        Partition("swap"),
                    ),
                ),
                Disk("dos", 256, (Partition("ext4", mountpoint="/srv/data"),)),
            ),
            packages=("xfsprogs",),
            kernel_arguments="resume=/dev/sda4",
            resume="/dev/sda4",
            files=(("/srv/data/ledger.txt", "this file lives on the second disk\n"),),
        ),
    )
}

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


def cache_directory() -> Path:
    """Return the directory that holds the finished guests."""
    chosen = os.environ.get("V2V_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "v2v-test-guests"


def key(recipe: Recipe) -> str:
    """Return what changes whenever the recipe or the builder does."""
    text = json.dumps([BUILDER_VERSION, dataclasses.asdict(recipe)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def disk_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the file names of the guest's disks, in their order."""
    return tuple(f"sd{chr(ord('a') + index)}.img" for index in range(len(recipe.disks)))


def build(recipe: Recipe) -> Path:
    """Return the directory of the finished guest, building the guest first where the cache lacks it.

    The images in it are shared by all tests: read-only, raw, to be used behind an overlay only.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    finished = cache / f"{recipe.name}-{key(recipe)}"
    if finished.is_dir():
        return finished
    with _locked(cache / f".{finished.name}.lock"):
        if finished.is_dir():
            return finished
        # Only the holder of the lock uses these names: what lies there was left by a build that was killed.
        for leftover in cache.glob(f".{finished.name}.tmp*"):
            _discard(leftover)
        work = Path(tempfile.mkdtemp(prefix=f".{finished.name}.tmp", dir=cache))
        try:
            _build_in(recipe, work)
            work.chmod(0o755)
            work.rename(finished)
        except BaseException:
            _discard(work)
            raise
    return finished


def disks(recipe: Recipe) -> tuple[Path, ...]:
    """Return the guest's disk images in their order, building the guest first where the cache lacks it."""
    directory = build(recipe)
    return tuple(directory / name for name in disk_names(recipe))


def overlay(image: Path, target: Path) -> Path:
    """Make a qcow2 overlay on a raw image, so that a test can write without touching the cache."""
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.resolve(), target])
    return target


def blank(target: Path, *, size: int = 16, image_format: Literal["raw", "qcow2"] = "raw") -> Path:
    """Make an image of so many MiB with nothing in it at all."""
    run(["qemu-img", "create", "-q", "-f", image_format, target, f"{size}M"])
    return target


def no_os(
    target: Path, *, size: int = 16, files: Sequence[tuple[str, str]] = (("README", "no system here\n"),)
) -> Path:
    """Make a raw image with one ext4 filesystem that holds the files and no operating system."""
    with tempfile.TemporaryDirectory(prefix="v2v-no-os.") as name:
        for path, text in files:
            _write(Path(name), path, text)
        _truncate(target, size)
        run(["mkfs.ext4", "-q", "-F", "-d", name, target])
    return target


def partitioned(target: Path, *, size: int = 16, label: Literal["dos", "gpt"] = "dos") -> Path:
    """Make a raw image with a partition table and one partition that nobody has formatted."""
    _truncate(target, size)
    _write_table(target, Disk(label, size, (Partition("ext4"),)))
    return target


def _build_in(recipe: Recipe, work: Path) -> None:
    """Build the guest's disks in the work directory and leave nothing else there."""
    if os.geteuid() != 0:
        raise HostError(f"building the guest {recipe.name} needs root; set V2V_TEST_CACHE to where it is built already")
    started = time.monotonic()
    root = work / "root"
    _bootstrap(recipe, root)
    bootstrapped = time.monotonic()
    _configure(recipe, root)
    modules = _make_initramfs(recipe, root)
    kernels = sorted(path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    _make_disks(recipe, root, work)
    filled = time.monotonic()
    menu = _install_grub(recipe, work)
    facts = {
        "recipe": dataclasses.asdict(recipe),
        "kernels": kernels,
        "initramfs_modules": modules,
        "grub_linux_lines": menu,
        "seconds": {
            "bootstrap": round(bootstrapped - started, 1),
            "fill": round(filled - bootstrapped, 1),
            "grub": round(time.monotonic() - filled, 1),
        },
    }
    _discard(root)
    (work / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    for path in work.iterdir():
        path.chmod(0o444)


def _bootstrap(recipe: Recipe, root: Path) -> None:
    """Install the packages into the root directory."""
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
            f"--include={','.join((*_BASE_PACKAGES, *recipe.packages))}",
            recipe.suite,
            root,
            *_apt_line(recipe.suite),
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


def _configure(recipe: Recipe, root: Path) -> None:
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
    _write(root, "/etc/default/grub", "\n".join(grub) + "\n")
    _write(root, "/etc/fstab", _fstab(recipe))
    _write(root, "/etc/hostname", recipe.name + "\n")
    _write(root, "/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {recipe.name}\n")
    # With an identity the guest is no first boot, which would redo every unit's preset.
    _write(root, "/etc/machine-id", _identity(recipe, "machine").hex + "\n")
    if recipe.resume:
        _write(root, "/etc/initramfs-tools/conf.d/resume", f"RESUME={recipe.resume}\n")
    if recipe.device_map:
        _write(root, "/boot/grub/device.map", "(hd0)\t/dev/sda\n")
    _write(root, f"/etc/systemd/system/{MARKER.lower()}.service", _MARKER_UNIT)
    _write(root, f"/usr/local/sbin/{MARKER.lower()}", _MARKER_SCRIPT, 0o755)
    for path, text in recipe.files:
        _write(root, path, text)
    _in_root(root, ["systemctl", "enable", "--quiet", f"{MARKER.lower()}.service"])
    _in_root(root, ["chpasswd"], stdin=f"root:{ROOT_PASSWORD}\n")
    # What the installer answers for the administrator: where a later upgrade of GRUB writes its boot sector.
    _in_root(root, ["debconf-set-selections"], stdin="grub-pc grub-pc/install_devices multiselect /dev/sda\n")


def _fstab(recipe: Recipe) -> str:
    """Return the guest's /etc/fstab."""
    lines = ["# <file system> <mount point> <type> <options> <dump> <pass>"]
    for disk_index, disk in enumerate(recipe.disks):
        for number, partition in enumerate(disk.partitions, start=1):
            name = f"sd{chr(ord('a') + disk_index)}{number}"
            source = f"/dev/{name}" if partition.named_by == "device" else f"UUID={_identity(recipe, name)}"
            if partition.filesystem == "swap":
                lines.append(f"{source} none swap sw 0 0")
            elif partition.mountpoint:
                order = 0 if partition.filesystem == "xfs" else 1 if partition.mountpoint == "/" else 2
                lines.append(f"{source} {partition.mountpoint} {partition.filesystem} {partition.options} 0 {order}")
    return "\n".join(lines) + "\n"


def _make_initramfs(recipe: Recipe, root: Path) -> list[str]:
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
        _in_root(root, ["update-initramfs", "-u", "-k", "all"])
        modules_file.write_text(before)
        settings.write_text(_replace_setting(original, "MODULES", "dep"))
    else:
        _in_root(root, ["update-initramfs", "-u", "-k", "all"])
    images = sorted((root / "boot").glob("initrd.img-*"))
    if len(images) != 1:
        raise HostError(f"the guest {recipe.name} has {len(images)} initramfs images, not one")
    modules = sorted(
        Path(line).name.split(".ko")[0] for line in run(["lsinitramfs", images[0]]).splitlines() if ".ko" in line
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


def _make_disks(recipe: Recipe, root: Path, work: Path) -> None:
    """Make every disk from the root directory, taking the mounted parts out of it from the deepest up."""
    parts: list[tuple[Path, Partition, str, Path, int]] = []
    for index, (name, disk) in enumerate(zip(disk_names(recipe), recipe.disks, strict=True)):
        image = work / name
        _truncate(image, disk.size)
        for number, (start, size) in enumerate(_write_table(image, disk), start=1):
            device = f"sd{chr(ord('a') + index)}{number}"
            part = work / f"{device}.part"
            with part.open("wb") as stream:
                stream.truncate(size)
            parts.append((part, disk.partitions[number - 1], device, image, start))
    for part, partition, device, image, start in sorted(parts, key=lambda entry: -len(entry[1].mountpoint)):
        identity = str(_identity(recipe, device))
        if partition.filesystem == "swap":
            run(["mkswap", "--quiet", "--uuid", identity, part])
        elif partition.filesystem in {"ext4", "xfs"}:
            content = root / partition.mountpoint.lstrip("/")
            if partition.filesystem == "ext4":
                run(["mkfs.ext4", "-q", "-F", "-U", identity, "-d", content, part])
            else:
                run(["mkfs.xfs", "-q", "-m", f"uuid={identity}", part])
                with _mounted(part, work / f"{device}.mount") as mountpoint:
                    run(["cp", "--archive", f"{content}/.", mountpoint])
            if partition.mountpoint != "/":
                # The filesystem above keeps the mount point and none of the files.
                _empty(content)
        run(["dd", "status=none", f"if={part}", f"of={image}", "bs=1M", f"seek={start // _MIB}", "conv=notrunc,sparse"])
        part.unlink()


def _empty(directory: Path) -> None:
    """Delete everything in the directory."""
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _write_table(image: Path, disk: Disk) -> list[tuple[int, int]]:
    """Write the partition table; return start and size of every partition in bytes, all of them whole MiB."""
    # A GPT has its copy at the end of the disk.
    end = disk.size - (1 if disk.label == "gpt" else 0)
    places: list[tuple[int, int]] = []
    lines = [f"label: {disk.label}", "unit: sectors"]
    position = 1
    for partition in disk.partitions:
        size = partition.size or end - position
        kind = {"bios-boot": _TYPE_BIOS_BOOT, "swap": _TYPE_SWAP[disk.label]}.get(
            partition.filesystem, _TYPE_LINUX[disk.label]
        )
        bootable = ", bootable" if disk.label == "dos" and partition.mountpoint == "/" else ""
        lines.append(f"start={position * 2048}, size={size * 2048}, type={kind}{bootable}")
        places.append((position * _MIB, size * _MIB))
        position += size
    if position > end:
        raise HostError(f"the partitions of {image} need {position} MiB of {end}")
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], stdin="\n".join(lines) + "\n")
    return places


def _install_grub(recipe: Recipe, work: Path) -> list[str]:
    """Install GRUB inside the libguestfs appliance and return the kernel lines of the menu that it wrote.

    There the disks are called sda and sdb as in the guest itself, mostly: the appliance's kernel names them in the
    order in which they answer, and libguestfs translates names for its own calls only, not for the guest's programs.
    So the names are checked before anything is written, and another appliance is started if they are not the guest's.
    On a loop device of the host, grub-mkconfig writes a menu without entries and says nothing.
    """
    mounts = sorted(
        (partition.mountpoint, f"/dev/sd{chr(ord('a') + index)}{number}")
        for index, disk in enumerate(recipe.disks)
        for number, partition in enumerate(disk.partitions, start=1)
        if partition.mountpoint
    )
    script = [
        "run",
        *(f"mount {device} {mountpoint}" for mountpoint, device in mounts),
        f"echo {_NAMES_DIFFER}",
        *(f'command "findmnt --source {device} --mountpoint {mountpoint}"' for mountpoint, device in mounts),
        f"echo {_NAMES_AGREE}",
        'command "grub-install --target=i386-pc /dev/sda"',
        'command "update-grub"',
        "cat /boot/grub/grub.cfg",
        "umount-all",
        "shutdown",
    ]
    adds = [argument for name in disk_names(recipe) for argument in ("--format=raw", "--add", str(work / name))]
    output = ""
    for attempt in range(1, _APPLIANCE_ATTEMPTS + 1):
        try:
            output = run(["guestfish", *adds], stdin="\n".join(script) + "\n", environment=appliance_environment())
            break
        except HostError as error:
            names_differ = _NAMES_DIFFER in str(error) and _NAMES_AGREE not in str(error)
            if not names_differ or attempt == _APPLIANCE_ATTEMPTS:
                raise
    menu = [line.strip() for line in output.splitlines() if re.match(r"\s*linux\s", line)]
    root = next(device for mountpoint, device in mounts if mountpoint == "/")
    identity = _identity(recipe, root.removeprefix("/dev/"))
    wanted = f"root=UUID={identity}" if recipe.linux_uuid else f"root={root}"
    if not menu or not all(wanted in line.split() for line in menu):
        raise HostError(f"grub-mkconfig wrote these kernel lines for {recipe.name}, without {wanted}: {menu}")
    return menu


def _identity(recipe: Recipe, what: str) -> uuid.UUID:
    """Return the same UUID for the same thing in every build."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{what}.{recipe.name}.test")


def _write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Write one file of the guest."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def _truncate(image: Path, size: int) -> None:
    """Make an empty sparse file of so many MiB."""
    with image.open("wb") as stream:
        stream.truncate(size * _MIB)


def _in_root(root: Path, arguments: Sequence[str], *, stdin: str | None = None) -> None:
    """Run one of the guest's programs in its root directory; its /proc goes away with it."""
    inside = [*_NAMESPACES, f"--root={root}", "--mount-proc=/proc", "--"]
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    run([*inside, *arguments], stdin=stdin, environment=clean)


@contextlib.contextmanager
def _mounted(image: Path, mountpoint: Path) -> Iterator[Path]:
    """Mount a filesystem image; mount makes the loop device so that the kernel frees it with the unmount."""
    mountpoint.mkdir()
    try:
        run(["mount", "-o", "loop", image, mountpoint])
        yield mountpoint
    finally:
        _unmount_below(mountpoint)
        mountpoint.rmdir()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file, waiting for whoever else holds it."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _unmount_below(directory: Path) -> None:
    """Unmount the directory and everything mounted below it."""
    prefix = str(directory.resolve())
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        mountpoint = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4])
        if mountpoint == prefix or mountpoint.startswith(prefix + "/"):
            run(["umount", mountpoint])


def _discard(directory: Path) -> None:
    """Delete the directory, unmounting first what a killed build left mounted in it."""
    _unmount_below(directory)
    shutil.rmtree(directory)


def _terminate(number: int, frame: object) -> NoReturn:
    """Turn SIGTERM into an exception, so that what is mounted gets unmounted."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the guests that are named on the command line and print their disks."""
    parser = argparse.ArgumentParser(prog="guests.build", description="Build the test guests and print their disks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RECIPES)} (default: all)")
    names: list[str] = parser.parse_args(arguments).names
    if unknown := set(names) - set(RECIPES):
        parser.error(f"no such guest: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _terminate)
    for name in names or RECIPES:
        for path in disks(RECIPES[name]):
            print(path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
