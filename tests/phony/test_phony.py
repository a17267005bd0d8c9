# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that cannot be booted here: what the conversion did to their files, and how it called their commands.

Each is converted where it is and looked into with debugfs; what is expected is what virt-v2v does, without its bugs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from described import convert_described
from guests.host import run
from phony import redhat
from phony.build import build
from phony.look import Found, looked_into
from phony.recipes import PHONIES
from runs import Place, said

pytestmark = pytest.mark.slow


@contextmanager
def converted(place: Place, name: str) -> Iterator[Found]:
    """Convert a guest, and yield its files."""
    disk = build(PHONIES[name], place.root / "guest.img")
    done = place.run("v2v", "convert", "--in-place", disk)
    assert done.returncode == 0, said(done)
    logs = "".join(path.read_text() for path in (place.root / "state").rglob("convert.log"))
    with looked_into(disk) as found:
        see_converted(found, name)
        assert "internal error" not in logs
        yield found


def see_converted(found: Found, name: str) -> None:
    """Check what is true of every converted guest."""
    recipe = PHONIES[name]
    fstab = found.text("/etc/fstab")
    old = re.compile(r"/dev/(?:hd|sd|xvd)[a-z]")
    assert not old.search(fstab)
    assert "/dev/vda2" in fstab
    device_map = [path for path in recipe.files if path.endswith("device.map")]
    for path in device_map:
        assert "/dev/vda" in found.text(path)
        assert not old.search(found.text(path))
    for path, text in recipe.files.items():
        if path.startswith("/etc/sysconfig/network-scripts/ifcfg"):
            assert found.text(path) == text, path
    assert not [name for name in found.names("/etc") + found.names("/boot") if ".v2v-" in name], "left over"


def initramfs_of(found: Found, path: str) -> set[str]:
    """Return the names of the modules in an initramfs."""
    import gzip

    data = found.read(path)
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return {name.decode().replace("-", "_") for name in re.findall(rb"([A-Za-z0-9_-]+)\.ko(?:\.xz)?\0", data)}


def see_virtio(found: Found, path: str) -> None:
    """Check that an initramfs has what a kernel needs to reach a virtio disk."""
    assert {"virtio_pci", "virtio_blk"} <= initramfs_of(found, path), path


def installed(found: Found) -> set[str]:
    """Return the packages that are still in the guest's rpm database."""
    return {line.split()[0] for line in found.text("/var/lib/phony/packages").splitlines()}


def test_rhel4_with_grub_legacy_and_mkinitrd(place: Place) -> None:
    with converted(place, "rhel4") as found:
        grub = found.text("/boot/grub/grub.conf")
        assert "root=/dev/vda1" in grub
        assert "/dev/hda1" not in grub
        assert "root=LABEL=/ quiet" in grub
        assert re.search(r"^default=0$", grub, re.MULTILINE)
        assert found.link("/boot/grub/menu.lst").removeprefix("./") == "grub.conf"
        assert "boot=/dev/vda" in found.text("/etc/sysconfig/grub")
        modprobe = found.text("/etc/modprobe.conf")
        assert re.findall(r"^alias eth0 (\S+)", modprobe, re.MULTILINE) == ["virtio_net"]
        assert re.findall(r"^alias scsi_hostadapter\d* (\S+)", modprobe, re.MULTILINE) == ["virtio_blk"]
        assert "alias usb-controller uhci-hcd" in modprobe
        assert 'Driver      "modesetting"' in found.text("/etc/X11/xorg.conf")
        assert "BoardName" not in found.text("/etc/X11/xorg.conf")
        assert 'Driver      "kbd"' in found.text("/etc/X11/xorg.conf")
        assert "VMwareTools" not in installed(found)
        assert ("kudzu", "off") in {call.arguments for call in found.calls("chkconfig")}
        see_virtio(found, "/boot/initrd-2.6.9-89.ELsmp.img")


def test_centos5_boots_xen_by_default(place: Place) -> None:
    with converted(place, "centos5") as found:
        grub = found.text("/boot/grub/grub.conf")
        assert re.search(r"^default=1$", grub, re.MULTILINE)
        assert "DEFAULTKERNEL=kernel\n" in found.text("/etc/sysconfig/kernel")
        entry = grub.split("title ")[2]
        assert "root=/dev/vda1" in entry
        assert "resume=/dev/vda2" in entry
        assert "console=ttyS0" in entry
        assert "xvc0" not in entry
        inittab = found.text("/etc/inittab")
        assert "agetty ttyS0" in inittab
        # xe-guest-utilities had commented it out
        assert re.search(r"^1:2345:respawn:/sbin/mingetty tty1", inittab, re.MULTILINE)
        assert "ttyS0" in found.text("/etc/securetty").split()
        assert not {"xe-guest-utilities", "xe-guest-utilities-xenstore"} & installed(found)
        assert ("kudzu", "off") in {call.arguments for call in found.calls("chkconfig")}
        modprobe = found.text("/etc/modprobe.conf")
        assert "xennet" not in modprobe
        assert "xenblk" not in modprobe
        see_virtio(found, "/boot/initrd-2.6.18-398.el5.img")


