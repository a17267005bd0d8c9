# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: a guest as it was left on VMware, that does not boot on virtio, is converted and boots there.

The same guest goes through ``virt-v2v`` and through the helper commands, one process each: same files, same XML.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guests.boot import boot
from guests.look import Entry, difference, files_and_digest, guest_tree_digest
from runs import Fingerprint, Place, new_place, said

pytestmark = pytest.mark.slow

#: What two conversions of one guest may differ in: seeds, and logs with times in them.
DIFFERS_BY_CHANCE = (
    "/var/lib/systemd/random-seed",
    "/var/lib/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/log/apt/*",
    "/var/log/dpkg.log",
    "/var/log/alternatives.log",
    "/var/cache/ldconfig/aux-cache",
    "/var/cache/apt/*",
    "/boot/initrd.img-*",  # has the times of the files in it; that both boot is seen elsewhere
    "/lost+found",
)

HAVE_NAMES_OF_DISKS = ("/etc/fstab", "/etc/default/grub", "/boot/grub/grub.cfg", "/boot/grub/device.map")
DPKG_STATUS = "/var/lib/dpkg/status"


@dataclass(frozen=True)
class Converted:
    """What one conversion produced."""

    disk: Path
    xml: Path
    words: str


#: Without a MAC address, each conversion would give the guest another one.
NIC = "network=default,mac=52:54:00:11:22:33"


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    with new_place() as place:
        yield place


@pytest.fixture(scope="module")
def by_virt_v2v(shared_place: Place, vmware_guest: Path) -> Converted:
    """Convert with one command."""
    before = Fingerprint.of(vmware_guest)
    out = shared_place.root / "by-virt-v2v"
    out.mkdir()
    words = ["-i", "disk", vmware_guest, "--nic", NIC, "-o", "local", "-os", out, "-on", "guest"]
    done = shared_place.run("virt-v2v", *words)
    assert done.returncode == 0, said(done)
    assert Fingerprint.of(vmware_guest) == before
    assert sorted(path.name for path in out.iterdir()) == ["guest-sda", "guest.xml"]
    return Converted(out / "guest-sda", out / "guest.xml", done.stdout)


@pytest.fixture(scope="module")
def by_helpers(shared_place: Place, vmware_guest: Path) -> Converted:
    """Convert with the helper commands, called one after the other from a shell script."""
    before = Fingerprint.of(vmware_guest)
    out, directory = shared_place.root / "by-helpers", shared_place.root / "run"
    out.mkdir()
    script = shared_place.root / "convert.sh"
    script.write_text(
        f'set -e\nhelper-v2v-input-disk --dir "$1" "$2" --nic {NIC}\nhelper-v2v-convert --dir "$1"\n'
        'helper-v2v-output-local setup --dir "$1" -os "$3" -on guest\nhelper-v2v-copy --dir "$1"\n'
        'helper-v2v-output-local final --dir "$1"\nhelper-v2v-cleanup --dir "$1"\n'
    )
    bin_directory = shared_place.argv(["x"])[0].removesuffix("/x")
    environ = shared_place.environ({})
    environ["PATH"] = f"{bin_directory}:{environ['PATH']}"
    done = subprocess.run(
        ["sh", script, directory, vmware_guest, out],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, said(done)
    assert not directory.exists()
    assert Fingerprint.of(vmware_guest) == before
    return Converted(out / "guest-sda", out / "guest.xml", done.stdout)


@dataclass(frozen=True)
class LookedInto:
    """What is in a converted guest: some of its files, and a digest of nearly all."""

    files: dict[str, bytes]
    digest: dict[str, Entry]


@pytest.fixture(scope="module")
def result(by_virt_v2v: Converted) -> LookedInto:
    """Look into the guest that ``virt-v2v`` made, once for all tests."""
    return LookedInto(*files_and_digest([by_virt_v2v.disk], [*HAVE_NAMES_OF_DISKS, DPKG_STATUS], DIFFERS_BY_CHANCE))


def test_the_source_does_not_boot_on_virtio_and_the_result_does(by_virt_v2v: Converted, vmware_guest: Path) -> None:
    assert not boot([vmware_guest]).reached
    booted = boot([by_virt_v2v.disk])
    assert booted.reached, booted.tail()
    assert booted.facts["root"] == "/dev/vda1"
    assert booted.facts["failed"] == "0", booted.tail()


def test_no_old_name_of_a_disk_is_left(result: LookedInto) -> None:
    files = {path: result.files[path] for path in HAVE_NAMES_OF_DISKS if path in result.files}
    assert {"/etc/fstab", "/etc/default/grub", "/boot/grub/grub.cfg"} <= files.keys()
    for path, content in files.items():
        lines = [line for line in content.decode().splitlines() if not line.lstrip().startswith("#")]
        assert not re.search(r"/dev/(sd|hd|xvd)[a-z]", "\n".join(lines)), path
    assert b"root=/dev/vda1" in files["/boot/grub/grub.cfg"]


def test_the_hypervisor_tools_are_gone(result: LookedInto) -> None:
    status = result.files[DPKG_STATUS]
    installed = re.search(rb"^Package: open-vm-tools\nStatus: install ok installed$", status, re.MULTILINE)
    assert installed is None


def test_the_domain_is_one_that_libvirt_accepts(by_virt_v2v: Converted) -> None:
    checked = subprocess.run(
        ["virt-xml-validate", by_virt_v2v.xml, "domain"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    xml = by_virt_v2v.xml.read_text()
    assert f'file="{by_virt_v2v.disk}"' in xml or f"file='{by_virt_v2v.disk}'" in xml
    assert "vda" in xml


def test_the_words_that_others_read(by_virt_v2v: Converted) -> None:
    assert re.search(r"^\[ *[0-9.]+\] Copying disk 1/1$", by_virt_v2v.words, re.MULTILINE)
    assert re.search(r"^\[[ .0-9]*\] Finishing off", by_virt_v2v.words, re.MULTILINE)


def test_the_helpers_make_the_same_guest(by_virt_v2v: Converted, result: LookedInto, by_helpers: Converted) -> None:
    other = guest_tree_digest([by_helpers.disk], exclude=DIFFERS_BY_CHANCE)
    assert len(result.digest) > 1000
    assert difference(result.digest, other) == {}
    assert by_helpers.xml.read_text().replace("by-helpers", "by-virt-v2v") == by_virt_v2v.xml.read_text()
