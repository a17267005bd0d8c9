# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of the guest: find them, find out which devices they have drivers for, and sort them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import kernel_images
from v2v_convert_guestfs.session import Session

#: Bytes. The modules.dep of a distribution's kernel is about half a megabyte, its configuration a quarter.
_TABLE_LIMIT, _CONFIG_LIMIT = 4 * 1024 * 1024, 1024 * 1024
#: Limits on the modules of one kernel (distributions have about 7000), on their dependencies in total, and on kernels.
_MODULES_LIMIT, _REQUIRED_LIMIT, _KERNELS_LIMIT = 30_000, 300_000, 24
#: Kernel images and initramfs images.
_IN_BOOT = ("/boot/vmlinu[xz]-[0-9]*", "/boot/[iI]mage-[0-9]*", "/boot/init*-[0-9]*")
#: Prefixes of image names on other architectures, in addition to vmlinuz.
_OTHER_IMAGES = {
    "aarch64": ("Image-",),
    "ppc64": ("vmlinux-",),
    "ppc64le": ("vmlinux-",),
    "s390x": ("image-",),
}
#: The order matters: the configuration of an x86_64 kernel also sets X86.
_ARCHITECTURES = {
    "X86_64": "x86_64",
    "X86_32": "i386",
    "X86": "i386",
    "ARM64": "aarch64",
    "PPC64": "ppc64",
    "S390": "s390x",
    "RISCV": "riscv64",
}
_CONFIG = {
    "virtio_pci": "VIRTIO_PCI",
    "virtio_blk": "VIRTIO_BLK",
    "virtio_scsi": "SCSI_VIRTIO",
    "virtio_net": "VIRTIO_NET",
    "ahci": "SATA_AHCI",
    "ata_piix": "ATA_PIIX",
    "piix": "BLK_DEV_PIIX",
    "ide_disk": "BLK_DEV_IDEDISK",
    "ide_gd_mod": "IDE_GD",
    "sd_mod": "BLK_DEV_SD",
    "virtio_rng": "HW_RANDOM_VIRTIO",
    "virtio_balloon": "VIRTIO_BALLOON",
    "pvpanic": "PVPANIC",
    "vmw_vsock_virtio_transport": "VIRTIO_VSOCKETS",
}

#: The sort key of kernel versions.
VersionKey = tuple[tuple[tuple[int, int, str], ...], ...]


@dataclass(frozen=True)
class Modules:
    """The modules of a kernel. Paths are relative to its module directory.

    :param paths: the path of each module, by its name.
    :param requires: the paths of the modules that a module requires, by its path.
    :param builtin: the names of modules that are built into the kernel.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    builtin: frozenset[str] = frozenset()

    def closure(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the paths of the named modules and of all modules that they require.

        Built-in and unknown modules are left out.
        """
        paths: dict[str, None] = {}
        for name in names:
            path = self.paths.get(name)
            if path is not None:
                paths.update(dict.fromkeys((*reversed(self.requires.get(path, ())), path)))
        return tuple(paths)


