# SPDX-License-Identifier: GPL-2.0-or-later
"""From the description of an image to qemu's block nodes and qemu-nbd's command line (qemu-nbd(8), qemu-img(1)).

Every format is explicit. A reference in the header of an image (backing file) is overridden, never followed.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_core.model import QemuImage
from v2v_core.programs import run_program

Node = Mapping[str, Any]

_MIB = 1024 * 1024
#: qemu-nbd allocates memory for each request. When it frees a large block, or one at the end of the heap, glibc returns
#: the memory to the kernel, which must clear the same pages again for the next request. With requests of 2 MiB, this
#: took a quarter of the time of reading a disk (nbdcopy to null:).
_KEEP_MEMORY = f"glibc.malloc.mmap_threshold={32 * _MIB}:glibc.malloc.trim_threshold={128 * _MIB}"

#: The formats whose header can name a backing image. For these, qemu is told explicitly that there is none.
_WITH_BACKING = frozenset({"qcow2", "qcow", "qed", "vmdk"})


def block_node(image: QemuImage) -> Node:
    """Return the block node of an image, as ``-blockdev`` and ``json:`` file names take it."""
    file: dict[str, Any] = {"driver": _protocol(image.path), "filename": str(image.path)}
    node: dict[str, Any] = {"driver": image.format, "file": file}
    if image.offset is not None or image.size is not None:
        window: dict[str, Any] = {"driver": "raw", "offset": image.offset or 0, "file": file}
        if image.size is not None:
            window["size"] = image.size
        node["file"] = window
    if image.backing is not None:
        node["backing"] = block_node(image.backing)
    elif image.format in _WITH_BACKING:
        node["backing"] = None
    if image.compressed:
        node = {"driver": "compress", "file": node}
    return node


#: Seconds that a read waits for a server that has ended and is being started again.
_RECONNECT = 30


def nbd_node(socket: Path) -> Node:
    """Return the block node of a disk that is served on a Unix socket."""
    server = {"type": "unix", "path": str(socket)}
    return {"driver": "raw", "file": {"driver": "nbd", "server": server, "reconnect-delay": _RECONNECT}}


def json_name(node: Node) -> str:
    """Return the ``json:`` file name of a node, in which no character of a path has a special meaning."""
    return "json:" + json.dumps(node)


def create_overlay(overlay: Path, below: Node) -> None:
    """Create a qcow2 image (docs/interop/qcow2.txt in qemu) that takes the writes above a node.

    :raises CommandError: qemu cannot open what is below.
    """
    run_program(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", str(below["driver"]), "-b", json_name(below), str(overlay)]
    )
    overlay.chmod(0o600)


def qemu_nbd_argv(node: Node, socket: Path, *, readonly: bool = False, scratch: bool = False) -> list[str]:
    """Return the command line that serves a node.

    :param scratch: what is written is discarded at the end of the run, so do not wait for it to reach the disk.
    """
    argv = ["qemu-nbd", "--persistent", "--shared=0", f"--socket={socket}"]
    argv += ["--read-only"] if readonly else ["--discard=unmap", f"--cache={'unsafe' if scratch else 'writeback'}"]
    if scratch:
        # lets clients ask which blocks the overlay holds (the metadata context qemu:allocation-depth)
        argv.append("--allocation-depth")
    return [*argv, json_name(node)]


def qemu_nbd_environment() -> dict[str, str]:
    """Return the additions to the environment of qemu-nbd (GLIBC_TUNABLES, in the manual of the GNU C library)."""
    users = os.environ.get("GLIBC_TUNABLES")
    # the user's come last, because the last value of a tunable counts
    return {"GLIBC_TUNABLES": f"{_KEEP_MEMORY}:{users}" if users else _KEEP_MEMORY}


def _protocol(path: Path) -> str:
    try:
        return "host_device" if stat.S_ISBLK(path.stat().st_mode) else "file"
    except OSError:
        return "file"
