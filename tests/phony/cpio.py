# SPDX-License-Identifier: GPL-2.0-or-later
"""Write initramfs images: the marks that each tool leaves in its own, and the modules."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence

from phony.recipe import Kernel, Style

_INIT: Mapping[Style, str] = {
    "nash": "#!/bin/nash\n\nmount -t proc /proc /proc\nsetquiet\n{loads}mkrootdev -t ext3 -o defaults,ro {root}\n"
    "mount /sysroot\nsetuproot\nswitchroot\n",
    "dracut": "#!/bin/sh\nexport PATH=/sbin:/bin:/usr/sbin:/usr/bin\n. /lib/dracut-lib.sh\n",
    "suse": "#!/bin/bash\n\nexport PATH=/sbin:/usr/sbin:/bin:/usr/bin\n. /config/start.sh\n. /run_all.sh\n",
    "make-initrd": "#!/bin/ash -efu\n. /.initrd/initenv\nexec /sbin/init-bin\n",
    "initramfs-tools": "#!/bin/sh\n# Default PATH differs between shells, and is not automatically exported\n"
    ". /scripts/functions\nload_modules\n",
    "mkinitcpio": "#!/usr/bin/ash\n. /init_functions\n. /config\n",
    "mkinitfs": "#!/bin/sh\n# this is the init script version 3.10.1\nnlplug-findfs -p /sbin/mdev $KOPT_root\n",
}


def image_of(kernel: Kernel, contents: Mapping[str, bytes], loaded: Sequence[str], root: str) -> bytes:
    """Make the image that a kernel's tool makes, with these modules.

    :param contents: of the modules, by path below the kernel's module directory.
    :param root: how the root file system is called.
    """
    paths = {_name(path): path for path in contents}
    base = "lib/modules" if kernel.style in {"nash", "suse", "make-initrd", "mkinitfs"} else "usr/lib/modules"
    loads = "".join(f'echo "Loading {name}.ko module"\ninsmod /lib/{name}.ko\n' for name in loaded)
    files: dict[str, bytes] = {"init": _INIT[kernel.style].format(loads=loads, root=root).encode()}
    for name in loaded:
        path = paths[name]
        place = f"lib/{path.rpartition('/')[2]}" if kernel.style == "nash" else f"{base}/{kernel.version}/{path}"
        files[place] = contents[path]
    if kernel.style != "nash":
        table = "".join(f"{paths[name]}:\n" for name in loaded)
        files[f"{base}/{kernel.version}/modules.dep"] = table.encode()
        files[f"{base}/{kernel.version}/modules.dep.bin"] = b"\xb0\x07\xf4\x57" + table.encode()
    files |= {path: text.encode() for path, text in _marks(kernel.style, loaded, root).items()}
    return gzip.compress(archive(files), mtime=0)


def _marks(style: Style, loaded: Sequence[str], root: str) -> dict[str, str]:
    modules = " ".join(loaded)
    return {
        "nash": {"bin/nash": "", "bin/insmod": "", "bin/modprobe": ""},
        "dracut": {
            "usr/lib/dracut/dracut-version.sh": "DRACUT_VERSION=phony\n",
            "lib/dracut-lib.sh": "",
            "etc/cmdline.d/95root.conf": "",
        },
        "suse": {
            "run_all.sh": "",
            "config/start.sh": f'rootdev="{root}"\nmodules="{modules}"\n',
            "config/udev.sh": "",
            "boot/01-start.sh": "",
        },
        "make-initrd": {
            ".initrd/initenv": f'ROOT="{root}"\n',
            "etc/initrd/release": "make-initrd\n",
            "etc/modules": "\n".join(loaded) + "\n",
        },
        "initramfs-tools": {
            "scripts/functions": "",
            "conf/initramfs.conf": "MODULES=dep\n",
            "conf/modules": "\n".join(loaded) + "\n",
            "conf/arch.conf": "DPKG_ARCH=amd64\n",
        },
        "mkinitcpio": {
            "init_functions": "",
            "buildconfig": "MODULES=()\nHOOKS=(base udev autodetect block filesystems)\n",
            "config": 'EARLYHOOKS="udev"\nHOOKS="udev"\nMODULES=""\n',
        },
        "mkinitfs": {"sbin/nlplug-findfs": "", "etc/modprobe.d/aliases.conf": ""},
    }[style]


def archive(files: Mapping[str, bytes]) -> bytes:
    """Write an archive in the format "newc", with the directories of the files."""
    directories = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, len(path.split("/")))}
    entries = [(path, 0o040755, b"") for path in sorted(directories - {"", ".."})]
    entries += [(path, 0o100755, content) for path, content in files.items()]
    return end(b"".join(entry(path, mode, content, number) for number, (path, mode, content) in enumerate(entries, 1)))


def end(body: bytes) -> bytes:
    """End an archive."""
    body += entry("TRAILER!!!", 0, b"", 0)
    return body + bytes(-len(body) % 512)


def entry(path: str, mode: int, content: bytes, number: int, *, size: int | None = None) -> bytes:
    """Write one entry; a size that is not that of the content is a lie for tests of hostile archives."""
    name = path.encode("utf-8", "surrogateescape") + b"\0"
    numbers = (number, mode, 0, 0, 1, 0, len(content) if size is None else size, 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in numbers) + name
    return header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
