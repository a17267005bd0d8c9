# SPDX-License-Identifier: GPL-2.0-or-later
"""Convert a guest whose source describes the machine: disks and a NIC with its MAC address, as on VMware."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
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
</domain>
"""

_DISK = """\
<disk type='network' device='disk'>
      <source protocol='nbd' name='disk'><host transport='unix' socket='{socket}'/></source>
      <target dev='sd{letter}' bus='scsi'/>
    </disk>"""


def convert_described(
    place: Place, disks: Sequence[Path], *, mac: str, uefi: bool = False, options: Sequence[str | Path] = ()
) -> str:
    """Convert the qcow2 disks, which are written, and return the metadata of the result.

    :param options: more of the conversion step's.
    """
    directory = place.root / "run"
    directory.mkdir()
    sockets = [place.root / f"theirs{index}" for index in range(len(disks))]
    described = [_DISK.format(socket=socket, letter=chr(ord("a") + index)) for index, socket in enumerate(sockets)]
    firmware = " firmware='efi'" if uefi else ""
    domain = _DOMAIN.format(firmware=firmware, disks="\n    ".join(described), mac=mac)
    (directory / "metadata.in").write_text(domain)
    with contextlib.ExitStack() as stack:
        for disk, socket in zip(disks, sockets, strict=True):
            stack.enter_context(served(disk, socket))
        done = place.run("helper-v2v-convert", "--dir", directory, *options)
        assert done.returncode == 0, said(done)
        print(said(done))
        metadata = (directory / "metadata.out").read_text()
        cleaned = place.run("helper-v2v-cleanup", "--dir", directory)
        assert cleaned.returncode == 0, said(cleaned)
    return metadata


@contextlib.contextmanager
def served(disk: Path, socket: Path) -> Iterator[None]:
    """Serve a disk for writing as another party's server does."""
    server = subprocess.Popen(["qemu-nbd", "-t", "--shared=0", "-x", "disk", "-f", "qcow2", "-k", socket, disk])
    try:
        while not socket.exists():
            assert server.poll() is None
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()