@dataclass(frozen=True)
class Kernel:
    """An installed kernel.

    :param config: the options of its configuration that are ``y`` or ``m``, by name; empty if there is no such file.
    :param arch: libguestfs's name of its architecture, or "" if unknown. The guest's programs may have another.
    """

    version: str
    image: str
    modules_directory: str
    initramfs: str | None
    modules: Modules
    config: Mapping[str, str]
    debug: bool = False
    arch: str = ""

    def drives(self, name: str) -> bool:
        """Return whether it has a driver, as a module or built in.

        The configuration says which modules were built; the administrator may have removed one since. So it counts for
        modules only if the modules themselves cannot be listed.
        """
        configured = None if self.modules.paths else self.config.get(_CONFIG.get(name, ""))
        return name in self.modules.paths or self.builds_in(name) or configured == "m"

    def builds_in(self, name: str) -> bool:
        """Return whether a driver is built in."""
        return name in self.modules.builtin or self.config.get(_CONFIG.get(name, "")) == "y"

    @property
    def only_for_xen(self) -> bool:
        """Return whether it runs only in paravirtual Xen guests."""
        if not self.config:
            return bool(re.search(r"xen[0U]?$", self.version))
        return "X86_XEN" in self.config or "X86_64_XEN" in self.config

    @property
    def knows_virtio_1(self) -> bool:
        """Return whether its virtio drivers support virtio 1.0: those of Linux 4.0 do, and RHEL 7 has a backport."""
        return (
            "VIRTIO_PCI_LEGACY" in self.config
            or "virtio_pci_modern_dev" in self.modules.paths
            or "virtio_pci_modern_dev" in self.modules.builtin
            or self.at_least("4.0")
        )

    def at_least(self, version: str) -> bool:
        """Return whether it is based on this version of Linux or a newer one; backports do not count."""
        return version_key(self.version)[0] >= version_key(version)[0]


def find_kernels(session: Session, files: GuestFiles) -> list[Kernel]:
    """Find the kernels that have modules, best first. They are in /boot, or in the directory of their modules."""
    handle = session.handle
    boot = [path.rpartition("/")[2] for pattern in _IN_BOOT for path in files.glob(pattern)]
    images = {version: [f"/boot/{name}"] for version, name in images_in(boot, session.inspection.arch).items()}
    for path in files.glob("/lib/modules/*/vmlinuz"):
        version = path.split("/")[-2]
        if is_version(version):
            images.setdefault(version, []).append(path)
    versions_with_modules = [path.rstrip("/").rpartition("/")[2] for path in files.glob("/lib/modules/[0-9]*")]
    # A kernel without modules has a configuration that says so.
    versions_with_modules += [path.removeprefix("/boot/config-") for path in files.glob("/boot/config-[0-9]*")]
    without = [
        name for name in versions_with_modules if not any(path.startswith("/boot/") for path in images.get(name, ()))
    ]
    named = [path.rpartition("/")[2] for paths in images.values() for path in paths if path.startswith("/boot/")]
    for version, path in kernel_images.images_by_version(session, files, filter(is_version, without), named).items():
        images.setdefault(version, []).insert(0, path)
    kernels = []
    versions = sorted(images, key=version_key, reverse=True)
    if len(versions) > _KERNELS_LIMIT:
        session.report.warning(f"the guest has {len(versions)} kernels: only the {_KERNELS_LIMIT} newest are used")
    for version in versions[:_KERNELS_LIMIT]:
        paths = images[version]
        image = next((path for path in paths if files.resolve(path)), None)
        if image and (handle.is_dir(f"/lib/modules/{version}", followsymlinks=True) or _is_monolithic(files, version)):
            kernels.append(_kernel(session, files, boot, version, image))
        else:
            session.report.debug(f"{paths[0]} is ignored: it is a dangling link, or /lib/modules/{version} is missing")
    return best_first(kernels)


def _is_monolithic(files: GuestFiles, version: str) -> bool:
    """Return whether all drivers of a kernel are built in, by its configuration."""
    path = f"/boot/config-{version}"
    options = parse_config(files.read(path, limit=_CONFIG_LIMIT) or b"") if files.glob(path) else {}
    return bool(options) and "MODULES" not in options


def images_in(names: Iterable[str], arch: str) -> dict[str, str]:
    """Return the image names of installed kernels, by version.

    :param names: the names of the files in /boot.
    """
    prefix = re.compile("|".join(("vmlinuz-", *_OTHER_IMAGES.get(arch, ()))))
    images: dict[str, str] = {}
    for name in sorted(names, reverse=True):  # vmlinuz comes before an uncompressed copy, vmlinux or Image
        match = prefix.match(name)
        if match and is_version(version := name[match.end() :]):
            images.setdefault(version, name)
    return images


