# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v inspect --deep`` of a real guest: what is in it and what a conversion would do; the source stays as it is."""

from __future__ import annotations

import json

import pytest

from guests.build import disks
from guests.recipes import RECIPES
from runs import Fingerprint, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_deep_inspection_of_a_vmware_guest(place: Place) -> None:
    (source,) = disks(RECIPES["debian12-vmware"])
    before = Fingerprint.of(source)
    ran = place.run("v2v", "inspect", "--input", "disk", source, "--deep", "--json")
    assert ran.returncode == 0, ran.stderr
    assert Fingerprint.of(source) == before
    assert place.leftovers() == []

    record = json.loads(ran.stdout)
    assert [disk["origin"] for disk in record["guest"]["disks"]] == [str(source)]
    deep = record["deep"]
    assert (deep["convertible"], deep["obstacles"]) == (True, [])
    assert deep["system"]["name"] == "Debian GNU/Linux 12 (bookworm)"
    assert (deep["system"]["distro"], deep["system"]["arch"]) == ("debian", "x86_64")
    assert (deep["firmware"], deep["boot_loader"], deep["boot_disk"]) == ("bios", "GRUB 2", 1)
    (kernel,) = deep["kernels"]
    assert kernel["default"] and kernel["chosen"] and kernel["in_boot_menu"] and kernel["drives_target"]
    # The guest comes from VMware and has MODULES=dep: its initramfs has no virtio driver, but its kernel does.
    assert kernel["drivers"] == {"virtio_pci": "module", "virtio_blk": "module", "virtio_net": "module"}
    (root,) = (one for one in deep["filesystems"] if one["mountpoint"] == "/")
    assert (root["device"], root["kind"]) == ("/dev/sda1", "ext4")
    assert 2**30 < root["size"] < 4 * 2**30
    assert deep["hypervisor_tools"] == ["open-vm-tools"]
    assert (deep["hardware"]["block_bus"], deep["hardware"]["machine"]) == ("virtio-blk", "q35")
    changed = {change["path"]: change["subject"] for change in deep["changes"]}
    assert changed["open-vm-tools"] == "package"
    assert changed["/etc/fstab"] == "file"
    assert changed[kernel["initramfs"]] == "file"
