# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms that change the system, on guests that are a directory: what they write, and what they leave alone."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.checks import fstab_places
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.encryption import Key, mapper_name, parse_key
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import (
    block_devices,
    display,
    firstboot,
    guest_agent,
    identity,
    immutable,
    modprobe,
    selinux,
)
from v2v_convert_guestfs.linux.editors import devices_in
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import (
    Bus,
    ConversionError,
    ConvertRequest,
    ConvertSettings,
    Guest,
    Inspection,
    Removable,
    SourceDisk,
)
from v2v_core.testing.fakes import FakeReporter

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")
WHY = "because"


class Directory:
    """What the rooms use of libguestfs, on a directory. Its links are relative ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labels: set[str] = set()
        self.locks: dict[str, str] = {}
        self.uuids: dict[str, str] = {}
        self.programs: dict[str, Callable[[list[str]], str]] = {}
        self.commands: list[list[str]] = []

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def exists(self, path: str) -> bool:
        return self._at(path).exists()

    def is_file(self, path: str, followsymlinks: bool = False) -> bool:
        place = self._at(path)
        return place.is_file() and (followsymlinks or not place.is_symlink())

    def is_dir(self, path: str) -> bool:
        return self._at(path).is_dir()

    def is_symlink(self, path: str) -> bool:
        return self._at(path).is_symlink()

    def readlink(self, path: str) -> str:
        return str(self._at(path).readlink())

    def realpath(self, path: str) -> str:
        return "/" + str(self._at(path).resolve().relative_to(self.root.resolve()))

    def filesize(self, path: str) -> int:
        return self._at(path).stat().st_size

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self._at(path).read_bytes()[offset : offset + count]

    def mkdir_p(self, path: str) -> None:
        self._at(path).mkdir(parents=True, exist_ok=True)

    def mktemp(self, template: str) -> str:
        self._at(template).touch()
        return template

    def write(self, path: str, content: bytes) -> None:
        self._at(path).write_bytes(content)

    def chmod(self, mode: int, path: str) -> None:
        self._at(path).chmod(mode)

    def rename(self, old: str, new: str) -> None:
        self._at(old).rename(self._at(new))
        self.labels.discard(new)
        if old in self.labels:
            self.labels.remove(old)
            self.labels.add(new)

    def copy_attributes(self, source: str, target: str, *, all: bool) -> None:  # noqa: A002 - libguestfs's name
        shutil.copystat(self._at(source), self._at(target))
        if source in self.labels:
            self.labels.add(target)

    def ln_sf(self, target: str, path: str) -> None:
        self._at(path).unlink(missing_ok=True)
        self._at(path).symlink_to(target)

    def rm_f(self, path: str) -> None:
        self._at(path).unlink(missing_ok=True)

    def glob_expand(self, pattern: str) -> list[str]:
        return ["/" + os.path.relpath(found, self.root) for found in glob.glob(f"{self.root}{pattern}")]  # noqa: PTH207

    def lgetxattrs(self, path: str) -> list[dict[str, Any]]:
        return [{"attrname": "security.selinux", "attrval": b"x"}] if path in self.labels else []

    def get_e2attrs(self, path: str) -> str:
        return self.locks.get(path, "e")

    def vfs_uuid(self, device: str) -> str:
        return self.uuids[device]

    def command(self, argv: list[str]) -> str:
        words = [word for word in argv[1:] if "=" not in word]
        self.commands.append(words)
        if words[0] not in self.programs:
            raise RuntimeError(f"command: {words[0]}: not found")
        return self.programs[words[0]](words)


class GuestDirectory:
    """A guest: its files, and a session on it."""

    def __init__(self, root: Path, distro: str = "debian", major: int = 12, guest: Guest | None = None) -> None:
        self.root = root
        self.handle = Directory(root)
        self.report = FakeReporter()
        request = ConvertRequest(
            directory=root,
            temporary=root,
            guest=guest or Guest(name="g", disks=(SourceDisk(index=1),)),
            disks=(),
            settings=ConvertSettings(),
            report=self.report,
        )
        self.session = Session(request=request, handle=self.handle)
        self.session.found = Inspection(
            root="/dev/sda1", os_type="linux", distro=distro, arch="x86_64", major_version=major
        )
        self.files = GuestFiles(self.session)

    def add(self, path: str, content: bytes = b"", *, link: str | None = None) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if link is None:
            place.write_bytes(content)
        else:
            place.symlink_to(link)

    def directory(self, *paths: str) -> None:
        for path in paths:
            (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def read(self, path: str) -> bytes:
        return (self.root / path.lstrip("/")).read_bytes()

    def everything(self) -> set[str]:
        return {"/" + str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}

    def first_boot_script(self, name: str, script: bytes = b"#!/bin/sh\n") -> bool:
        return firstboot.add_script(self.session, self.files, name, script, why=WHY)


@pytest.fixture
def guest(tmp_path: Path) -> GuestDirectory:
    return GuestDirectory(tmp_path)


def with_systemd(guest: GuestDirectory) -> GuestDirectory:
    guest.directory("/etc/systemd/system", "/sbin")
    guest.add("/sbin/init", link="../lib/systemd/systemd")
    return guest


# Scripts for the first boot


def test_scripts_for_the_first_boot_with_systemd(guest: GuestDirectory) -> None:
    with_systemd(guest)
    assert guest.first_boot_script("a/../b c", b"#!/bin/sh\necho a\n")
    assert guest.first_boot_script("x" * 100)
    assert guest.everything() >= {
        "/usr/local/sbin/v2v-firstboot",
        "/var/lib/v2v-firstboot/todo/0001-a----b-c",
        "/var/lib/v2v-firstboot/todo/0002-" + "x" * 60,
        "/etc/systemd/system/v2v-firstboot.timer",
        "/etc/systemd/system/timers.target.wants/v2v-firstboot.timer",
    }
    assert (guest.root / "etc/systemd/system/timers.target.wants/v2v-firstboot.timer").resolve().is_file()
    assert not [path for path in guest.everything() if "init.d" in path]


@pytest.mark.parametrize(
    ("distro", "directories", "link", "target"),
    [
        ("rhel", ("/etc/rc.d/init.d", "/etc/rc.d/rc3.d", "/etc/rc.d/rc5.d"), "/etc/rc.d/rc3.d", "../init.d/"),
        ("altlinux", ("/etc/rc.d/init.d", "/etc/rc.d/rc3.d"), "/etc/rc.d/rc3.d", "../init.d/"),
        ("circle", ("/etc/rc.d/init.d", "/etc/rc.d/rc3.d"), "/etc/rc.d/rc3.d", "../init.d/"),
        ("sles", ("/etc/init.d/rc3.d", "/etc/init.d/rc5.d"), "/etc/init.d/rc3.d", "../"),
        ("debian", ("/etc/init.d", "/etc/rc2.d", "/etc/rc3.d"), "/etc/rc2.d", "../init.d/"),
        ("linuxmint", ("/etc/init.d", "/etc/rc2.d"), "/etc/rc2.d", "../init.d/"),
    ],
)
def test_scripts_for_the_first_boot_without_systemd(
    tmp_path: Path, distro: str, directories: tuple[str, ...], link: str, target: str
) -> None:
    guest = GuestDirectory(tmp_path, distro, 6)
    guest.directory(*directories, "/etc/systemd/system")
    guest.add("/sbin/init", b"\x7fELF")
    assert guest.first_boot_script("a")
    made = guest.root / link.lstrip("/") / "S99v2v-firstboot"
    assert str(made.readlink()) == f"{target}v2v-firstboot"
    assert os.access(made.resolve(), os.X_OK)
    assert not [path for path in guest.everything() if "systemd/system/" in path]


def test_no_link_is_made_where_the_guest_sorts_its_init_scripts(guest: GuestDirectory) -> None:
    guest.directory("/etc/init.d", "/etc/rc2.d", "/etc/rc3.d")
    guest.add("/sbin/init", b"\x7fELF")

    def update_rc(_words: list[str]) -> str:
        guest.add("/etc/rc2.d/S17v2v-firstboot", link="../init.d/v2v-firstboot")
        guest.add("/etc/rc3.d/S17v2v-firstboot", link="../init.d/v2v-firstboot")
        return ""

    guest.handle.programs["update-rc.d"] = update_rc
    assert guest.first_boot_script("a")
    assert not [path for path in guest.everything() if "/S99" in path]


def test_nothing_is_written_where_nothing_would_run_it(guest: GuestDirectory) -> None:
    assert not guest.first_boot_script("a")
    assert guest.everything() == set()
    assert not guest.session.changes


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_scripts_run_once_in_order_and_everything_goes(
    guest: GuestDirectory, tmp_path: Path, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which(shell)
    assert program is not None
    with_systemd(guest)
    root = str(tmp_path)
    # Its own copy knows no other root than this one, waits for no network, and finds no systemd.
    runner = firstboot.RUNNER.replace("/run/systemd", f"{root}/none").replace("-ge 60", "-ge 0")
    for place in ("/var/lib/", "/var/log/", "/usr/local/sbin/v2v", "/etc/"):
        runner = runner.replace(place, root + place)
    monkeypatch.setattr(firstboot, "RUNNER", runner)
    guest.directory("/var/log")
    scripts = [
        ("first", b"#!/bin/sh\necho one; exit 3\n"),
        ("kills", b"#!/bin/sh\nkill -9 $$\n"),
        ("broken", b"\x7fnothing to run\n"),
        ("sees", b"#!/bin/sh\nls %s/var/lib/v2v-firstboot/done\n" % os.fsencode(root)),
    ]
    for name, script in scripts:
        assert guest.first_boot_script(name, script)
    argv = [program, f"{root}/usr/local/sbin/v2v-firstboot"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")
    log = guest.read("/var/log/v2v-firstboot.log").decode()
    places = [log.index(text) for text in ("0001-first starts", "one\n", "status 3", "0002-kills", "0003-broken")]
    assert places == sorted(places)
    assert log.count("\n0001-first\n0002-kills\n0003-broken\n0004-sees\n") == 1
    kept = {path for path in guest.everything() if path != "/sbin/init"}
    assert kept == {
        "/var/log/v2v-firstboot.log",
        *(f"/var/lib/v2v-firstboot/done/{number:04}-{name}" for number, (name, _) in enumerate(scripts, 1)),
    }


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    "text",
    [
        firstboot.RUNNER,
        firstboot.INIT_SCRIPT,
        guest_agent.script(Dpkg.__new__(Dpkg)),
        guest_agent.first_boot_script(Dpkg.__new__(Dpkg)),
    ],
)
def test_what_the_guest_runs_is_shell(shell: str, text: str) -> None:
    subprocess.run([shell, "-n"], input=text.encode(), check=True)


@given(st.text())
def test_a_name_of_a_script_is_a_name_of_a_file(name: str) -> None:
    safe = firstboot.safe_name(name)
    assert len(safe) <= 60
    assert not set(safe) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


# The guest agent


def test_the_agent_comes_with_a_timer_or_at_first_boot(tmp_path: Path) -> None:
    new, old = GuestDirectory(tmp_path / "new"), GuestDirectory(tmp_path / "old", "rhel", 6)
    with_systemd(new)
    old.directory("/etc/rc.d/init.d", "/etc/rc.d/rc3.d")
    for guest in (new, old):
        guest_agent.install_at_first_boot(guest.session, guest.files, Dpkg(guest.session, guest.files))
    assert "/etc/systemd/system/v2v-guest-agent.timer" in new.everything()
    script = old.read("/var/lib/v2v-firstboot/todo/0001-v2v-guest-agent")
    assert b"install qemu-guest-agent" in script
    assert b"qemu-ga" in script
    bare = GuestDirectory(tmp_path / "bare")
    guest_agent.install_at_first_boot(bare.session, bare.files, Dpkg(bare.session, bare.files))
    assert len(bare.report.warnings) == 1
    assert bare.everything() == set()


def test_no_agent_where_nothing_installs_packages(tmp_path: Path) -> None:
    guest = GuestDirectory(tmp_path)
    with_systemd(guest)
    packages = Dpkg(guest.session, guest.files)
    packages.install_command = ""
    before = guest.everything()
    guest_agent.install_at_first_boot(guest.session, guest.files, packages)
    assert len(guest.report.warnings) == 1
    assert guest.everything() == before


# SELinux


def selinux_guest(guest: GuestDirectory, mode: bytes) -> GuestDirectory:
    guest.add("/usr/sbin/load_policy")
    guest.add("/etc/selinux/config", b"# SELINUX=disabled\nSELINUX=" + mode + b"\nSELINUXTYPE=targeted\n")
    guest.handle.labels |= {"/etc", "/etc/fstab"}
    guest.add("/etc/fstab")

    def setfiles(words: list[str]) -> str:
        assert words[1:3] == ["-F", "/etc/selinux/targeted/contexts/files/file_contexts"]
        guest.handle.labels.update(words[3:])
        return ""

    guest.handle.programs |= {"setfiles": setfiles, "find": lambda _: "/etc/fstab\n/etc/ld.so.cache\n/gone\n"}
    guest.add("/etc/ld.so.cache")
    return guest


@pytest.mark.parametrize("mode", [b"enforcing", b"permissive", b"Enforcing"])
def test_only_what_is_new_gets_labels(guest: GuestDirectory, mode: bytes) -> None:
    selinux_guest(guest, mode)
    guest.files.create("/opt/a/b/c", b"", mode=0o644, what="x", why=WHY)
    guest.files.link("c", "/opt/a/b/d", what="x", why=WHY)
    selinux.label(guest.session, guest.files)
    labelled = guest.handle.commands[-1][3:]
    assert sorted(labelled) == ["/etc/ld.so.cache", "/opt", "/opt/a", "/opt/a/b", "/opt/a/b/c", "/opt/a/b/d"]
    assert "/.autorelabel" not in guest.everything()


@pytest.mark.parametrize("broken", ["setfiles", "find"])
def test_the_guest_labels_itself_where_that_fails(guest: GuestDirectory, broken: str) -> None:
    selinux_guest(guest, b"enforcing")
    del guest.handle.programs[broken]
    selinux.label(guest.session, guest.files)
    assert "/.autorelabel" in guest.everything()


def test_labels_that_were_not_set_are_noticed(guest: GuestDirectory) -> None:
    selinux_guest(guest, b"enforcing").handle.programs["setfiles"] = lambda _: ""
    selinux.label(guest.session, guest.files)
    assert "/.autorelabel" in guest.everything()


def test_without_selinux_nothing_is_labelled(tmp_path: Path) -> None:
    disabled, unused = (
        selinux_guest(GuestDirectory(tmp_path / n), m) for n, m in (("a", b"disabled"), ("b", b"enforcing"))
    )
    unused.handle.labels.clear()
    for guest in (disabled, unused):
        selinux.label(guest.session, guest.files)
        assert "/.autorelabel" not in guest.everything()
        assert not guest.handle.commands


# Locked files


def test_locked_files_stand_in_the_way_if_they_must_be_changed(guest: GuestDirectory) -> None:
    guest.add("/etc/fstab", b"/dev/sda1 / ext4 defaults 0 1\n")
    guest.add("/etc/crypttab", b"x UUID=1 none luks\n")
    guest.add("/etc/resolv.conf")
    guest.directory("/boot")
    guest.handle.locks = dict.fromkeys(("/etc/fstab", "/etc/crypttab", "/etc/resolv.conf"), "ei") | {"/boot": "ae"}
    blockers = Blockers()
    immutable.check_configuration(guest.session, guest.files, blockers)
    with pytest.raises(ConversionError, match="2 reasons") as caught:
        blockers.stop()
    assert "/etc/fstab in the guest is immutable" in caught.value.message
    assert "/boot in the guest is append-only" in caught.value.message
    assert "chattr -i /etc/fstab" in str(caught.value.hint)


# Identity


@pytest.mark.parametrize(
    ("distro", "there", "expected"),
    [
        ("debian", "/var/lib/systemd", "/var/lib/systemd/random-seed"),
        ("debian", "/var/lib/urandom", "/var/lib/urandom/random-seed"),
        ("rhel", "/var/lib", "/var/lib/random-seed"),
        ("altlinux", "/var/lib", "/var/lib/random-seed"),
        ("sles", "/var/lib/misc", "/var/lib/misc/random-seed"),
    ],
)
def test_the_random_seed(tmp_path: Path, distro: str, there: str, expected: str) -> None:
    guest = GuestDirectory(tmp_path, distro)
    guest.directory(there)
    identity.renew(guest.session, guest.files)
    first = guest.read(expected)
    assert len(first) == 512
    assert (guest.root / expected.lstrip("/")).stat().st_mode & 0o777 == 0o600
    identity.renew(guest.session, guest.files)
    assert guest.read(expected) != first


def test_only_an_empty_machine_id_is_filled(guest: GuestDirectory) -> None:
    guest.add("/etc/machine-id")
    guest.add("/var/lib/dbus/machine-id")
    identity.renew(guest.session, guest.files)
    filled = guest.read("/etc/machine-id")
    assert len(filled.strip()) == 32
    assert guest.read("/var/lib/dbus/machine-id") == filled
    identity.renew(guest.session, guest.files)
    assert guest.read("/etc/machine-id") == filled


# The display


DEVICE = (
    b'Section "Device"\n  Identifier "x"\n  Driver "vmware"\n  BoardName "SVGA"\n  BusID "PCI:0:15:0"\nEndSection\n'
)


def test_xorg() -> None:
    mouse = b'Section "InputDevice"\n  Driver "vmmouse"\n  VendorName "x"\nEndSection\n'
    new = display.xorg(DEVICE + mouse, "modesetting")
    assert new == b'Section "Device"\n  Identifier "x"\n  Driver "modesetting"\nEndSection\n' + mouse
    assert display.xorg(new, "modesetting") == new


@pytest.mark.parametrize(
    ("there", "driver"),
    [("/usr/lib/xorg/modules/drivers/vesa_drv.so", b"vesa"), ("/usr/bin/X", b"modesetting")],
)
def test_the_driver_is_one_that_the_guest_has(guest: GuestDirectory, there: str, driver: bytes) -> None:
    guest.add("/etc/X11/XF86Config", DEVICE)
    guest.add("/etc/X11/xorg.conf.d/20-vmware.conf", DEVICE)
    guest.add(there)
    display.set_display_driver(guest.session, guest.files)
    for path in ("/etc/X11/XF86Config", "/etc/X11/xorg.conf.d/20-vmware.conf"):
        assert b'Driver "%s"' % driver in guest.read(path)
    assert len(guest.report.warnings) == (driver == b"vesa")


def test_the_old_name_of_the_configuration_is_read_only_without_the_new_one(guest: GuestDirectory) -> None:
    guest.add("/etc/X11/xorg.conf", DEVICE)
    guest.add("/etc/X11/XF86Config", DEVICE)
    display.set_display_driver(guest.session, guest.files)
    assert guest.read("/etc/X11/XF86Config") == DEVICE
    assert guest.read("/etc/X11/xorg.conf") != DEVICE


# Aliases


@pytest.mark.parametrize(
    ("old", "driver", "new"),
    [
        (b"alias eth0 e1000", "virtio_blk", b"alias eth0 virtio_net\nalias scsi_hostadapter virtio_blk\n"),
        (b"alias scsi_hostadapter1 mptspi\n", "virtio_blk", b"alias scsi_hostadapter1 virtio_blk\n"),
        (b"alias scsi_hostadapter mptspi\nalias x y\n", None, b"alias x y\n"),
        (b"", None, b""),
    ],
)
def test_old_guests_get_an_alias_for_their_disks(
    guest: GuestDirectory, old: bytes, driver: str | None, new: bytes
) -> None:
    guest.add("/etc/modprobe.conf", old)
    modprobe.set_aliases(guest.session, guest.files, block_driver=driver, net_driver="virtio_net")
    assert guest.read("/etc/modprobe.conf") == new
    modprobe.set_aliases(guest.session, guest.files, block_driver=driver, net_driver="virtio_net")
    assert guest.read("/etc/modprobe.conf") == new


def test_new_guests_get_no_alias_and_those_of_xen_are_told(guest: GuestDirectory) -> None:
    guest.add("/etc/modprobe.d/x.conf", b"alias blk xenblk\n#alias a xennet\nalias net-pf-10 off\n")
    modprobe.set_aliases(guest.session, guest.files, block_driver="virtio_blk", net_driver="virtio_net")
    assert not guest.session.changes
    assert len(guest.report.warnings) == 1
    assert "alias blk xenblk" in guest.report.warnings[0]


# Block devices


def test_the_names_of_old_kernels() -> None:
    def prefix(bus: Bus, distro: str, major: int) -> str:
        found = Inspection(root="/", os_type="linux", distro=distro, arch="x86_64", major_version=major)
        return block_devices.prefix_of(bus, found)

    assert prefix(Bus.VIRTIO_BLK, "rhel", 5) == "vd"
    assert [prefix(Bus.IDE, "rhel", major) for major in (4, 5, 6)] == ["hd", "hd", "sd"]
    assert [prefix(Bus.IDE, "sles", major) for major in (10, 11)] == ["hd", "sd"]
    assert prefix(Bus.SATA, "rhel", 5) == "sd"


def test_the_cdrom_of_old_guests(tmp_path: Path) -> None:
    described = Guest(
        name="g", disks=(SourceDisk(index=1, bus=Bus.IDE),), removables=(Removable(kind="cdrom", bus=Bus.IDE, slot=2),)
    )
    guest = GuestDirectory(tmp_path, "centos", 5, described)
    names = DeviceNames.of(described.disks, "vd", block_devices.renamed_drives(guest.session))
    old = b"/dev/hda1 / ext3 defaults 1 1\n/dev/hdc /media/cdrom auto noauto 0 0\n"
    assert devices_in.fstab(old, names) == old.replace(b"hda1", b"vda1").replace(b"hdc", b"cdrom")
    assert block_devices.renamed_drives(GuestDirectory(tmp_path, "centos", 6, described).session) == {}


def test_crypttab_names_devices_by_their_uuids(guest: GuestDirectory) -> None:
    guest.add("/etc/crypttab", b"# x\nroot /dev/sda5 none luks\nswap /dev/sda6 /dev/urandom swap\nd UUID=7 none luks\n")
    guest.session.filesystems = {"/dev/sda5": "crypto_LUKS", "/dev/sda6": "unknown", "/dev/vg/x": "crypto_LUKS"}
    guest.handle.uuids = {"/dev/sda5": "1-2"}
    block_devices.rename_devices(guest.session, guest.files, DeviceNames.of([SourceDisk(index=1)], "vd"))
    assert guest.read("/etc/crypttab") == (
        b"# x\nroot UUID=1-2 none luks\nswap /dev/vda6 /dev/urandom swap\nd UUID=7 none luks\n"
    )


def test_the_devices_file_of_lvm_goes(guest: GuestDirectory) -> None:
    guest.add("/etc/lvm/devices/system.devices", b"IDTYPE=sys_wwid IDNAME=naa.6 DEVNAME=/dev/sda2 PVID=x PART=2\n")
    guest.add("/etc/lvm/cache/.cache")
    block_devices.rename_devices(guest.session, guest.files, NAMES)
    assert guest.everything() == set()
    assert "vgimportdevices" in guest.report.infos[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'filter = [ "a|^/dev/sda2$|", "r|.*|" ]\n', b'filter = [ "a|^/dev/vda2$|", "r|.*|" ]\n'),
        (b'\tglobal_filter = [ "a|/dev/sdb.*|",\n "r|.*|" ]', b'\tglobal_filter = [ "a|/dev/vdb.*|",\n "r|.*|" ]'),
        (b'filter = [ "a|/dev/sd[ab]1|", "r|x]|" ]', b'filter = [ "a|/dev/vd[ab]1|", "r|x]|" ]'),
        (b'filter="a|/dev/sd.*|"', b'filter="a|/dev/vd.*|"'),
        (b'# filter = [ "a|/dev/sda|" ]', b'# filter = [ "a|/dev/sda|" ]'),
        (b'types = [ "/dev/sda" ]', b'types = [ "/dev/sda" ]'),
        (b'filter = [ "a|/dev/sda', b'filter = [ "a|/dev/sda'),
    ],
)
def test_filters_of_lvm(old: bytes, new: bytes) -> None:
    assert devices_in.lvm_filters(old, NAMES) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"DEVICE /dev/sda1\n /dev/sd[bc]*\n", b"DEVICE /dev/vda1\n /dev/vd[bc]*\n"),
        (b"ARRAY /dev/md0 devices=/dev/sda1,/dev/sdb1\n", b"ARRAY /dev/md0 devices=/dev/vda1,/dev/vdb1\n"),
        (b"DEVICE partitions\n#DEVICE /dev/sda1\nPROGRAM /x /dev/sda1\n",) * 2,
    ],
)
def test_mdadm(old: bytes, new: bytes) -> None:
    assert devices_in.mdadm(old, NAMES) == new


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=10),
        st.sampled_from(
            [
                *(
                    b"/dev/sda1",
                    b"/dev/sd",
                    b"/dev/sda",
                    b"[ab]",
                    b"*",
                    b".*",
                    b"filter = [",
                    b"global_filter = ",
                    b'"',
                ),
                *(b"DEVICE ", b"ARRAY ", b"\n", b" ", b"|", b"]", b"\\", b"#", b"x /dev/sdb2 none luks"),
                *(b'Section "Device"', b"\nEndSection\n", b'Driver "vmware"', b"BusID 1\n", b"alias eth0 x\n"),
                *(b"alias scsi_hostadapter y\n", b"UUID=", b"\xff", b"\r\n"),
            ]
        ),
    ),
    max_size=30,
).map(b"".join)
EDITORS: dict[str, Callable[[bytes], bytes]] = {
    "lvm.conf": lambda data: devices_in.lvm_filters(data, NAMES),
    "mdadm.conf": lambda data: devices_in.mdadm(data, NAMES),
    "crypttab": lambda data: devices_in.crypttab(data, NAMES, {"/dev/vdb2": "5-6"}),
    "xorg.conf": lambda data: display.xorg(data, "modesetting"),
    "modprobe.conf": lambda data: modprobe.aliases(data, block_driver="virtio_blk", net_driver="virtio_net"),
}


@pytest.mark.parametrize("name", EDITORS)
@given(data=PIECES)
def test_editing_twice_is_editing_once(name: str, data: bytes) -> None:
    once = EDITORS[name](data)
    assert EDITORS[name](once) == once


@pytest.mark.parametrize("name", EDITORS)
@given(data=PIECES)
def test_lines_without_anything_known_stay(name: str, data: bytes) -> None:
    known = (b"/dev/", b"alias", b"ection", b"ector")
    plain = b"\n".join(line for line in data.split(b"\n") if not any(word in line for word in known))
    assert EDITORS[name](plain) == plain


# Keys


@pytest.mark.parametrize(
    ("identity", "device", "uuid", "fits"),
    [
        ("all", "/dev/sda2", "", True),
        ("/dev/sda2", "/dev/sda2", "", True),
        ("/dev/sda2", "/dev/sda3", "", False),
        ("UUID=AB-1", "/dev/sda2", "ab-1", True),
        ("ab-1", "/dev/sda2", "ab-1", True),
        ('UUID="ab-1"', "/dev/sda2", "ab-1", True),
        ("UUID=", "/dev/sda2", "", False),
        ("/dev/mapper/my--vg-root", "/dev/my-vg/root", "", True),
        ("/dev/my-vg/root", "/dev/my-vg/root", "", True),
        ("/dev/nvme0n1p2", "/dev/sda2", "", True),
        ("/dev/vdb1", "/dev/sdb1", "", True),
    ],
)
def test_what_a_key_is_for(identity: str, device: str, uuid: str, fits: bool) -> None:
    names = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "sd")
    assert Key(identity, "secret").fits(device, uuid, names) is fits


def test_keys_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"s3cret\xff\xfe")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "nul").write_bytes(b"s3cret\0x")
    for selector in ("/dev/sda2:clevis", *(f"all:file:{tmp_path}/{name}" for name in ("binary", "empty", "nul", "no"))):
        with pytest.raises(ConversionError) as caught:
            parse_key(selector)
        assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    (tmp_path / "key").write_bytes(b" two words \n")
    assert parse_key(f"UUID=1:file:{tmp_path}/key") == Key("UUID=1", " two words ")


def test_mapper_names() -> None:
    assert mapper_name("/dev/a-b/c-d") == "/dev/mapper/a--b-c--d"
    assert mapper_name("/dev/sda1") == "/dev/sda1"


def test_places_of_fstab() -> None:
    data = b"#/dev/a /a x\nUUID=1 / ext4 x\n/dev/mapper/x /var/ xfs x\nn:/x /usr nfs x\nproc /p proc\n\xff\n/dev/sr0\n"
    assert fstab_places(data) == {"/", "/var"}