def is_version(text: str) -> bool:
    """Return whether the text is the version of an ordinary kernel, not of a rescue system, crash kernel or backup."""
    return bool(re.fullmatch(r"[0-9][A-Za-z0-9.+~^_-]*", text, re.ASCII)) and not re.search(
        r"rescue|kdump$|\.(?:old|bak|orig|rpmsave|rpmnew|dpkg-[a-z]+|hmac|gz|sig)$", text
    )


def choose_initramfs(names: Iterable[str], version: str) -> str | None:
    """Return the name of a kernel's initramfs among the names in /boot, or None.

    Images for crash dumps do not match: their names are longer.
    """
    spellings = {
        f"{prefix}-{version}{suffix}"
        for prefix in ("initrd.img", "initramfs", "initrd")
        for suffix in ("", ".img", ".gz", ".img.gz")
    }
    return min((name for name in names if name in spellings), key=lambda name: (len(name), name), default=None)


def _kernel(session: Session, files: GuestFiles, boot: Sequence[str], version: str, image: str) -> Kernel:
    directory = f"/lib/modules/{version}"
    dependencies = files.read(f"{directory}/modules.dep", limit=_TABLE_LIMIT) or b""
    modules = parse_modules(dependencies, files.read(f"{directory}/modules.builtin", limit=_CONFIG_LIMIT) or b"")
    if not modules.paths and session.handle.is_dir(directory, followsymlinks=True):
        session.report.debug(f"{directory} has no modules.dep: the dependencies of modules are unknown")
        modules = Modules(_modules_in(session, directory), {}, modules.builtin)
    config = b""
    suffix = kernel_images.suffix_of(image)
    others = (f"/boot/config-{suffix}",) if suffix and image.startswith("/boot/") else ()
    for path in (f"/boot/config-{version}", f"{directory}/config", *others):
        config = config or files.read(path, limit=_CONFIG_LIMIT) or b""
    options = parse_config(config)
    return Kernel(
        version=version,
        image=image,
        modules_directory=directory,
        initramfs=_initramfs(files, boot, version, image),
        modules=modules,
        config=options,
        debug=is_debug(version),
        arch=arch_of(options) or _arch_of_module(session, directory, modules),
    )


def _modules_in(session: Session, directory: str) -> dict[str, str]:
    try:
        return modules_below(str(path) for path in session.handle.find(directory))
    except (RuntimeError, UnicodeDecodeError) as err:
        session.warn(f"the modules in {directory} of the guest cannot be listed", err)
        return {}


def _initramfs(files: GuestFiles, boot: Sequence[str], version: str, image: str) -> str | None:
    name = choose_initramfs(boot, version)
    if name is None and image.startswith("/boot/") and (suffix := kernel_images.suffix_of(image)):
        name = choose_initramfs((path.rpartition("/")[2] for path in files.glob(f"/boot/init*-{suffix}*")), suffix)
    places = [f"/boot/{name}"] if name else [f"/lib/modules/{version}/{other}" for other in ("initramfs.img", "initrd")]
    return next((place for place in places if files.resolve(place)), None)


def _arch_of_module(session: Session, directory: str, modules: Modules) -> str:
    """Ask libguestfs for the architecture of a module.

    virtio is the first choice: modules that are not from the kernel's own build may differ.
    """
    path = next((modules.paths[name] for name in ("virtio", "kvm") if name in modules.paths), None)
    path = path or min(modules.paths.values(), default=None)
    if path is None:
        return ""
    try:
        return str(session.handle.file_architecture(f"{directory}/{path}"))
    except RuntimeError as err:
        session.report.debug(f"the architecture of the kernel is unknown: {brief(err)}")
        return ""


