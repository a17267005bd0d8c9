# SPDX-License-Identifier: GPL-2.0-or-later
"""A phony guest with a real rpm and its database in the appliance: packages are listed and removed, kernels found."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs import inspection
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.kernels import find_kernels
from v2v_convert_guestfs.linux.packages import find_package_manager
from v2v_convert_guestfs.linux.packages.rpm import Rpm
from v2v_convert_guestfs.linux.tools_removal import remove_tools
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConvertRequest, ConvertSettings, Guest
from v2v_core.testing.fakes import FakeReporter

pytestmark = pytest.mark.slow

#: Name, epoch, what it requires, and what is run when it is removed.
PACKAGES = (
    ("open-vm-tools", 1, "", "echo ran >>/scriptlet-ran; /usr/sbin/dracut --force"),
    ("open-vm-tools-desktop", 0, "open-vm-tools", ""),
    ("dashboard", 0, "open-vm-tools", ""),
    ("kmod-vmware-tools-vsock", 0, "", "echo ran >>/scriptlet-ran; /usr/sbin/dracut --force"),
    ("vmware-tools-libraries-nox", 0, "", ""),
    ("vmware-tools-libraries-x", 0, "", ""),
    ("viewer", 2, "vmware-tools-libraries-x", ""),
    ("xe-guest-utilities", 0, "", ""),
    ("systemd", 0, "VMwareTools", ""),
    ("VMwareTools", 0, "", ""),
)
PROGRAMS = ("rpm", "rpmdb", "env", "sh", "mount", "umount", "true")
DRACUT = "#!/bin/sh\necho ran >>/dracut-ran\n"
REPOSITORY = "[tools]\nname=Tools\nbaseurl=https://packages.vmware.com/tools\nenabled=1\n"
INITTAB = "#1:2345:respawn:/sbin/mingetty tty1\nco:2345:respawn:/sbin/agetty hvc0\n"
VERSION = "5.14.0-427.el9.x86_64"
MODULES = f"usr/lib/modules/{VERSION}"


def database(tree: Path, work: Path) -> None:
    """Build the packages, and put them into the guest's database; their files are made by hand."""
    built = []
    for name, epoch, requires, postun in PACKAGES:
        text = (
            f"Name: {name}\nVersion: 12.3.5\nRelease: 2.el9\nSummary: x\nLicense: x\nBuildArch: noarch\n"
            + (f"Epoch: {epoch}\n" if epoch else "")
            + (f"Requires: {requires}\n" if requires else "")
            + f"%description\nx\n%install\nmkdir -p %{{buildroot}}/usr/share\necho x >%{{buildroot}}/usr/share/{name}\n"
            + (f"%postun\n{postun}\n" if postun else "")
            + f"%files\n/usr/share/{name}\n"
        )
        spec = work / f"{name}.spec"
        spec.write_text(text)
        argv = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {work}", "--define", f"_dbpath {work}/none", spec]
        subprocess.run(argv, check=True, capture_output=True)
        (tree / "usr/share" / name).write_text("x\n")
        built.append(work / f"RPMS/noarch/{name}-12.3.5-2.el9.noarch.rpm")
    place = tree / "var/lib/rpm"
    argv = ["rpm", "--dbpath", place, "--justdb", "--nodeps", "--noscripts", "--force-debian", "-i", *built]
    if "--force-debian" not in subprocess.run(["rpm", "--help"], capture_output=True, text=True, check=True).stdout:
        argv.remove("--force-debian")
    subprocess.run(argv, check=True, capture_output=True)
    (place / "__db.001").write_text("stale")


