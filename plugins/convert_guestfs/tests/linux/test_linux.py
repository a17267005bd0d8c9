# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the Linux conversion that need no appliance."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.appliance import brief, nbd_drive
from v2v_convert_guestfs.checks import space_needed
from v2v_convert_guestfs.encryption import parse_key
from v2v_convert_guestfs.linux import console, display, guest_agent, modprobe
from v2v_convert_guestfs.linux.capabilities import capabilities_of
from v2v_convert_guestfs.linux.flow import choose_kernel
from v2v_convert_guestfs.linux.kernels import Kernel, Modules
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg, installed_packages, pending_triggers
from v2v_convert_guestfs.linux.tools_removal.names import tools_installed
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus, ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, Guest, Inspection
from v2v_core.testing import FakeReporter

STATUS = b"""\
Package: open-vm-tools
Status: install ok installed
Version: 1

Package: man-db
Status: install ok triggers-pending

Package: gone
Status: deinstall ok config-files

Package: kept
Status: hold ok installed
"""


def kernel(version: str = "6.1.0", **config: str) -> Kernel:
    return Kernel(
        version=version,
        image=f"/boot/vmlinuz-{version}",
        modules_directory="",
        initramfs=None,
        modules=Modules(),
        config=config,
    )


VIRTIO = {"VIRTIO_PCI": "y", "VIRTIO_BLK": "y", "VIRTIO_NET": "m"}
DEBIAN = Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64", major_version=12)


@pytest.mark.parametrize(
    ("uri", "server", "export"),
    [
        ("nbd+unix:///?socket=/run/in1", "unix:/run/in1", ""),
        ("nbd+unix:///a%20b?socket=/run/in%201", "unix:/run/in 1", "a b"),
        ("nbd://host:10810/disk", "tcp:host:10810", "disk"),
        ("nbd://host", "tcp:host:10809", ""),
    ],
)
def test_nbd_addresses(uri: str, server: str, export: str) -> None:
    drive = nbd_drive(DiskEndpoint(index=1, uri=uri))
    assert (drive["server"], drive["filename"], drive["format"]) == ([server], export, "raw")


@pytest.mark.parametrize("uri", ["nbds://host/x", "nbd+unix:///", "/disk.img", ""])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(ConversionError, match="disk 3"):
        nbd_drive(DiskEndpoint(index=3, uri=uri))


