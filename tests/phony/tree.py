# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a phony guest in a directory, from its recipe."""

from __future__ import annotations

import lzma
import shutil
import struct
from pathlib import Path

from guests.host import HostError
from phony import commands, cpio, databases
from phony.recipe import Kernel, Phony

_DIRECTORIES = (
    *("boot", "dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr/bin", "usr/lib"),
    *("usr/sbin", "usr/share", "usr/local/sbin", "var/lib/phony/files", "var/log", "var/tmp", "var/cache"),
)
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
#: The programs of busybox that scripts and the conversion call; a guest's own command of that name comes first.
_APPLETS = (
    *("awk", "basename", "cat", "chmod", "cp", "cut", "date", "dirname", "echo", "expr", "false", "find", "grep"),
    *("gzip", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "printf", "readlink", "rm", "rmdir", "sed", "sh"),
    *("sleep", "sort", "stat", "tail", "tar", "test", "touch", "tr", "true", "uname", "xargs"),
)
_MACHINES = {"x86_64": (2, 62), "i686": (1, 3)}


def plant(recipe: Phony, root: Path) -> None:
    """Write all files of the guest."""
    for directory in (*_DIRECTORIES, *recipe.directories):
        below(root, directory).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if recipe.merged_usr:
            below(root, f"usr/{name}").mkdir(exist_ok=True)
            below(root, name).symlink_to(f"usr/{name}")
        else:
            below(root, name).mkdir(exist_ok=True)
    _plant_shell(recipe, root)
    for kernel in recipe.kernels:
        _plant_kernel(recipe, kernel, root)
    for path, text in recipe.files.items():
        write(root, path, text)
    for path, text in recipe.executables.items():
        write(root, path, text, 0o755)
    for path in recipe.commands:
        place, _, variant = path.partition("=")
        write(root, place, commands.script(place.rpartition("/")[2], variant), 0o755)
    for path, target in recipe.links.items():
        place = below(root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    write(root, commands.CALLS, "")
    databases.plant(recipe, root)


def write(root: Path, path: str, content: str | bytes, mode: int = 0o644) -> None:
    """Write one file of the guest, where the links of its directories lead inside the guest."""
    target = below(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    target.chmod(mode)


def below(root: Path, path: str) -> Path:
    """Return where a path of the guest is on the host."""
    return root / path.lstrip("/")


def executable(machine: str, kind: int, content: bytes = b"") -> bytes:
    """Return an ELF header for a machine, followed by the content; kind is 1 for modules, 2 for programs."""
    bits, number = _MACHINES[machine]
    head = b"\x7fELF" + bytes((bits, 1, 1)) + bytes(9)
    layout, size = ("<HHIQQQIHHHHHH", 64) if bits == 2 else ("<HHIIIIIHHHHHH", 52)
    return head + struct.pack(layout, kind, number, 1, 0, 0, 0, 0, size, 0, 0, 0, 0, 0) + content


def _plant_shell(recipe: Phony, root: Path) -> None:
    """Put busybox into the guest, and its programs where the guest has none of its own."""
    source = next((path for path in map(Path, _BUSYBOX) if path.exists()), None)
    if source is None:
        raise HostError("busybox is missing on this host: install busybox-static")
    busybox = below(root, commands.SHELL)
    busybox.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, busybox)
    busybox.chmod(0o755)
    programs = below(root, "/usr/lib/phony/bin")
    programs.mkdir()
    for name in _APPLETS:
        (programs / name).symlink_to(commands.SHELL)
    for name in ("sh", "cat", "ls", "bash"):
        below(root, f"/bin/{name}").symlink_to(commands.SHELL)
    write(root, "/usr/bin/env", commands.ENV, 0o755)
    # Inspection asks this one for the guest's machine; what runs in the appliance is of the host's.
    program = executable(recipe.machine, 2)
    if recipe.systemd:
        write(root, recipe.systemd, program, 0o755)
        below(root, "/sbin/init").symlink_to(recipe.systemd)
    else:
        write(root, "/sbin/init", program, 0o755)


def _plant_kernel(recipe: Phony, kernel: Kernel, root: Path) -> None:
    program = executable(recipe.machine, 2, f"Linux version {kernel.version}\n".encode())
    write(root, kernel.image, image_for_pcs(kernel.version) if kernel.image_name else program)
    if kernel.config:
        write(root, f"/boot/config-{kernel.version}", "".join(f"CONFIG_{option}\n" for option in kernel.config))
    write(root, f"/boot/System.map-{kernel.version}", "0000000000000000 A VDSO32_PRELINK\n")
    directory = f"/lib/modules/{kernel.version}"
    contents = {f"kernel/{path}": module(recipe, path) for path in kernel.modules}
    by_name = {_name(path): path for path in contents}
    lines = []
    for path, required in kernel.modules.items():
        prefix = f"{directory}/" if kernel.absolute else ""
        needed = " ".join(prefix + by_name[name] for name in required)
        lines.append(f"{prefix}kernel/{path}:{' ' if needed else ''}{needed}\n")
    write(root, f"{directory}/modules.dep", "".join(lines))
    write(root, f"{directory}/modules.order", "".join(f"{path}\n" for path in contents))
    if kernel.builtin is not None:
        write(root, f"{directory}/modules.builtin", "".join(f"kernel/builtin/{name}.ko\n" for name in kernel.builtin))
    for path, content in contents.items():
        write(root, f"{directory}/{path}", content)
    virtio = tuple(name for name in ("virtio", "virtio_ring", "virtio_pci", "virtio_blk") if name in by_name)
    poor = cpio.image_of(kernel, contents, kernel.loaded, _root_of(recipe))
    good = cpio.image_of(kernel, contents, tuple(dict.fromkeys((*kernel.loaded, *virtio))), _root_of(recipe))
    write(root, f"/boot/{kernel.initramfs}", poor)
    write(root, commands.POOR.format(version=kernel.version), poor)
    write(root, commands.GOOD.format(version=kernel.version), good)
    write(root, f"/usr/share/phony/image-{kernel.version}", f"/boot/{kernel.initramfs}\n")


def image_for_pcs(version: str) -> bytes:
    """Return the beginning of a kernel image, with the version where the header of the boot protocol says."""
    image, start = bytearray(0x4000), 0x3400
    image[0x202:0x206] = b"HdrS"
    image[0x20E:0x210] = (start - 0x200).to_bytes(2, "little")
    text = f"{version} (builder@example) #1 SMP\0".encode()
    image[start : start + len(text)] = text
    return bytes(image)


def module(recipe: Phony, path: str) -> bytes:
    """Return the content of a module, compressed as the suffix of its name says."""
    content = executable(recipe.machine, 1, f"license=GPL\0name={_name(path)}\0".encode())
    return lzma.compress(content, check=lzma.CHECK_CRC32) if path.endswith(".xz") else content


def _root_of(recipe: Phony) -> str:
    fstab = recipe.files.get("/etc/fstab", "")
    return next((line.split()[0] for line in fstab.splitlines() if line.split()[1:2] == ["/"]), "/dev/root")


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
