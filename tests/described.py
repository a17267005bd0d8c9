# SPDX-License-Identifier: GPL-2.0-or-later
"""Converting a guest where it is: ``helper-v2v-convert`` alone, with NBD servers and metadata of another program.

The metadata describes the machine as a source does: disks, and a NIC with its MAC address, as on VMware.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runs import Place, said

_DOMAIN = """\
<domain type='vmware'>
  <name>described</name>
  <memory unit='KiB'>1048576</memory>
  <os{firmware}><type>hvm</type></os>
  <devices>
    {disks}
    <interface type='network'>
      <source network='default'/>
      <mac address='{mac}'/>
      <model type='vmxnet3'/>
    </interface>
  </devices>
  <metadata>{metadata}</metadata>
</domain>
"""

#: The MAC address of a guest that is booted again with the same one.
NIC_ADDRESS = "52:54:00:12:34:56"

#: What another program keeps in the metadata, and finds there again.
FOREIGN_METADATA = "<theirs:note xmlns:theirs='urn:another:program'>keep me</theirs:note>"

_DISK = """\
<disk type='network' device='disk'>
      <source protocol='nbd' name='disk'><host transport='unix' socket='{socket}'/></source>
      <target dev='sd{letter}' bus='scsi'/>
    </disk>"""


@dataclass(frozen=True)
class ConvertedInPlace:
    """A converted guest with one disk: the disk, the metadata of the result, and some of its files."""

    disk: Path
    metadata: str
    files: dict[str, bytes]


def convert_described(
    place: Place, disks: Sequence[Path], *, mac: str, uefi: bool = False, options: Sequence[str | Path] = ()
) -> str:
    """Convert the qcow2 disks, which are written, and return the metadata of the result.

    The servers of the disks are not ours: neither the conversion nor the cleanup may stop them.

    :param options: more options of the conversion step.
    """
    directory = place.root / "run"
    directory.mkdir()
    sockets = [place.root / f"theirs{index}" for index in range(len(disks))]
    described = [_DISK.format(socket=socket, letter=chr(ord("a") + index)) for index, socket in enumerate(sockets)]
    firmware = " firmware='efi'" if uefi else ""
    domain = _DOMAIN.format(firmware=firmware, disks="\n    ".join(described), mac=mac, metadata=FOREIGN_METADATA)
    (directory / "metadata.in").write_text(domain)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(served(*pair)) for pair in zip(disks, sockets, strict=True)]
        done = place.run("helper-v2v-convert", "--dir", directory, *options)
        assert done.returncode == 0, said(done)
        print(said(done))
        metadata = (directory / "metadata.out").read_text()
        cleaned = place.run("helper-v2v-cleanup", "--dir", directory)
        assert cleaned.returncode == 0, said(cleaned)
        assert [server.poll() for server in servers] == [None] * len(disks)
    return metadata


@contextlib.contextmanager
def served(disk: Path, socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a disk for writing, by a server that the conversion does not know."""
    server = subprocess.Popen(["qemu-nbd", "-t", "--shared=0", "-x", "disk", "-f", "qcow2", "-k", socket, disk])
    try:
        while not socket.exists():
            assert server.poll() is None
            time.sleep(0.05)
        yield server
    finally:
        server.terminate()
        server.wait()
