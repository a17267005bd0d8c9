# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile guests reach no file of the host and no terminal; memory and time are bounded."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import os
import re
import secrets
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guests.host import run
from phony import cpio, debian
from phony.build import fill
from phony.look import Found, looked_into
from phony.recipe import Phony
from phony.tree import plant, write
from runs import Place

_MIB = 1024 * 1024
#: What the converter may use: seconds, on a busy machine without hardware virtualization; bytes of memory; bytes of
#: temporary files.
TIME_LIMIT, MEMORY_LIMIT, DISK_LIMIT = 600, 400 * _MIB, 3 * 1024 * _MIB
#: Files in one directory: six times as many as are looked at. To make more takes mke2fs minutes.
CROWD = 3_000
#: Sets the title of a terminal's window, switches its colours, and clears it.
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x1b[2J\x9b1m"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a conversion ended, and the most that it used."""

    code: int
    words: str
    logs: str
    seconds: float
    memory: int
    disk: int

    @property
    def errors(self) -> list[str]:
        """Return the lines with errors."""
        return [line for line in self.words.splitlines() if ": error: " in line]


@dataclasses.dataclass(frozen=True)
class Bait:
    """A file and a directory of the host that a guest's links lead to."""

    directory: Path
    secret: str

    @classmethod
    def lay(cls, directory: Path) -> Bait:
        directory.mkdir()
        bait = cls(directory, f"BAIT{secrets.token_hex(12)}")
        bait.file.write_text(f"/dev/sda1 /{bait.secret} ext4 defaults 0 0\nalias eth0 {bait.secret}\n")
        return bait

    @property
    def file(self) -> Path:
        return self.directory / "file"

    def see_untouched(self, before: os.stat_result) -> None:
        after = self.file.stat()
        assert (after.st_size, after.st_mtime_ns, after.st_mode) == (before.st_size, before.st_mtime_ns, before.st_mode)
        assert [path.name for path in self.directory.iterdir()] == ["file"]


def convert(place: Place, disk: Path) -> Outcome:
    """Convert a guest where it is, and watch the processes and the temporary files meanwhile."""
    started = time.monotonic()
    process = place.start("v2v", "convert", "--in-place", disk)
    memory, most = 0, 0
    try:
        while process.poll() is None and time.monotonic() - started < TIME_LIMIT:
            memory = max(memory, _memory(place))
            most = max(most, _size(place.root / "large") + _size(place.root / "tmp"))
            time.sleep(0.02)
        ended = process.poll() is not None
    finally:
        process.kill()
        process.wait()
    words = (place.root / "output").read_text(errors="surrogateescape")
    assert ended, words[-3000:]
    logs = "".join(path.read_text(errors="surrogateescape") for path in (place.root / "state").rglob("*.log"))
    print(f"exit {process.returncode} after {time.monotonic() - started:.0f} s, {memory >> 20} MiB, {most >> 20} MiB")
    return Outcome(process.returncode, words, logs, time.monotonic() - started, memory, most)


def _memory(place: Place) -> int:
    """Return the peak memory, in bytes, of the largest of our own processes; the appliance is not counted."""
    peaks = [0]
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or f"={place.root}/large".encode() not in (entry / "environ").read_bytes():
                continue
            if b"python" in (entry / "cmdline").read_bytes().partition(b"\0")[0]:
                found = re.search(r"^VmHWM:\s+(\d+) kB", (entry / "status").read_text(), re.MULTILINE)
                peaks.append(int(found[1]) * 1024 if found else 0)
        except OSError:
            continue
    return max(peaks)


def _size(directory: Path) -> int:
    """Return the bytes on disk of the files below a directory, which come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118 - a busy loop
            except OSError:
                continue
    return total


def see_harmless(outcome: Outcome, bait: Bait | None = None) -> None:
    """Check that memory and disk stayed within their limits and that no control character was printed."""
    assert outcome.memory < MEMORY_LIMIT
    assert outcome.disk < DISK_LIMIT
    assert "Traceback" not in outcome.words, outcome.words[-3000:]
    for text in (outcome.words, outcome.logs):
        left = sorted({char for char in text if char not in "\n\t" and not char.isprintable()})
        assert left == [], left
        assert bait is None or bait.secret not in text
    assert len(outcome.words) < _MIB
    assert bool(outcome.errors) == (outcome.code != 0), outcome.words[-3000:]
    numbered = [line for line in outcome.errors if re.search(r": error: \(\d+\) ", line)]
    assert len(outcome.errors) - len(numbered) <= 1, outcome.words[-3000:]


def make(place: Place, recipe: Phony, traps: Callable[[Path], None], nodes: str = "", *, inodes: int = 0) -> Path:
    """Make the disk of a guest with traps in its tree.

    :param nodes: commands of debugfs for what only root may make on the host.
    """
    root, image = place.root / "tree", place.root / "guest.img"
    root.mkdir()
    plant(recipe, root)
    traps(root)
    fill(image, root, size=recipe.size, inodes=inodes)
    if nodes:
        part = place.root / "part"
        room = (recipe.size - 9) * _MIB
        run(["dd", "status=none", f"if={image}", f"of={part}", "bs=1M", "skip=1", f"count={room >> 20}", "conv=sparse"])
        run(["debugfs", "-w", "-f", "-", part], stdin=nodes)
        # debugfs does not count what it makes, and a damaged file system is not what this is about. 1: repaired
        subprocess.run(["e2fsck", "-f", "-y", part], stdout=subprocess.DEVNULL, check=False)
        subprocess.run(["e2fsck", "-f", "-n", part], stdout=subprocess.DEVNULL, check=True)
        run(["dd", "status=none", f"if={part}", f"of={image}", "bs=1M", "seek=1", "conv=notrunc,sparse"])
        part.unlink()
    return image


@pytest.fixture
def bait(place: Place) -> Iterator[Bait]:
    laid = Bait.lay(place.root / "bait")
    before = laid.file.stat()
    yield laid
    laid.see_untouched(before)


def out_of(bait: Bait) -> str:
    """Return a relative path that leads from anywhere in the guest's tree to the bait."""
    return "../" * 12 + str(bait.file).lstrip("/")


def links_and_nodes(root: Path, bait: Bait) -> None:
    """Put links to the host, loops, pipes and endless files where the conversion looks."""
    etc = root / "etc"
    for name in ("fstab", "inittab", "hostname"):
        (etc / name).unlink()
    (etc / "fstab").symlink_to(bait.file)
    (etc / "inittab").symlink_to(out_of(bait))
    (etc / "crypttab").symlink_to("crypttab.real")
    (etc / "crypttab.real").symlink_to("crypttab")
    (etc / "hostname").write_bytes(ESCAPES.encode() + b"\xff\n")
    (etc / "default/grub").unlink()
    with (etc / "default/grub").open("wb") as stream:
        stream.truncate(10 * 1024 * _MIB)
    (etc / "X11/xorg.conf").unlink()
    os.mkfifo(etc / "X11/xorg.conf")
    (etc / "network/interfaces").unlink()
    (etc / "network/interfaces").symlink_to(out_of(bait))
    (etc / "lvm").mkdir()
    (etc / "lvm/lvm.conf").symlink_to(bait.file)
    modprobe = etc / "modprobe.d"
    modprobe.mkdir()
    (modprobe / "host.conf").symlink_to(bait.file)
    os.mkfifo(modprobe / f"{ESCAPES}.conf")
    os.mkfifo(modprobe / "two\nlines.conf")
    (modprobe / "ordinary.conf").write_text("alias eth0 e1000\n")
    (etc / "initramfs-tools/conf.d").mkdir()
    (etc / "initramfs-tools/conf.d/resume").symlink_to(out_of(bait))
    (root / "var/lib/systemd").mkdir()
    (root / "var/lib/systemd/random-seed").symlink_to(bait.file)
    (root / "boot/vmlinuz-1\n2").write_bytes(b"")
    (root / "lib/modules/1\n2").mkdir()
    release = f'PRETTY_NAME="{ESCAPES}"\nNAME="Debian"\nVERSION_ID="7"\nID=debian\n'
    (etc / "os-release").write_bytes(release.encode() + b"\xff\xfe\n")
    noise = f"printf '{ESCAPES}'; printf '\\377\\376'; head -c 300000 /usr/lib/phony/busybox\n"
    dpkg = root / "usr/bin/dpkg"
    dpkg.write_text(dpkg.read_text() + noise, encoding="utf-8")


#: The disk of the appliance itself, endless zeros, and a pipe.
_NODES = """\
mknod /etc/modprobe.conf b 8 0
mknod /etc/modprobe.d/zero.conf c 1 5
mknod /etc/securetty.new p
unlink /etc/securetty
mknod /etc/securetty c 1 5
mknod /etc/smartd.conf p
"""


@pytest.mark.slow
def test_links_pipes_devices_and_escape_sequences(place: Place, bait: Bait) -> None:
    """The guest is converted all the same. A file that cannot be edited is left as it is, with a warning."""
    disk = make(place, debian.DEBIAN7, lambda root: links_and_nodes(root, bait), _NODES)
    outcome = convert(place, disk)
    see_harmless(outcome, bait)
    assert outcome.code == 0, outcome.words[-3000:]
    assert "/etc/default/grub in the guest is left alone: 10737418240 bytes are too many" in outcome.words
    assert "/etc/X11/xorg.conf in the guest is left alone: it is not a regular file" in outcome.words
    with looked_into(disk, without=["/etc/default/grub"]) as found:
        assert "alias eth0 virtio_net" in found.text("/etc/modprobe.d/ordinary.conf")
        assert found.link("/etc/fstab") == str(bait.file)
        assert found.calls("dpkg") != []
        see_nowhere(found, bait)


def see_nowhere(found: Found, bait: Bait) -> None:
    """Check that the secret of the host is in no file of the guest."""
    for parent, _, names in os.walk(found.root):
        for path in (Path(parent, name) for name in names):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 16 * _MIB:
                assert bait.secret.encode() not in path.read_bytes(), path


def zeros(size: int) -> bytes:
    """Return so many zeros, compressed, without compressing them all: after a full flush, the output repeats itself."""
    compressor = zlib.compressobj(9, wbits=31)
    first = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    once = compressor.compress(bytes(64 * _MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + once * (size // (64 * _MIB))


def crowded_archive(bait: Bait) -> bytes:
    """Make an archive with paths that lead out of it, and with sizes that are lies."""
    files = {
        f"../../../../..{bait.file}": b"written by a guest",
        "init": b"",
        f"conf/conf.d/{ESCAPES}": b"RESUME=/dev/sda2",
    }
    entries = [cpio.entry(path, 0o100644, content, number) for number, (path, content) in enumerate(files.items(), 1)]
    return gzip.compress(cpio.end(b"".join(entries))) + gzip.compress(
        cpio.entry("conf/conf.d/long", 0o100644, b"", 7, size=0xFFFFFF00)
    )


def bombs_and_crowds(root: Path, bait: Bait, images: dict[str, bytes]) -> None:
    """Put bombs into /boot, garbage into tables, and crowds where a few files are usual."""
    for version, image in images.items():
        write(root, f"/boot/vmlinuz-{version}", b"")
        write(root, f"/boot/initrd.img-{version}", image)
        write(root, f"/boot/config-{version}", "CONFIG_VIRTIO_BLK=m\nCONFIG_VIRTIO_PCI=m\nCONFIG_VIRTIO_NET=m\n" * 2000)
        write(root, f"/lib/modules/{version}/modules.builtin", b"a b\n" * (_MIB // 4 - 1))
        garbage = b"".join(b"%x/%x.ko: %s\n" % (n, n, secrets.token_bytes(8).hex().encode()) for n in range(100_000))
        write(root, f"/lib/modules/{version}/modules.dep", garbage + secrets.token_bytes(_MIB))
    menu = root / "boot/grub/grub.cfg"
    entries = "".join(
        f"menuentry '{version}' {{\n\tlinux /boot/vmlinuz-{version} root=/dev/sda1\n}}\n" for version in images
    )
    menu.write_text(menu.read_text() + entries)
    for directory, name, text in (
        ("boot/loader/entries", "{}.conf", "title x\n"),
        ("etc/modprobe.d", "{}.conf", "alias eth0 e1000\n"),
        ("etc/network/interfaces.d", "{}", "iface eth{} inet dhcp\n"),
    ):
        (root / directory).mkdir(parents=True, exist_ok=True)
        for number in range(CROWD):
            (root / directory / name.format(number)).write_text(text.format(number))
    (root / "etc/modprobe.d/0.conf").rename(root / os.fsdecode(b"etc/modprobe.d/0\xe9\n.conf"))
    # No more of them: inspection, which is libguestfs's, takes half a second for each.
    (root / "etc/fstab").write_text(
        "/dev/sda1 / ext4 defaults 0 1\n" + "".join(f"/dev/sdz{n} /mnt/{n} ext4 noauto 0 0\n" for n in range(20))
    )
    # What depmod of the guest makes is read by the host.
    depmod = root / "sbin/depmod"
    depmod.write_text(depmod.read_text() + "truncate -s 100G modules.dep.bin\nln -sf /dev/zero modules.dep\n")


@pytest.mark.zoo
def test_bombs_crowds_and_lies(place: Place, bait: Bait) -> None:
    """Old kernels have images that cannot be unpacked; the kernel that boots is converted."""
    images = {
        "2.6.1": zeros(10 * 1024 * _MIB),
        "2.6.2": gzip.compress(bytes(256 * _MIB)) * 40,
        "2.6.3": bz2.compress(bytes(256 * _MIB)) * 40,
        "2.6.4": crowded_archive(bait),
        "2.6.5": gzip.compress(secrets.token_bytes(4096) * 100)[:-9],
        "2.6.6": b"",
    }
    recipe = dataclasses.replace(debian.DEBIAN7, size=900)
    disk = make(place, recipe, lambda root: bombs_and_crowds(root, bait, images), inodes=20_000)
    outcome = convert(place, disk)
    see_harmless(outcome, bait)
    assert outcome.code == 0, outcome.words[-3000:]
    with looked_into(disk) as found:
        assert found.calls("update-initramfs") != []  # the tables of depmod were not taken
        see_nowhere(found, bait)


def nothing_to_convert(root: Path, bait: Bait) -> None:
    """Replace the files that the conversion cannot do without."""
    (root / "boot/grub/grub.cfg").unlink()
    os.mkfifo(root / "boot/grub/grub.cfg")
    (root / "var/lib/dpkg/status").unlink()
    (root / "var/lib/dpkg/status").symlink_to(out_of(bait))
    (kernel,) = debian.DEBIAN7.kernels
    (root / kernel.image.lstrip("/")).unlink()
    (root / kernel.image.lstrip("/")).symlink_to(bait.file)
    (root / "etc/os-release").write_text(f'PRETTY_NAME="{ESCAPES}"\nNAME="Debian"\nVERSION_ID="7"\nID=debian\n')


@pytest.mark.slow
def test_what_cannot_be_read_stands_in_the_way(place: Place, bait: Bait) -> None:
    """Everything that stands in the way is named together, and no file is changed."""
    disk = make(place, debian.DEBIAN7, lambda root: nothing_to_convert(root, bait))
    outcome = convert(place, disk)
    see_harmless(outcome, bait)
    assert outcome.code == 6, outcome.words
    error = "\n".join(outcome.errors)
    assert "3 reasons" in error
    assert "boot loader" in error
    assert "packages" in error
    assert "kernel" in error
    with looked_into(disk) as found:
        assert found.calls() == []
        assert found.text("/etc/fstab") == debian.DEBIAN7.files["/etc/fstab"]
