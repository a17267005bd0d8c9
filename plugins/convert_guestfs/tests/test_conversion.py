# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole conversions of tiny phony guests in the appliance: what is refused and why, and what is changed."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.plugin import GuestfsConvert
from v2v_core.api import (
    Bus,
    ConversionError,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    DiskEndpoint,
    DriverPlace,
    Fact,
    Firmware,
    Guest,
    SourceDisk,
)

pytestmark = pytest.mark.slow

VERSION = "6.1.0-9-amd64"
_MIB = 1024 * 1024
_START = _MIB

ResultT = TypeVar("ResultT")


class Recorder:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def message(self, text: str) -> None:
        self.lines.append(("message", text))

    def info(self, text: str) -> None:
        self.lines.append(("info", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def changed(self, path: str, what: str, why: str, **_: object) -> None:
        self.lines.append(("change", path))

    def progress(self, done: int, total: int, *, disk: int | None = None) -> None:
        pass

    def trimmed(self) -> None:
        self.lines.append(("trimmed", ""))

    def examined(self, fact: Fact) -> None:
        self.lines.append(("fact", f"{fact.verdict}: {fact.name}"))

    def debug(self, text: str) -> None:
        pass

    def of(self, kind: str) -> list[str]:
        return [text for found, text in self.lines if found == kind]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Hold the disk servers of a test, and stop them."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
        process.wait(20)


def convert(tmp_path: Path, image: Path, server: list[subprocess.Popen[bytes]], report: Recorder) -> ConvertResult:
    return call(GuestfsConvert().v2v_convert, tmp_path, image, server, report)


def call(
    hook: Callable[[ConvertRequest], ResultT],
    tmp_path: Path,
    image: Path,
    server: list[subprocess.Popen[bytes]],
    report: Recorder,
) -> ResultT:
    """Serve the image, and call a hook of the converter."""
    socket = tmp_path / "in1"
    argv = [
        "qemu-nbd",
        "-t",
        "--shared=0",
        "--discard=unmap",
        "--cache=unsafe",
        "-f",
        "raw",
        "-k",
        str(socket),
        str(image),
    ]
    server.append(subprocess.Popen(argv))
    deadline = time.monotonic() + 20
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="phony", disks=(SourceDisk(index=1, bus=Bus.SCSI),)),
        disks=(DiskEndpoint(index=1, uri=f"nbd+unix:///?socket={socket}"),),
        settings=ConvertSettings(emulation=True),
        report=report,
    )
    result = hook(request)
    server[-1].terminate()
    server[-1].wait(20)
    assert not list((tmp_path / "temporary").iterdir())
    return result


def disk(image: Path, tree: Path, *, swap: bytes = b"") -> Path:
    """Make a disk with a partition of the files of a directory, and a swap area with that content behind it."""
    size = 300 * _MIB
    with image.open("wb") as file:
        file.truncate(_START + size + 4 * _MIB)
    table = f"label: dos\nstart=2048, size={size // 512}, type=83, bootable\nstart={(_START + size) // 512}, type=82\n"
    subprocess.run(["sfdisk", "-q", str(image)], input=table.encode(), check=True)
    options = ["-q", "-F", "-d", str(tree), "-U", "11111111-2222-3333-4444-555555555555", "-E", f"offset={_START}"]
    subprocess.run(["mkfs.ext4", *options, str(image), f"{size // 1024}k"], check=True)
    if swap:
        with image.open("r+b") as file:
            file.seek(_START + size)
            file.write(swap)
    return image


def swap_area(signature: bytes) -> bytes:
    return bytes(1024) + b"\1\0\0\0" + b"\xff\3\0\0" + bytes(4096 - 1032 - 10) + signature