def best_first(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Sort kernels: first by their drivers for virtio disks and networks, then debug kernels last, then by version."""

    def worth(kernel: Kernel) -> tuple[bool, bool, bool, bool, bool, VersionKey]:
        disks = kernel.drives("virtio_blk") and kernel.drives("virtio_pci")
        return (
            not kernel.only_for_xen,
            kernel.image.startswith("/boot/"),
            disks,
            kernel.drives("virtio_net"),
            not kernel.debug,
            version_key(kernel.version),
        )

    return sorted(kernels, key=worth, reverse=True)


def version_key(version: str) -> VersionKey:
    """Return the sort key of a kernel version: version and release, each compared as rpm does.

    The versions of Debian and Ubuntu sort correctly as well. A release candidate (``6.1.0-rc3``, ``6.1.0-060100rc3``)
    sorts before its release.
    """
    text = re.sub(r"[-.~]?rc(?=\d)", "~rc", version)
    number, _, release = text.partition("-")
    return _segments(number), _segments(release)


def _segments(text: str) -> tuple[tuple[int, int, str], ...]:
    """Split a version into the segments that rpm compares.

    In ascending order: ``~``, the end of the text, ``^``, letters, numbers.
    """
    ranks = {"~": -1, "^": 1}
    parts = re.findall(r"[0-9]+|[A-Za-z]+|[~^]", text)
    keys = [(3, int(part), "") if part.isdigit() else (ranks.get(part, 2), 0, part) for part in parts]
    return (*keys, (0, 0, ""))


def is_debug(version: str) -> bool:
    """Return whether a version is that of a debug kernel: ``+debug``, ``.debug``, ``el5debug``, ``-dbg``."""
    return bool(re.search(r"debug$|[-.+](?:dbg|debug)\b", version))


def parse_modules(dependencies: bytes, builtin: bytes) -> Modules:
    """Parse modules.dep and modules.builtin. Both are cut off at lengths that no real kernel reaches.

    Old versions of modules.dep have absolute paths and lines continued with a backslash.
    """
    requires: dict[str, tuple[str, ...]] = {}
    required = 0
    for line in io.StringIO(dependencies.decode("utf-8", "replace").replace("\\\n", " ")):
        path, colon, rest = line.partition(":")
        if colon and path:
            others = tuple(_below(other) for other in rest.split())
            requires[_below(path.strip())] = others
            required += len(others)
        if len(requires) > _MODULES_LIMIT or required > _REQUIRED_LIMIT:
            break
    paths = {module_name(path): path for path in requires}
    listed = builtin.decode("utf-8", "replace").split(maxsplit=_MODULES_LIMIT)[:_MODULES_LIMIT]
    built = frozenset(module_name(line) for line in listed)
    return Modules(paths, requires, built)


def modules_below(paths: Iterable[str]) -> dict[str, str]:
    """Return the paths of modules among the given paths, by name."""
    return {module_name(path): path for path in sorted(paths) if is_module(path)}


def is_module(path: str) -> bool:
    """Return whether a path is that of a module, by its name."""
    return re.search(r"\.k?o(?:\.(?:gz|xz|zst))?$", path) is not None


def _below(path: str) -> str:
    """Remove the prefix ``/lib/modules/VERSION/``."""
    return path.split("/", 4)[4] if re.match(r"/lib/modules/[^/]+/.", path) else path


def parse_config(data: bytes) -> dict[str, str]:
    """Return the options that are y or m in a kernel's configuration, without the prefix CONFIG_."""
    return dict(re.findall(r"^CONFIG_(\w+)=([ym])$", data.decode("utf-8", "replace"), re.MULTILINE | re.ASCII))


def arch_of(config: Mapping[str, str]) -> str:
    """Return libguestfs's name of the architecture that a kernel is configured for, or "" if unknown."""
    for option, arch in _ARCHITECTURES.items():
        if option in config:
            return "ppc64le" if arch == "ppc64" and "CPU_LITTLE_ENDIAN" in config else arch
    return ""


def module_name(path: str) -> str:
    """Return the name of the module at a path: ``virtio_rng`` for ``a/b/virtio-rng.ko.xz``."""
    name = path.rpartition("/")[2]
    return re.sub(r"\.k?o(?:\.(?:gz|xz|zst))?$", "", name).replace("-", "_")