def test_keys(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert parse_key(f"/dev/sda2:file:{tmp_path}/key").secret == "s3cret"
    assert parse_key("all:key:a:key:b").secret == "a:key:b"
    assert "s3cret" not in repr(parse_key("all:key:s3cret"))
    with pytest.raises(ConversionError) as caught:
        parse_key("s3cret")
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_the_words_of_an_error() -> None:
    assert brief(RuntimeError("mount_options: mount: /dev/sda1: wrong\nfs type\n")) == "/dev/sda1: wrong; fs type"
    assert brief(RuntimeError()) == "RuntimeError"
    assert brief(RuntimeError("command: \x1b[2Jgone")).strip() == "[2Jgone"


def test_space() -> None:
    mib = 1024 * 1024
    assert (space_needed("/", 9**12), space_needed("/boot", 9**12), space_needed("/srv", 9**12)) == (
        100 * mib,
        space_needed("/boot", 200 * mib),
        10 * mib,
    )
    assert space_needed("/boot/efi", 100 * mib) == 5 * mib


def test_packages() -> None:
    assert installed_packages(STATUS) == {"open-vm-tools", "man-db", "kept"}
    assert pending_triggers(STATUS) == {"man-db"}


@given(st.binary(max_size=200))
def test_a_damaged_list_of_packages_is_no_traceback(data: bytes) -> None:
    assert installed_packages(STATUS + b"\n" + data) >= {"open-vm-tools"}


def test_tools() -> None:
    names = frozenset({"open-vm-tools", "open-vm-tools-desktop", "virtualbox-guest-utils", "xe-guest-utilities", "vim"})
    assert tools_installed(names) == [
        "open-vm-tools",
        "open-vm-tools-desktop",
        "virtualbox-guest-utils",
        "xe-guest-utilities",
    ]
    assert "open-vm-tools" not in tools_installed(names | {"ubuntu-server"})


def test_consoles() -> None:
    old = b"#hvc0\nco:2345:respawn:/sbin/agetty xvc0 9600\n1:2345:respawn:/sbin/getty tty1\n"
    assert console.inittab(old) == old.replace(b"xvc0", b"ttyS0")
    ids = b"hvc0:2345:respawn:/sbin/getty -L 9600 hvc0\nx:2:off:/sbin/getty xvc0 xvc0\n"
    assert console.inittab(ids) == (b"hvc0:2345:respawn:/sbin/getty -L 9600 ttyS0\n#x:2:off:/sbin/getty xvc0 xvc0\n")
    serial = b"T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n"
    assert console.inittab(serial + old) == serial + old.replace(b"\nco:", b"\n#co:")
    assert console.securetty(b"tty1\nhvc0\n") == b"tty1\nttyS0\n"
    assert console.securetty(b"ttyS0\nhvc0\n") == b"ttyS0\nhvc0\n"


def test_logins_of_systemd(phony: Callable[..., Any]) -> None:
    wants = "/etc/systemd/system/getty.target.wants/serial-getty@"
    template = "/usr/lib/systemd/system/serial-getty@.service"
    guest = phony({template: b"", "/boot/grub2/grub.cfg": b""}, links={f"{wants}hvc0.service": template})
    console.replace_consoles(guest.files, guest.bootloader())
    assert guest.tree.links == {f"{wants}ttyS0.service": template}


@given(st.binary(max_size=300))
def test_unknown_lines_stay(data: bytes) -> None:
    plain = data.replace(b"alias", b"").replace(b"vc0", b"").replace(b"ection", b"")
    assert modprobe.aliases(plain, block_driver="a", net_driver="b") == plain
    assert display.xorg(plain, "modesetting") == plain
    assert console.inittab(plain) == console.securetty(plain) == plain


def test_capabilities() -> None:
    found = capabilities_of(kernel(**VIRTIO, PVPANIC="m"), DEBIAN)
    assert (found.block_bus, found.net_model, found.machine) == (Bus.VIRTIO_BLK, "virtio", "q35")
    assert (found.isa_pvpanic, found.virtio_rng) == (True, False)
    without = capabilities_of(kernel(), DEBIAN)
    assert (without.block_bus, without.net_model) == (Bus.SATA, "e1000")


def test_the_kernel_that_is_offered_and_has_virtio_is_chosen() -> None:
    good, newer, xen = kernel(**VIRTIO), kernel("6.2.0"), kernel("7.0", X86_XEN="y")
    assert choose_kernel([good, newer], [newer], newer, Blockers()) is good
    assert choose_kernel([newer], [newer], newer, Blockers()) is newer
    blockers = Blockers()
    choose_kernel([xen], [xen], xen, blockers)
    with pytest.raises(ConversionError, match="Xen"):
        blockers.stop()


def test_a_default_kernel_that_will_do_stays_the_default() -> None:
    older, newer = kernel("6.1.0", **VIRTIO), kernel("6.2.0", **VIRTIO)
    xen = kernel("6.0.0", X86_XEN="y", **VIRTIO)
    assert choose_kernel([newer, older], [newer, older], older, Blockers()) is older
    assert choose_kernel([newer, older], [newer, older], None, Blockers()) is newer
    assert choose_kernel([newer, older, xen], [newer, older, xen], xen, Blockers()) is newer


def test_all_blockers_are_named() -> None:
    blockers = Blockers()
    blockers.stop()
    blockers.add("first", "do this")
    blockers.add("second", "do that")
    with pytest.raises(ConversionError, match=r"2 reasons: \(1\) first; \(2\) second") as caught:
        blockers.stop()
    assert caught.value.hint == "do this; do that"
    assert [(one.reason, one.remedy) for one in caught.value.obstacles] == [("first", "do this"), ("second", "do that")]


def test_a_change_is_said_when_it_happens(tmp_path: Path) -> None:
    report = FakeReporter()
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=report,
    )
    session = Session(request=request, handle=None)
    session.changed("/etc/fstab", "new names", "disks have other names")
    assert report.changes == [("/etc/fstab", "new names", "disks have other names")]
    assert [change.path for change in session.changes] == ["/etc/fstab"]


def test_the_first_boot_script_is_a_shell_script() -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell is not None
    text = guest_agent.script(Dpkg)
    subprocess.run([shell, "-n"], input=text.encode(), check=True)
    assert "qemu-guest-agent" in text
