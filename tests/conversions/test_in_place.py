# SPDX-License-Identifier: GPL-2.0-or-later
"""``helper-v2v-convert`` alone, on somebody else's NBD endpoint and metadata: the guest is converted where it is."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from guests.disk_images import overlay
from guests.look import read_files
from runs import Place, said

pytestmark = pytest.mark.slow

METADATA = """\
<domain type='kvm'>
  <name>theirs</name>
  <memory unit='KiB'>1048576</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='network' device='disk'>
      <source protocol='nbd' name='disk'><host transport='unix' socket='{socket}'/></source>
      <target dev='sda' bus='scsi'/>
    </disk>
  </devices>
  <metadata><theirs:note xmlns:theirs='urn:somebody:else'>keep me</theirs:note></metadata>
</domain>
"""


def test_somebody_elses_endpoint_is_converted_in_place(place: Place, unchanged_vmware_guest: Path) -> None:
    disk = overlay(unchanged_vmware_guest, place.root / "disk.qcow2")
    directory, socket = place.root / "run", place.root / "theirs"
    directory.mkdir()
    (directory / "metadata.in").write_text(METADATA.format(socket=socket))
    server = subprocess.Popen(["qemu-nbd", "-t", "--shared=0", "-x", "disk", "-f", "qcow2", "-k", socket, disk])
    try:
        while not socket.exists():
            time.sleep(0.05)
        done = place.run("helper-v2v-convert", "--dir", directory)
        assert done.returncode == 0, said(done)
        metadata = (directory / "metadata.out").read_text()
        assert server.poll() is None
        done = place.run("helper-v2v-cleanup", "--dir", directory)
        assert done.returncode == 0, said(done)
        # theirs: nobody stopped it
        assert server.poll() is None
    finally:
        server.terminate()
        server.wait()
    assert "keep me" in metadata
    assert "bookworm" in metadata or "debian" in metadata
    files = read_files([disk], ["/etc/fstab"])
    assert b"/dev/vda1" in files["/etc/fstab"]
