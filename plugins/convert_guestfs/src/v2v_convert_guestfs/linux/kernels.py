# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of the guest: which there are, what they can drive, which is the best."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: Bytes: modules.dep of a distribution's kernel has half a megabyte, its configuration a quarter.
_TABLE_LIMIT, _CONFIG_LIMIT = 4 * 1024 * 1024, 1024 * 1024
#: Modules of one kernel, of which distributions have 7000; what they require, all together; kernels.
_MODULES_LIMIT, _REQUIRED_LIMIT, _KERNELS_LIMIT = 30_000, 300_000, 24
_CONFIG = {
    "virtio_pci": "VIRTIO_PCI",
    "virtio_blk": "VIRTIO_BLK",
    "virtio_scsi": "SCSI_VIRTIO",
    "virtio_net": "VIRTIO_NET",
    "virtio_rng": "HW_RANDOM_VIRTIO",
    "virtio_balloon": "VIRTIO_BALLOON",
    "pvpanic": "PVPANIC",
    "vmw_vsock_virtio_transport": "VIRTIO_VSOCKETS",
}


@dataclass(frozen=True)
class Modules:
    """The modules of a kernel: path below its module directory by name, and the paths that each path requires."""

    paths: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    builtin: frozenset[str] = frozenset()

    def closure(self, names: Iterable[str]) -> tuple[str, ...]:
        """Give the paths of modules and of all that they require; built-in and unknown ones are left out."""
        found: dict[str, None] = {}
        for name in names:
            path = self.paths.get(name)
            if path is not None:
                found.update(dict.fromkeys((*reversed(self.requires.get(path, ())), path)))
        return tuple(found)


@dataclass(frozen=True)
class Kernel:
    """An installed kernel.

    :param config: options of its configuration that are set (``y`` or ``m`` by name), empty if it is not there.
    """

    version: str
    image: str
    modules_directory: str
    initramfs: str | None
    modules: Modules
    config: Mapping[str, str]
    debug: bool = False

    def drives(self, name: str) -> bool:
        """Tell whether it has a driver, as a module or built in."""
        return (
            name in self.modules.paths or self.builds_in(name) or self.config.get(_CONFIG.get(name, "")) in {"y", "m"}
        )

    def builds_in(self, name: str) -> bool:
        """Tell whether a driver is built in."""
        return name in self.modules.builtin or self.config.get(_CONFIG.get(name, "")) == "y"

    @property
    def only_for_xen(self) -> bool:
        """Tell whether it runs as a paravirtual guest of Xen only."""
        return "X86_XEN" in self.config or "X86_64_XEN" in self.config


def find_kernels(session: Session, files: GuestFiles) -> list[Kernel]:
    """Find the kernels in /boot that have modules, the best first."""
    handle = session.handle
    kernels = []
    images = {image.removeprefix("/boot/vmlinuz-"): image for image in files.glob("/boot/vmlinuz-*")}
    versions = [name for name in images if "rescue" not in name and re.fullmatch(r"[0-9][A-Za-z0-9.+~_-]*", name)]
    versions.sort(key=version_key, reverse=True)
    if len(versions) > _KERNELS_LIMIT:
        session.report.warning(f"the guest has {len(versions)} kernels: the {_KERNELS_LIMIT} newest are looked at")
    for version in versions[:_KERNELS_LIMIT]:
        image = images[version]
        directory = f"/lib/modules/{version}"
        if not handle.is_dir(directory):
            session.report.debug(f"{image} is passed over: there is no {directory}")
            continue
        kernels.append(
            Kernel(
                version=version,
                image=image,
                modules_directory=directory,
                initramfs=_initramfs(files, version),
                modules=parse_modules(
                    files.read(f"{directory}/modules.dep", limit=_TABLE_LIMIT) or b"",
                    files.read(f"{directory}/modules.builtin", limit=_CONFIG_LIMIT) or b"",
                ),
                config=parse_config(files.read(f"/boot/config-{version}", limit=_CONFIG_LIMIT) or b""),
                debug=bool(re.search(r"[-.+](?:dbg|debug)\b", version)),
            )
        )
    return best_first(kernels)


def best_first(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Sort: kernels that can drive virtio disks and networks first, then no debug kernels, then the newest."""

    def worth(kernel: Kernel) -> tuple[bool, bool, bool, bool, tuple[tuple[int, int, str], ...]]:
        disks = kernel.drives("virtio_blk") and kernel.drives("virtio_pci")
        return (
            not kernel.only_for_xen,
            disks,
            kernel.drives("virtio_net"),
            not kernel.debug,
            version_key(kernel.version),
        )

    return sorted(kernels, key=worth, reverse=True)


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Give what kernel versions are compared by: numbers as numbers, ``~`` and ``-rc`` before everything else."""
    parts = re.findall(r"\d+|~|-rc|[A-Za-z]+", version)
    order = {"~": -2, "-rc": -2}
    return (*((1, int(part), "") if part.isdigit() else (order.get(part, 0), 0, part) for part in parts), (-1, 0, ""))


def parse_modules(dependencies: bytes, builtin: bytes) -> Modules:
    """Read modules.dep and modules.builtin; tables that are longer than any kernel's are cut off."""
    paths: dict[str, str] = {}
    requires: dict[str, tuple[str, ...]] = {}
    required = 0
    for line in io.StringIO(dependencies.decode("utf-8", "replace")):
        path, colon, rest = line.partition(":")
        if colon and path:
            paths[module_name(path)] = path
            requires[path] = tuple(rest.split())
            required += len(requires[path])
        if len(requires) > _MODULES_LIMIT or required > _REQUIRED_LIMIT:
            break
    listed = builtin.decode("utf-8", "replace").split(maxsplit=_MODULES_LIMIT)[:_MODULES_LIMIT]
    built = frozenset(module_name(line) for line in listed)
    return Modules(paths, requires, built)


def parse_config(data: bytes) -> dict[str, str]:
    """Read the options that are y or m from a kernel's configuration, without the prefix CONFIG_."""
    return dict(re.findall(r"^CONFIG_(\w+)=([ym])$", data.decode("utf-8", "replace"), re.MULTILINE | re.ASCII))


def module_name(path: str) -> str:
    """Give the name of a module by its path: ``a/b/virtio-rng.ko.xz`` is ``virtio_rng``."""
    name = path.rpartition("/")[2]
    return re.sub(r"\.k?o(?:\.(?:gz|xz|zst))?$", "", name).replace("-", "_")


def _initramfs(files: GuestFiles, version: str) -> str | None:
    for name in (f"initrd.img-{version}", f"initramfs-{version}.img", f"initrd-{version}"):
        if files.resolve(f"/boot/{name}"):
            return f"/boot/{name}"
    return None