def phony_debian(root: Path, *, kernel: bool) -> None:
    files: dict[str, bytes] = {
        "etc/os-release": b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (phony)"\n',
        "etc/debian_version": b"12.5\n",
        "etc/fstab": b"/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n/dev/sdz1 /z ext4 noauto 0 0\n",
        "etc/crypttab": b"x UUID=1 none luks\n",
        "etc/machine-id": b"",
        "etc/blkid.tab": b"old",
        "var/lib/dpkg/status": b"Package: qemu-guest-agent\nStatus: install ok installed\nVersion: 1\n",
        "root/.keep": b"",
        "tmp/.keep": b"",
    }
    if kernel:
        base = f"usr/lib/modules/{VERSION}"
        modules = {f"{base}/kernel/{name}.ko": name.encode() for name in ("virtio_pci", "virtio_blk")}
        archive = {
            "init": b"#!/bin/sh\n",
            "conf/initramfs.conf": b"MODULES=most\n",
            "conf/conf.d/resume": b"RESUME=/dev/sda2\n",
            f"{base}/modules.dep": b"",
            **modules,
        }
        data = b"".join(cpio.file_entry(name, text, number=i) for i, (name, text) in enumerate(archive.items(), 1))
        line = f"linux /boot/vmlinuz-{VERSION} root=/dev/sda1 ro resume=/dev/sda2"
        menu = f"set default=0\nmenuentry 'D' {{\n\t{line}\n\tinitrd /boot/initrd.img-{VERSION}\n}}\n"
        files |= {
            f"boot/vmlinuz-{VERSION}": b"kernel",
            f"boot/config-{VERSION}": b"CONFIG_VIRTIO_NET=y\nCONFIG_HW_RANDOM_VIRTIO=y\n",
            f"boot/initrd.img-{VERSION}": gzip.compress(data + cpio.trailer(len(data))),
            "boot/grub/grub.cfg": menu.encode(),
            "etc/default/grub": b'GRUB_CMDLINE_LINUX="resume=/dev/sda2"\n',
            f"lib/modules/{VERSION}/modules.dep": b"kernel/virtio_pci.ko:\nkernel/virtio_blk.ko:\n",
        }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    (root / "bin").mkdir()
    # libguestfs tells the architecture from a program; nothing is run in here.
    shutil.copy("/bin/true", root / "bin/ls")
    if kernel:
        (root / "etc/default/grub").chmod(0o640)


def in_guest(image: Path, path: str) -> bytes:
    argv = ["debugfs", "-R", f"cat {path}", f"{image}?offset={_START}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


#: u::rw-,u:1234:r--,g::r--,m::r--,o::--- as an attribute, version 2: tag, permissions and id of each, as debugfs
#: gives it, which knows no id where there is none.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in ((1, 6, 0), (2, 4, 1234), (4, 4, 0), (16, 4, 0), (32, 0, 0))
)
ATTRIBUTES = {
    "user.note": b"keep\0me",
    "security.selinux": b"system_u:object_r:bootloader_etc_t:s0\0",
    "trusted.other": b"\xff",
    "system.posix_acl_access": ACL,
}


