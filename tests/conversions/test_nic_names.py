# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose static address is that of ``ens192`` has it on KVM, where the NIC is called ``enp0s1``."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from guests.boot import boot
from guests.disk_images import overlay
from guests.look import read_files
from guests.recipes import MARKER
from runs import Place, said

pytestmark = pytest.mark.slow

MAC = "52:54:00:12:34:56"

METADATA = """\
<domain type='vmware'>
  <name>static</name>
  <memory unit='KiB'>1048576</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='network' device='disk'>
      <source protocol='nbd' name='disk'><host transport='unix' socket='{socket}'/></source>
      <target dev='sda' bus='scsi'/>
    </disk>
    <interface type='network'>
      <source network='default'/>
      <mac address='{mac}'/>
      <model type='vmxnet3'/>
    </interface>
  </devices>
</domain>
"""


def test_the_static_address_survives(place: Place, static_address_guest: Path) -> None:
    disk = overlay(static_address_guest, place.root / "disk.qcow2")
    directory, socket = place.root / "run", place.root / "theirs"
    directory.mkdir()
    (directory / "metadata.in").write_text(METADATA.format(socket=socket, mac=MAC.upper()))
    server = subprocess.Popen(["qemu-nbd", "-t", "--shared=0", "-x", "disk", "-f", "qcow2", "-k", socket, disk])
    try:
        while not socket.exists():
            time.sleep(0.05)
        done = place.run("helper-v2v-convert", "--dir", directory)
        assert done.returncode == 0, said(done)
        metadata = (directory / "metadata.out").read_text()
        assert place.run("helper-v2v-cleanup", "--dir", directory).returncode == 0
    finally:
        server.terminate()
        server.wait()
    link = "/etc/systemd/network/10-v2v-ens192.link"
    assert link in metadata
    files = read_files([disk], [link, "/etc/network/interfaces"])
    assert f"MACAddress={MAC}".encode() in files[link]
    assert b"allow-hotplug ens192" in files["/etc/network/interfaces"]

    booted = boot([disk], nics=[MAC])
    assert booted.reached, booted.tail()
    network = re.search(rf"^{MARKER}-NETWORK addresses=(\S*) links=(\S*)$", booted.log, re.MULTILINE)
    assert network is not None, booted.tail()
    print(network[0])
    assert network[1] == "ens192=192.0.2.10/24"
    # The VLAN and the bridge, which the guest has made with the same MAC address, are not taken for the NIC.
    assert network[2].split(",") == ["ens192", "lo", "v2v.7", "v2vbridge"]
    # The initramfs has the driver of the NIC, and called it by another name if it did not know this one.
    assert "ens192: renamed from eth0" in booted.log
    assert "enp0s" not in booted.log
    assert booted.facts["failed"] == "0", booted.tail()