@pytest.mark.zoo
def test_a_target_without_a_serial_port(place: Place) -> None:
    raw, disk = build(PHONIES["centos5"], place.root / "guest.img"), place.root / "guest.qcow2"
    run(["qemu-img", "convert", "-O", "qcow2", raw, disk])
    convert_described(place, [disk], mac="00:50:56:00:00:01", options=["--no-serial-console"])
    run(["qemu-img", "convert", "-O", "raw", disk, raw])
    with looked_into(raw) as found:
        see_converted(found, "centos5")
        grub = found.text("/boot/grub/grub.conf")
        assert "console=" not in grub
        assert "root=/dev/vda1" in grub
        assert not re.search(r"^[^#].*(?:xvc0|ttyS0)", found.text("/etc/inittab"), re.MULTILINE)
        assert not {"ttyS0", "xvc0", "hvc0"} & set(found.text("/etc/securetty").split())


def test_rhel6_with_grub_legacy_and_dracut(place: Place) -> None:
    with converted(place, "rhel6") as found:
        grub = found.text("/boot/grub/grub.conf")
        assert "root=/dev/vda1" in grub
        repository = found.text("/etc/yum.repos.d/vmware-tools.repo")
        section, other = repository.split("[local]")
        assert re.search(r"^enabled\s*=\s*0$", section, re.MULTILINE)
        assert re.search(r"^enabled=1$", other, re.MULTILINE)
        assert not {name for name in installed(found) if "vm" in name and "tools" in name}
        see_virtio(found, f"/boot/initramfs-{redhat._RHEL6}.img")
        see_first_boot(found)


def see_first_boot(found: Found) -> None:
    """Check that a script installs the guest agent at the first boot, started by the guest's own init system."""
    levels = [f"/etc/{place}rc3.d" for place in ("", "rc.d/", "init.d/")]
    begun = [name for level in levels for name in found.names(level) if re.match(r"S\d\d.*v2v|S\d\dguestfs", name)]
    wants = [
        name for unit in ("multi-user", "timers") for name in found.names(f"/etc/systemd/system/{unit}.target.wants")
    ]
    assert begun or [name for name in wants if "v2v" in name or "guestfs" in name], (begun, wants)


@pytest.mark.zoo
def test_centos7_with_grub2_and_dracut(place: Place) -> None:
    with converted(place, "centos7") as found:
        menu = found.text("/boot/grub2/grub.cfg")
        assert "resume=/dev/vda2" in menu
        assert "/dev/sda" not in menu
        assert "console=hvc0" not in menu
        settings = found.text("/etc/default/grub")
        assert "resume=/dev/vda2" in settings
        assert "console=ttyS0" in settings
        assert found.link("/etc/sysconfig/grub") == "/etc/default/grub"
        assert not {"open-vm-tools", "open-vm-tools-desktop"} & installed(found)
        see_virtio(found, f"/boot/initramfs-{redhat._CENTOS7}.img")
        see_first_boot(found)


@pytest.mark.zoo
def test_a_relative_of_red_hat_that_libguestfs_does_not_know(place: Place) -> None:
    with converted(place, "openeuler2203") as found:
        assert "resume=/dev/vda2" in found.text("/boot/grub2/grub.cfg")
        assert "resume=/dev/vda2" in found.text("/etc/default/grub")
        see_virtio(found, f"/boot/initramfs-{redhat._OPENEULER}.img")
        see_first_boot(found)


@pytest.mark.parametrize(
    "name",
    ["rocky9", pytest.param("oraclelinux8", marks=pytest.mark.zoo), pytest.param("fedora41", marks=pytest.mark.zoo)],
)
def test_guests_with_one_file_for_each_entry(place: Place, name: str) -> None:
    recipe = PHONIES[name]
    with converted(place, name) as found:
        for kernel in recipe.kernels:
            entry = found.text(f"/boot/loader/entries/{redhat.MACHINE}-{kernel.version}.conf")
            assert re.search(r"^options .*resume=/dev/vda2", entry, re.MULTILINE), entry
            assert "/dev/sda" not in entry
            assert "console=ttyS0" in entry
            assert "$tuned_params" in entry
        environment = found.text("/boot/grub2/grubenv")
        assert len(environment) == 1024
        # The oldest is the default, it can drive virtio, and so it stays the default.
        default = recipe.kernels[-1]
        assert f"saved_entry={redhat.MACHINE}-{default.version}\n" in environment
        assert "resume=/dev/vda2" in found.text("/etc/default/grub")
        assert "resume=/dev/vda2" in found.text("/etc/kernel/cmdline")
        assert "open-vm-tools" not in installed(found)
        see_virtio(found, f"/boot/{default.initramfs}")
        see_first_boot(found)