def debugfs(image: Path, command: str) -> str:
    argv = ["debugfs", "-w", "-R", command, f"{image}?offset={_START}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout.decode()


def set_attributes(tmp_path: Path, image: Path, path: str) -> None:
    for field, value in (("uid", "1001"), ("gid", "1002")):
        debugfs(image, f"set_inode_field {path} {field} {value}")
    for name, value in ATTRIBUTES.items():
        (tmp_path / "value").write_bytes(value)
        debugfs(image, f"ea_set -f {tmp_path / 'value'} {path} {name}")


def attributes(tmp_path: Path, image: Path, path: str) -> dict[str, bytes]:
    found = {}
    for name in ATTRIBUTES:
        debugfs(image, f"ea_get -f {tmp_path / 'value'} {path} {name}")
        found[name] = (tmp_path / "value").read_bytes()
        (tmp_path / "value").unlink()
    return found


def test_a_blank_disk_is_refused(tmp_path: Path, server: list[subprocess.Popen[bytes]]) -> None:
    image = tmp_path / "blank.img"
    with image.open("wb") as file:
        file.truncate(16 * _MIB)
    with pytest.raises(ConversionError, match="no operating system was found") as caught:
        convert(tmp_path, image, server, Recorder())
    assert caught.value.hint is not None
    assert "-if" in caught.value.hint


def test_everything_in_the_way_is_said_at_once(tmp_path: Path, server: list[subprocess.Popen[bytes]]) -> None:
    phony_debian(tmp_path / "root", kernel=False)
    image = disk(tmp_path / "sda.img", tmp_path / "root", swap=swap_area(b"S1SUSPEND\0"))
    debugfs(image, "set_inode_field /etc/fstab flags 0x80010")
    debugfs(image, "set_inode_field /etc/crypttab flags 0x80010")
    with pytest.raises(ConversionError) as caught:
        convert(tmp_path, image, server, Recorder())
    for reason in ("hibernated", "no boot loader", "no kernel", "/etc/fstab in the guest is immutable"):
        assert reason in caught.value.message
    assert "crypttab" not in caught.value.message
    assert in_guest(image, "/etc/fstab").startswith(b"/dev/sda1 ")


def test_what_a_guest_did_at_its_first_boot(tmp_path: Path, server: list[subprocess.Popen[bytes]]) -> None:
    phony_debian(tmp_path / "root", kernel=False)
    log = "Mon Nov 30: 0001-agent starts\nsaid by it\nMon Nov 30: 0001-agent has ended with the status 7\n"
    for name, text in {
        "var/lib/v2v-firstboot/done/0001-agent": "#!/bin/sh\n",
        "var/lib/v2v-firstboot/todo/0002-\x1b[31mmore": "#!/bin/sh\n",
        "var/log/v2v-firstboot.log": "x" * 300_000 + f"\n{log}",
    }.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    image = disk(tmp_path / "sda.img", tmp_path / "root")
    status = call(GuestfsConvert().v2v_first_boot, tmp_path, image, server, Recorder())
    first, second = status.scripts
    assert (first.name, first.state, first.exit_code, first.ended) == ("0001-agent", "failed", 7, "Mon Nov 30")
    assert (second.name, second.state) == ("0002- [31mmore", "waiting")
    assert (status.planned, status.finished, status.log) == (True, False, log)


def test_a_look_tells_what_is_in_the_way_and_what_is_in_the_guest(
    tmp_path: Path, server: list[subprocess.Popen[bytes]]
) -> None:
    phony_debian(tmp_path / "root", kernel=True)
    image = disk(tmp_path / "sda.img", tmp_path / "root", swap=swap_area(b"SWAPSPACE2"))
    debugfs(image, "set_inode_field /etc/fstab flags 0x80010")
    found = call(GuestfsConvert().v2v_inspect, tmp_path, image, server, Recorder())
    (obstacle,) = found.obstacles
    assert "/etc/fstab in the guest is immutable" in obstacle.reason
    assert "chattr -i /etc/fstab" in obstacle.remedy
    assert (found.system, found.boot_loader, found.firmware) == (
        "Debian GNU/Linux 12 (phony)",
        "GRUB 2",
        Firmware.BIOS,
    )
    (kernel,) = found.kernels
    assert (kernel.version, kernel.chosen, kernel.default) == (VERSION, True, True)
    assert dict(kernel.drivers) == {
        "virtio_pci": DriverPlace.INITRAMFS,
        "virtio_blk": DriverPlace.INITRAMFS,
        "virtio_net": DriverPlace.BUILT_IN,
    }
    assert {(one.device, one.kind, one.size, one.mountpoint) for one in found.filesystems} == {
        ("/dev/sda1", "ext4", 300 * _MIB, "/"),
        ("/dev/sda2", "swap", 4 * _MIB, None),
    }
    assert (found.changes, found.capabilities) == ((), None)


def test_damage_is_told_with_everything_else(tmp_path: Path, server: list[subprocess.Popen[bytes]]) -> None:
    phony_debian(tmp_path / "root", kernel=False)
    image = disk(tmp_path / "sda.img", tmp_path / "root")
    debugfs(image, "clri /root/.keep")
    before = hashlib.sha256(image.read_bytes()).digest()
    report = Recorder()
    with pytest.raises(ConversionError) as caught:
        convert(tmp_path, image, server, report)
    assert not report.of("trimmed"), "nothing of it is to be copied"
    for reason in ("/dev/sda1 (ext4) is damaged", "no boot loader", "no kernel"):
        assert reason in caught.value.message
    assert hashlib.sha256(image.read_bytes()).digest() == before


OLD_DATA = b"old data" * 512


def fill_free_block(image: Path) -> int:
    """Write old data to free space of the file system, far from all that is used; return its offset in the image."""
    stats = debugfs(image, "stats -h")
    size = int(next(line.split()[-1] for line in stats.splitlines() if line.startswith("Block size")))
    count = 32 * len(OLD_DATA) // size
    free = debugfs(image, f"ffb {count} {200 * _MIB // size}").split(":")[1].split()
    offset = _START + int(free[count // 2]) * size // len(OLD_DATA) * len(OLD_DATA)
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(OLD_DATA)
    return offset


class ReadsWhenTrimmed(Recorder):
    """A reporter that reads the image in the moment in which the converter says that it has trimmed."""

    def __init__(self, image: Path, offset: int) -> None:
        super().__init__()
        self._image, self._offset = image, offset
        self.found = b""

    def trimmed(self) -> None:
        super().trimmed()
        with self._image.open("rb") as file:
            file.seek(self._offset)
            self.found = file.read(len(OLD_DATA))


def test_a_guest_is_converted(tmp_path: Path, server: list[subprocess.Popen[bytes]]) -> None:
    phony_debian(tmp_path / "root", kernel=True)
    image = disk(tmp_path / "sda.img", tmp_path / "root", swap=swap_area(b"SWAPSPACE2"))
    set_attributes(tmp_path, image, "/etc/default/grub")
    assert attributes(tmp_path, image, "/etc/default/grub") == ATTRIBUTES
    report = ReadsWhenTrimmed(image, fill_free_block(image))
    result = convert(tmp_path, image, server, report)

    assert report.found == bytes(len(OLD_DATA)), "what is free reads as zeros before the copy may begin"
    order = [(kind, text.split(" ")[0]) for kind, text in report.lines if kind in {"message", "trimmed", "change"}]
    assert [entry for entry in order if entry[0] == "trimmed"] == [("trimmed", "")]
    at = order.index(("trimmed", ""))
    assert all(kind == "message" for kind, _ in order[:at]), "nothing is changed before it"

    assert (result.firmware, result.inspection.distro, result.inspection.arch) == (Firmware.BIOS, "debian", "x86_64")
    assert result.capabilities.block_bus is Bus.VIRTIO_BLK
    assert result.capabilities.virtio_rng
    assert not result.capabilities.virtio_balloon
    assert "Converting Debian GNU/Linux 12 (phony) to run on KVM" in report.of("message")
    assert any("/dev/sdz1" in text for text in report.of("warning"))
    # that is for -v
    assert not any("Time spent" in text for text in report.of("info"))
    assert in_guest(image, "/etc/fstab") == (
        b"/dev/vda1 / ext4 defaults 0 1\n/dev/vda2 none swap sw 0 0\n/dev/sdz1 /z ext4 noauto 0 0\n"
    )
    menu = in_guest(image, "/boot/grub/grub.cfg")
    assert b"root=UUID=11111111-2222-3333-4444-555555555555 ro resume=/dev/vda2" in menu
    assert in_guest(image, "/etc/default/grub") == b'GRUB_CMDLINE_LINUX="resume=/dev/vda2"\n'
    assert b"RESUME=/dev/vda2" in gzip.decompress(in_guest(image, f"/boot/initrd.img-{VERSION}"))
    assert len(in_guest(image, "/etc/machine-id")) == 33
    changed = {change.path for change in result.changes}
    assert {"/etc/fstab", "/etc/default/grub", "/boot/grub/grub.cfg", "/etc/blkid.tab"} <= changed
    # Another file has taken its place: it is the same to everybody who may look at it.
    stat = debugfs(image, "stat /etc/default/grub")
    assert "Mode:  0640" in stat
    assert re.search(r"User: +1001 +Group: +1002 ", stat)
    assert attributes(tmp_path, image, "/etc/default/grub") == ATTRIBUTES
    assert changed == set(report.of("change")), "each was said when it happened"
    subprocess.run(["e2fsck", "-fn", f"{image}?offset={_START}"], check=True, capture_output=True)


def test_what_the_conversion_does_not_need_does_not_stop_it(
    tmp_path: Path, serve: Callable[[Path], DiskEndpoint]
) -> None:
    """See openSUSE/microos-tools#9 and libguestfs/libguestfs#281.

    / is a read-only snapshot among others; /data has a feature that no kernel knows, and /srv lacks a disk.
    """
    images = [tmp_path / f"{name}.img" for name in ("root", "data", "half", "other-half")]
    for image, size in zip(images, (300, 32, 48, 48), strict=True):
        with image.open("wb") as file:
            file.truncate(size * _MIB)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^metadata_csum", str(images[1])], check=True)
    with images[1].open("r+b") as file:
        file.seek(1024 + 96)
        incompatible = int.from_bytes(file.read(4), "little") | 1 << 29
        file.seek(1024 + 96)
        file.write(incompatible.to_bytes(4, "little"))
    phony_debian(tmp_path / "tree", kernel=True)
    disks = tuple(serve(image) for image in images)

    def request(*indices: int, report: Recorder) -> ConvertRequest:
        return ConvertRequest(
            directory=tmp_path,
            temporary=tmp_path / "temporary",
            guest=Guest(name="phony", disks=tuple(SourceDisk(index=index, bus=Bus.SCSI) for index in indices)),
            disks=tuple(disks[index - 1] for index in indices),
            settings=ConvertSettings(emulation=True),
            report=report,
        )

    with Appliance(request(1, 2, 3, 4, report=Recorder())) as appliance:
        fill(appliance.handle, tmp_path / "tree")
    data = images[1].read_bytes()
    report = Recorder()
    result = GuestfsConvert().v2v_convert(request(1, 2, 3, report=report))

    assert result.inspection.root == "/dev/sda"
    warnings = report.of("warning")
    (unknown,) = [text for text in warnings if "/dev/sdb" in text and "feature bit 29" in text]
    assert "/data of the guest" in unknown
    assert [text for text in warnings if "/dev/vg/srv is incomplete" in text]
    assert [text for text in report.of("info") if "snapshot" in text and "btrfsvol:/dev/sda/@/.snapshots/2" in text]
    assert images[1].read_bytes() == data
    assert subvolume_flags(images[0]) == {"@/.snapshots/1/snapshot": "RDONLY", "@/.snapshots/2/snapshot": "RDONLY"}
    assert "/etc/fstab" not in {change.path for change in result.changes}
    assert "/boot/initrd.img-" + VERSION in {change.path for change in result.changes}


def fill(handle: Any, tree: Path) -> None:
    """Make an empty disk a system as on openSUSE MicroOS, and the last two a volume group."""
    handle.mkfs("btrfs", "/dev/sda")
    handle.mount("/dev/sda", "/")
    for path in ("/@", "/@/.snapshots"):
        handle.btrfs_subvolume_create(path)
    root = "/@/.snapshots/1/snapshot"
    handle.mkdir("/@/.snapshots/1")
    handle.btrfs_subvolume_create(root)
    subprocess.run(["tar", "-C", str(tree), "-cf", str(tree.parent / "tree.tar"), "."], check=True)
    handle.tar_in(str(tree.parent / "tree.tar"), root)
    uuid, data = handle.vfs_uuid("/dev/sda"), handle.vfs_uuid("/dev/sdb")
    places = f"UUID={uuid} / btrfs ro 0 0\nUUID={data} /data ext4 defaults 0 2\n/dev/vg/srv /srv ext4 nofail 0 2\n"
    handle.write(f"{root}/etc/fstab", places)
    menu = handle.read_file(f"{root}/boot/grub/grub.cfg").replace(b"root=/dev/sda1", f"root=UUID={uuid}".encode())
    handle.write(f"{root}/boot/grub/grub.cfg", menu)
    handle.mkdir("/@/.snapshots/2")
    handle.btrfs_subvolume_snapshot(root, "/@/.snapshots/2/snapshot", ro=True)
    numbers = {each["btrfssubvolume_path"]: each["btrfssubvolume_id"] for each in handle.btrfs_subvolume_list("/")}
    handle.btrfs_subvolume_set_default(numbers[root.lstrip("/")], "/")
    handle.debug("sh", [f"btrfs property set -ts /sysroot{root} ro true"])
    handle.umount_all()
    handle.pvcreate("/dev/sdc")
    handle.pvcreate("/dev/sdd")
    handle.vgcreate("vg", ["/dev/sdc", "/dev/sdd"])
    handle.lvcreate_free("srv", "vg", 100)
    handle.mkfs("ext4", "/dev/vg/srv")


def subvolume_flags(image: Path) -> dict[str, str]:
    """Return the flags of snapper's subvolumes by their paths."""
    argv = ["btrfs", "inspect-internal", "dump-tree", "-t", "root", str(image)]
    dump = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    flags: dict[str, str] = {}
    number = ""
    for line in dump.splitlines():
        if match := re.search(r"item \d+ key \((\d+) ROOT_ITEM", line):
            number = match[1]
        elif (match := re.search(r"flags 0x\w+\((\w+)\)", line)) and number:
            flags.setdefault(number, match[1])
    # The subvolumes are made in this order: @, @/.snapshots, and then snapper's.
    return {f"@/.snapshots/{place}/snapshot": flags[number] for place, number in (("1", "258"), ("2", "259"))}