def programs(tree: Path) -> None:
    """Copy rpm and what it needs, as far as it is the host's."""
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path is not None
        shutil.copy(path, tree / "usr/bin" / name)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(?:=> )?(/\S+) \(0x", listed):
            target = tree / ("usr" + library if not library.startswith("/usr") else library[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    shutil.copytree("/usr/lib/rpm", tree / "usr/lib/rpm", symlinks=True)
    shutil.copy("/usr/bin/true", tree / "usr/bin/ls")


def tree_of_guest(tree: Path) -> None:
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/share", "proc", "sys", "dev", "tmp", "root"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    files = {
        "etc/os-release": 'ID="rhel"\nVERSION_ID="9.4"\nPRETTY_NAME="Red Hat Enterprise Linux 9.4 (phony)"\n',
        "etc/redhat-release": "Red Hat Enterprise Linux release 9.4 (Plow)\n",
        "etc/fstab": "/dev/sda / ext4 defaults 0 1\n",
        "etc/rpm/macros": "%_dbpath /var/lib/rpm\n",
        "etc/yum.repos.d/vmware.repo": REPOSITORY,
        "etc/inittab": INITTAB,
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "usr/sbin/dracut": DRACUT,
        f"boot/config-{VERSION}": "CONFIG_X86_64=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_PCI=y\n",
        f"boot/initramfs-{VERSION}.img": "initramfs",
        f"boot/initramfs-{VERSION}kdump.img": "kdump",
        "boot/vmlinuz-0-rescue-4711": "rescue",
        "boot/vmlinuz-5.13.0-1.el9.x86_64": "without modules",
        f"{MODULES}/vmlinuz": "kernel",
        f"{MODULES}/kernel/drivers/net/virtio_net.ko.xz": "module",
        f"{MODULES}/kernel/drivers/char/virtio-rng.ko.xz": "module",
        "usr/lib/modules/6.6.0-1.x86_64/vmlinuz": "kernel that is not in /boot",
        "usr/lib/modules/6.6.0-1.x86_64/modules.dep": "kernel/virtio_net.ko.zst:\n",
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "usr/sbin/dracut").chmod(0o755)
    (tree / f"boot/vmlinuz-{VERSION}").symlink_to(f"../{MODULES}/vmlinuz")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The guest, inspected and mounted. The tests of this file are one story: each goes on where the last one ended."""
    import guestfs

    work = tmp_path_factory.mktemp("rpm")
    tree, image = work / "tree", work / "sda.img"
    tree_of_guest(tree)
    database(tree, work)
    programs(tree)
    with image.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(tree), str(image)], check=True)
    handle: Any = guestfs.GuestFS(python_return_dict=True)
    try:
        handle.set_backend("direct")
        handle.set_backend_settings(["force_tcg"])
        handle.add_drive_opts(str(image), format="raw", cachemode="unsafe")
        handle.launch()
        request = ConvertRequest(
            directory=work,
            temporary=work,
            guest=Guest(name="g"),
            disks=(),
            settings=ConvertSettings(),
            report=FakeReporter(),
        )
        session = Session(request=request, handle=handle)
        inspection.inspect(session, Blockers())
        handle.mount("/dev/sda", "/")
        yield session
        handle.shutdown()
    finally:
        handle.close()


def test_packages_are_listed(guest: Session) -> None:
    blockers = Blockers()
    manager = find_package_manager(guest, GuestFiles(guest), blockers)
    assert isinstance(manager, Rpm)
    assert blockers.reasons == []
    assert manager.installed == {name for name, *_ in PACKAGES}
    tools = next(package for package in manager.packages if package.name == "open-vm-tools")
    assert (tools.epoch, tools.version, tools.release, tools.arch) == (1, "12.3.5", "2.el9", "noarch")
    assert not guest.handle.exists("/var/lib/rpm/__db.001")


def test_kernels_are_found(guest: Session) -> None:
    first, second = find_kernels(guest, GuestFiles(guest))
    assert (first.version, first.image, first.initramfs) == (
        VERSION,
        f"/boot/vmlinuz-{VERSION}",
        f"/boot/initramfs-{VERSION}.img",
    )
    assert first.arch == "x86_64"
    assert all(first.drives(name) for name in ("virtio_net", "virtio_rng", "virtio_blk", "virtio_pci"))
    assert not first.drives("virtio_balloon")
    assert (second.image, second.initramfs) == ("/lib/modules/6.6.0-1.x86_64/vmlinuz", None)


def test_a_damaged_database_is_mended(guest: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    before = guest.handle.lstatns("/var/lib/rpm/rpmdb.sqlite")["st_ino"]
    real, asked = Rpm._list, []

    def damaged_once(self: Rpm, *options: str) -> object:
        asked.append(options)
        return real(self, *options) if len(asked) > 1 else ()

    monkeypatch.setattr(Rpm, "_list", damaged_once)
    manager = find_package_manager(guest, GuestFiles(guest), Blockers())
    assert manager is not None
    assert manager.installed == {name for name, *_ in PACKAGES}
    assert asked[1] == ("--dbpath", "/var/lib/rpm.v2v/new")
    assert guest.changes[-1].path == "/var/lib/rpm"
    assert guest.handle.lstatns("/var/lib/rpm/rpmdb.sqlite")["st_ino"] != before
    assert guest.handle.glob_expand("/var/lib/rpm?*") == []


def test_what_cannot_be_read_is_left_as_it_is(guest: Session) -> None:
    handle = guest.handle
    handle.cp_a("/var/lib/rpm", "/root/rpm")
    for name in handle.ls("/var/lib/rpm"):
        handle.write(f"/var/lib/rpm/{name}", b"x" * 8192)
    blockers = Blockers()
    assert find_package_manager(guest, GuestFiles(guest), blockers) is None
    assert "rebuilddb" in blockers.reasons[0][1]
    assert handle.read_file("/var/lib/rpm/rpmdb.sqlite") == b"x" * 8192
    assert handle.glob_expand("/var/lib/rpm?*") == []
    handle.rm_rf("/var/lib/rpm")
    handle.mv("/root/rpm", "/var/lib/rpm")


def test_tools_are_removed(guest: Session) -> None:
    files, handle = GuestFiles(guest), guest.handle
    manager = find_package_manager(guest, files, Blockers())
    assert manager is not None
    report = guest.request.report
    assert isinstance(report, FakeReporter)
    remove_tools(guest, files, manager)

    left = {"systemd", "VMwareTools", "dashboard", "open-vm-tools", "viewer", "vmware-tools-libraries-x"}
    assert manager.installed == left
    assert set(handle.command(["rpm", "-qa", "--queryformat", "%{NAME} "]).split()) == left
    assert not handle.exists("/usr/share/open-vm-tools-desktop")
    assert handle.exists("/usr/share/viewer")
    reasons = {change.path: change.why for change in guest.changes}
    gone = {"open-vm-tools-desktop", "kmod-vmware-tools-vsock", "vmware-tools-libraries-nox", "xe-guest-utilities"}
    assert {name for name, why in reasons.items() if why == "it belongs to the old hypervisor"} == gone
    assert report.warnings == []
    assert any("vmware-tools-libraries-x stays" in text for text in report.infos)
    assert any("open-vm-tools stays" in text and "dashboard" in text for text in report.infos)
    assert handle.read_file("/scriptlet-ran") == b"ran\n"
    assert not handle.exists("/dracut-ran")
    assert handle.read_file("/usr/sbin/dracut").decode() == DRACUT
    assert b"enabled=0" in handle.read_file("/etc/yum.repos.d/vmware.repo")
    assert handle.read_file("/etc/inittab").decode() == INITTAB[1:]