def test_sles11_with_modules_of_xen(place: Place) -> None:
    with converted(place, "sles11") as found:
        menu = found.text("/boot/grub/menu.lst")
        assert re.search(r"^default 1$", menu, re.MULTILINE)
        entry = menu.split("title ")[2]
        assert "root=/dev/vda1 resume=/dev/vda2" in entry
        settings = found.text("/etc/sysconfig/kernel")
        for name in ("INITRD_MODULES", "DOMU_INITRD_MODULES"):
            modules = re.search(rf'^{name}="(.*)"$', settings, re.MULTILINE)
            assert modules is not None
            assert not {"xenblk", "xennet", "xen-vbd", "xen-vnif"} & set(modules[1].split())
        assert "ext3" in settings
        assert "agetty -L 9600 ttyS0" in found.text("/etc/inittab")
        assert "ttyS0" in found.text("/etc/securetty").split()
        assert "alias eth0 virtio_net" in found.text("/etc/modprobe.conf.local")
        assert "vmware-tools-nox" not in installed(found)
        assert found.calls("vmware-uninstall-tools.pl") != []
        for call in found.calls("mkinitrd"):
            arguments = dict(zip(call.arguments, call.arguments[1:], strict=False))
            assert {"virtio_pci", "virtio_blk"} <= set(arguments["-m"].split())
            assert arguments["-k"].endswith("vmlinuz-3.0.101-63-default")
            assert not re.match(r"/dev/(?:sd|vd)", call.environment.get("rootdev", ""))
            assert not re.match(r"/dev/(?:sd|vd)", arguments.get("-d", ""))
        see_virtio(found, "/boot/initrd-3.0.101-63-default")
        see_first_boot(found)


@pytest.mark.zoo
def test_sles15_with_grub2_and_dracut(place: Place) -> None:
    with converted(place, "sles15") as found:
        menu, settings = found.text("/boot/grub2/grub.cfg"), found.text("/etc/default/grub")
        for text in (menu, settings):
            assert "resume=/dev/vda2" in text
            assert "console=hvc0" not in text
        assert "open-vm-tools" not in installed(found)
        see_virtio(found, "/boot/initrd-5.14.21-150500.53-default")
        see_first_boot(found)


def test_alt_linux_with_make_initrd(place: Place) -> None:
    with converted(place, "altlinux") as found:
        assert "resume=/dev/vda2" in found.text("/boot/grub/grub.cfg")
        assert "resume=/dev/vda2" in found.text("/etc/sysconfig/grub2")
        assert "open-vm-tools" not in installed(found)
        for call in found.calls("make-initrd"):
            assert ("-k", "5.10.82-std-def-alt1") in zip(call.arguments, call.arguments[1:], strict=False)
        see_virtio(found, "/boot/initrd-5.10.82-std-def-alt1.img")
        see_first_boot(found)


@pytest.mark.parametrize(
    "name",
    [
        "debian7",
        *(pytest.param(name, marks=pytest.mark.zoo) for name in ("ubuntu1404", "ubuntu2204", "linuxmint21", "uos20")),
    ],
)
def test_family_of_debian(place: Place, name: str) -> None:
    (kernel,) = PHONIES[name].kernels
    with converted(place, name) as found:
        menu, settings = found.text("/boot/grub/grub.cfg"), found.text("/etc/default/grub")
        assert "console=ttyS0" in menu
        assert "console=ttyS0" in settings
        assert "console=hvc0" not in menu + settings
        assert "/dev/sda" not in menu
        status = found.text("/var/lib/dpkg/status")
        assert "Package: open-vm-tools\nStatus: install ok installed" not in status
        assert "virtio_blk" in found.text("/etc/initramfs-tools/modules").split()
        see_virtio(found, f"/boot/{kernel.initramfs}")
        if name == "debian7":
            assert "ttyS0" in found.text("/etc/inittab")
            assert re.search(r'Driver\s+"modesetting"', found.text("/etc/X11/xorg.conf"))
            see_first_boot(found)
