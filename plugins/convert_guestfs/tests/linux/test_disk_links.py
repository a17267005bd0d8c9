# SPDX-License-Identifier: GPL-2.0-or-later
"""Links that are made from a disk's hardware: which disk they mean, and what is written in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disk_guest import PATH, WWID, renamed, with_disks
from v2v_convert_guestfs.devices import DeviceNames, family_of_name, links_in, split_link
from v2v_convert_guestfs.linux.fstab_devices import find_devices
from v2v_convert_guestfs.linux.hardware_links import disks_of_link
from v2v_core.api import Bus, Guest, SourceDisk


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (PATH % 0 + "-part12", ("disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0", "12")),
        ("/dev/disk/by-path/pci-0000:0b:00.0-nvme-1", ("disk/by-path/pci-0000:0b:00.0-nvme-1", "")),
        ("/dev/disk/by-id/ata-VBOX_HARDDISK_VBd9dc-part1", ("disk/by-id/ata-VBOX_HARDDISK_VBd9dc", "1")),
        ("/dev/disk/by-id/nvme-eui.0050c2-part3", ("disk/by-id/nvme-eui.0050c2", "3")),
        ("/dev/mapper/mpatha2", ("mapper/mpatha", "2")),
        ("/dev/mapper/mpathap2", ("mapper/mpatha", "2")),
        ("/dev/mapper/mpathb-part1", ("mapper/mpathb", "1")),
        ("/dev/mapper/mpathb_part1", ("mapper/mpathb", "1")),
        ("/dev/mapper/mpathaa", ("mapper/mpathaa", "")),
        ("/dev/mapper/36001405c0de0123456789abcdef01234p1", ("mapper/36001405c0de0123456789abcdef01234", "1")),
        ("/dev/disk/by-id/dm-name-mpatha-part2", ("mapper/mpatha", "2")),
        (
            "/dev/disk/by-id/dm-uuid-part1-mpath-36001405c0de0123456789abcdef01234",
            ("mapper/36001405c0de0123456789abcdef01234", "1"),
        ),
        # What stays what it is on KVM, or is no disk of the source.
        ("/dev/mapper/vg0-root", None),
        ("/dev/disk/by-id/dm-name-vg0-root", None),
        ("/dev/disk/by-id/dm-uuid-LVM-" + "a" * 64, None),
        ("/dev/disk/by-id/lvm-pv-uuid-abc", None),
        ("/dev/disk/by-id/md-uuid-1:2:3:4", None),
        ("/dev/disk/by-id/usb-Stick_1-0:0-part1", None),
        ("/dev/disk/by-path/ip-10.0.0.5:3260-iscsi-iqn.2001-04.com:x-lun-1-part1", None),
        ("/dev/disk/by-path/pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0-part1", None),
        ("/dev/disk/by-uuid/1-2", None),
        ("/dev/disk/by-partuuid/1-2", None),
    ],
)
def test_links_and_their_partitions(device: str, expected: tuple[str, str] | None) -> None:
    assert split_link(device) == expected
    assert links_in(f"a={device} b\n") == ([device] if expected else [])


@given(st.text(alphabet="/dev-isk.byathuml:0123456789part_pcx ", max_size=120))
def test_any_text_has_links_or_not(text: str) -> None:
    for link in links_in(text):
        split = split_link(link)
        assert split is not None
        assert family_of_name(split[0])
    assert DeviceNames({}).rename_in(text) == text


def test_fstab_by_path_and_by_id(guest: Any) -> None:
    """libguestfs/libguestfs#300: links by path and by id do not exist after the conversion."""
    kinds = {"/dev/sda1": "ext4", "/dev/sda2": "swap", "/dev/sdb1": "ext4", "/dev/sdc1": "xfs"}
    with_disks(guest, Bus.SCSI, Bus.SCSI, Bus.SCSI, kinds=kinds)
    old = (
        f"# {PATH % 9}-part1 stays\n{PATH % 0}-part1\t/ ext4 defaults 0 1\n{WWID % 0}-part2 none swap sw 0 0\n"
        f"{PATH % 1}-part1 /data ext4 defaults 0 2\n{WWID % 2}-part1 /srv xfs defaults 0 2\n"
    )
    guest.add("/etc/fstab", old.encode())
    renamed(guest)
    assert guest.read("/etc/fstab").decode() == (
        f"# {PATH % 9}-part1 stays\nUUID=uuid-of-sda1\t/ ext4 defaults 0 1\nUUID=uuid-of-sda2 none swap sw 0 0\n"
        "UUID=uuid-of-sdb1 /data ext4 defaults 0 2\nUUID=uuid-of-sdc1 /srv xfs defaults 0 2\n"
    )
    assert guest.report.warnings == []


def test_ids_that_vmware_gives_by_number(guest: Any) -> None:
    """openshift/local-storage-operator#542: on vSphere, nvme-VMware_Virtual_NVMe_Disk_… is not even stable there."""
    with_disks(guest, Bus.SCSI, Bus.NVME, kinds={"/dev/sda1": "xfs", "/dev/sdb": "ext4"})
    link = "/dev/disk/by-id/nvme-VMware_Virtual_NVMe_Disk_VMware_NVME_0000"
    guest.add("/etc/fstab", f"UUID=1 / xfs x\n{link} /data ext4 x\n".encode())
    renamed(guest)
    assert guest.read("/etc/fstab") == b"UUID=1 / xfs x\nUUID=uuid-of-/sdb /data ext4 x\n"


def test_swap_on_a_whole_disk_of_another_family(guest: Any) -> None:
    """canonical/cloud-init#5528: cloud-init names the swap disk by the kernel's name for it."""
    with_disks(guest, None, None, None, kinds={"/dev/sda1": "xfs", "/dev/sdb": "ext4", "/dev/sdc": "swap"})
    old = b"UUID=1 / xfs x\n/dev/%s none swap sw,comment=cloudconfig 0 0\n"
    guest.add("/etc/fstab", old % b"nvme0n1")
    renamed(guest)
    assert guest.read("/etc/fstab") == old % b"vdc"


def test_disks_on_one_controller_are_in_the_order_of_their_targets(guest: Any) -> None:
    kinds = dict.fromkeys(["/dev/sda1", "/dev/sdb1", "/dev/sdc1"], "ext4")
    with_disks(guest, None, None, None, kinds=kinds)
    guest.add("/etc/fstab", f"UUID=1 / ext4 x\n{PATH % 10}-part1 /b ext4 x\n{PATH % 2}-part1 /a ext4 x\n".encode())
    renamed(guest)
    assert guest.read("/etc/fstab") == b"UUID=1 / ext4 x\nUUID=uuid-of-sdc1 /b ext4 x\nUUID=uuid-of-sdb1 /a ext4 x\n"


def test_a_link_that_may_be_any_of_two_disks_is_left_and_reported(guest: Any) -> None:
    """rear/rear#3391: ids of disks in fstab, which the next machine does not have."""
    kinds = dict.fromkeys(["/dev/sda1", "/dev/sdb1", "/dev/sdc1"], "ext4")
    with_disks(guest, None, None, None, kinds=kinds)
    old = f"UUID=1 / ext4 x\n\n{WWID % 1}-part1 /a ext4 x\n{WWID % 2}-part1 /b ext4 x\n".encode()
    guest.add("/etc/fstab", old)
    renamed(guest)
    assert guest.read("/etc/fstab") == old
    first, second = guest.report.warnings
    assert first.startswith(f"/etc/fstab in the guest, line 3 ({WWID % 1}-part1 /a ext4 x): it cannot be told which")
    assert "line 4" in second


def test_a_disk_that_is_not_of_the_source_stays(guest: Any) -> None:
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4"})
    usb = "/dev/disk/by-id/usb-Backup_1-0:0-part1 /backup ext4 nofail 0 0\n"
    volume = "/dev/disk/by-id/dm-uuid-LVM-" + "a" * 64 + " /srv ext4 defaults 0 0\n"
    # A LUN that the guest itself reached over iSCSI looks like any disk, but no file system of the source is on it.
    lun = f"{WWID % 7}-part1 /lun ext4 _netdev 0 0\n"
    guest.add("/etc/fstab", ("UUID=1 / ext4 x\n" + usb + volume + lun).encode())
    renamed(guest)
    assert guest.read("/etc/fstab").decode() == "UUID=1 / ext4 x\n" + usb + volume + lun
    assert [text.split(" (")[0] for text in guest.report.warnings] == [
        "/etc/fstab in the guest, line 2",
        "/etc/fstab in the guest, line 4",
    ]


def test_multipath_of_one_lun_is_one_disk(guest: Any) -> None:
    """rocky-linux/rocky-tools#169: the EFI system partition is on mpatha1."""
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "vfat", "/dev/sda2": "xfs"}, root="/dev/sda2")
    guest.add(
        "/etc/fstab", b"/dev/mapper/mpatha2 / xfs x\n/dev/mapper/mpatha1 /boot/efi vfat x\n/dev/mapper/vg-a /a xfs x\n"
    )
    find_devices(guest.session, guest.files)
    assert dict(guest.session.inspection.mountpoints)["/"] == "/dev/sda2"
    renamed(guest)
    assert guest.read("/etc/fstab") == (
        b"UUID=uuid-of-sda2 / xfs x\nUUID=uuid-of-sda1 /boot/efi vfat x\n/dev/mapper/vg-a /a xfs x\n"
    )


MENU = b"""set default="0"
menuentry 'Own' {
\tlinux /vmlinuz root=%s resume=%s ro
\tinitrd /initrd.img
}
submenu 'More' {
\tmenuentry 'Recovery' {
\t\tlinux /vmlinuz root=%s ro single
\t\tinitrd /initrd.img
\t}
}
"""


def test_root_and_resume_by_links(guest: Any) -> None:
    """systemd/systemd#35180: a guest waits for ever for a resume= device that does not exist."""
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4", "/dev/sda2": "swap"})
    root, swap = f"{PATH % 0}-part1".encode(), f"{WWID % 0}-part2".encode()
    guest.add("/boot/grub/grub.cfg", MENU % (root, swap, root))
    guest.add("/etc/sysconfig/grub", link="../default/grub")
    guest.add("/etc/default/grub", b'GRUB_CMDLINE_LINUX="resume=%s quiet"\n' % swap)
    guest.add("/etc/kernel/cmdline", b"root=%s resume=%s ro\n" % (root, swap))
    guest.add("/etc/dracut.conf.d/resume.conf", b'add_device+=" %s "\n' % swap)
    guest.add("/etc/initramfs-tools/conf.d/resume", b"RESUME=%s\n" % swap)
    renamed(guest)
    new = b"UUID=uuid-of-sda1", b"UUID=uuid-of-sda2"
    assert guest.read("/boot/grub/grub.cfg") == MENU % (*new, new[0])
    assert guest.read("/etc/default/grub") == b'GRUB_CMDLINE_LINUX="resume=UUID=uuid-of-sda2 quiet"\n'
    assert guest.read("/etc/kernel/cmdline") == b"root=%s resume=%s ro\n" % new
    assert guest.read("/etc/dracut.conf.d/resume.conf") == b'add_device+=" /dev/disk/by-uuid/uuid-of-sda2 "\n'
    assert guest.read("/etc/initramfs-tools/conf.d/resume") == b"RESUME=/dev/disk/by-uuid/uuid-of-sda2\n"
    assert (guest.root / "etc/sysconfig/grub").is_symlink()
    assert guest.report.warnings == []


def test_grub_legacy_of_suse_names_disks_by_id(guest: Any) -> None:
    """crowbar/barclamp-provisioner#333: SLES names its disks by id, and by path where there is no id."""
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "swap", "/dev/sda2": "ext3"}, root="/dev/sda2")
    line = "    kernel /boot/vmlinuz root=%s resume=%s splash=silent\n    initrd /boot/initrd\n"
    guest.add(
        "/boot/grub/menu.lst", ("default 0\ntitle SLES\n" + line % (WWID % 0 + "-part2", WWID % 0 + "-part1")).encode()
    )
    guest.add("/etc/default/grub_installdevice", f"{WWID % 0}\nactivate\n".encode())
    renamed(guest)
    expected = "default 0\ntitle SLES\n" + line % ("UUID=uuid-of-sda2", "UUID=uuid-of-sda1")
    assert guest.read("/boot/grub/menu.lst").decode() == expected
    assert guest.read("/etc/default/grub_installdevice") == b"/dev/vda\nactivate\n"


def test_an_encrypted_root_on_the_kernel_command_line(guest: Any) -> None:
    """systemd/systemd#3704: crypt_root= of Gentoo; BlackArch/blackarch-installer#18: cryptdevice= of Arch."""
    kinds = {"/dev/sda1": "ext4", "/dev/sda2": "crypto_LUKS", "/dev/sdb1": "ext4", "/dev/sdb2": "ext4"}
    with_disks(guest, None, None, kinds=kinds, root="/dev/vg/root")
    menu = b"menuentry 'x' {\n%s\ninitrd /i\n}\n"
    line = b"linux /vmlinuz crypt_root=/dev/hdc2 cryptdevice=%s-part2:root:discard real_root=/dev/vg/root"
    guest.add("/boot/grub/grub.cfg", menu % (line % (WWID % 0).encode()))
    renamed(guest)
    new = line.replace(b"/dev/hdc2", b"/dev/vda2").replace(b"%s-part2", b"/dev/disk/by-uuid/uuid-of-sda2")
    assert guest.read("/boot/grub/grub.cfg") == menu % new


def test_the_root_on_the_command_line_tells_which_disk_is_which(guest: Any) -> None:
    """GNS3/gns3-vm#78: the root is named by UUID in fstab, the second drive by the kernel's name for it."""
    with_disks(
        guest, None, None, None, kinds=dict.fromkeys(["/dev/sda1", "/dev/sdb1", "/dev/sdc1"], "ext4"), root="/dev/sdb1"
    )
    guest.add("/etc/fstab", b"UUID=1 / ext4 x\n/dev/sdb1 /data ext4 x\n/dev/sdc1 /opt ext4 x\n")
    guest.add("/boot/grub/grub.cfg", MENU % (b"/dev/sda1", b"UUID=7", b"/dev/sda1"))
    renamed(guest)
    assert guest.read("/etc/fstab") == b"UUID=1 / ext4 x\n/dev/vda1 /data ext4 x\n/dev/vdc1 /opt ext4 x\n"
    assert guest.read("/boot/grub/grub.cfg").count(b"root=UUID=uuid-of-sdb1 ") == 2


def test_where_it_was_last_mounted_tells_which_disk_is_which(guest: Any) -> None:
    kinds = {"/dev/sda1": "ext4", "/dev/sdb1": "ext4", "/dev/vg/root": "xfs"}
    with_disks(guest, None, None, kinds=kinds, root="/dev/vg/root")
    fstab = b"/dev/vg/root / xfs x\n/dev/sda1 /boot ext4 x\n/dev/nvme0n1p1 /data ext4 x\n"
    guest.add("/etc/fstab", fstab)
    guest.handle.last_mounted = {"/dev/sda1": "/data", "/dev/sdb1": "/boot"}
    places = (("/", "/dev/vg/root"), ("/boot", "/dev/sda1"), ("/data", "/dev/nvme0n1p1"))
    guest.session.found = replace(guest.session.inspection, mountpoints=places)
    find_devices(guest.session, guest.files)
    assert dict(guest.session.inspection.mountpoints) == {
        "/": "/dev/vg/root",
        "/boot": "/dev/sdb1",
        "/data": "/dev/sda1",
    }
    # In the appliance the file systems are mounted elsewhere.
    guest.handle.last_mounted = {"/dev/sda1": "/sysroot/data", "/dev/sdb1": "/sysroot/boot"}
    renamed(guest)
    assert guest.read("/etc/fstab") == b"/dev/vg/root / xfs x\n/dev/vdb1 /boot ext4 x\n/dev/vda1 /data ext4 x\n"
    assert guest.report.warnings == []


def test_what_is_in_it_tells_which_disk_is_which(guest: Any) -> None:
    """XFS does not record where it was mounted. Without /boot nothing can be converted."""
    kinds = {"/dev/sda1": "xfs", "/dev/sdb1": "xfs", "/dev/vg/root": "xfs"}
    with_disks(guest, None, None, kinds=kinds, root="/dev/vg/root")
    guest.add("/etc/fstab", b"/dev/vg/root / xfs x\n/dev/sda1 /boot xfs x\n/dev/nvme0n1p1 /data xfs x\n")
    guest.directory("/mnt")
    guest.handle.contents = {"/dev/sda1": ["stuff"], "/dev/sdb1": ["grub2", "loader"]}
    places = (("/", "/dev/vg/root"), ("/boot", "/dev/sda1"), ("/data", "/dev/nvme0n1p1"))
    guest.session.found = replace(guest.session.inspection, mountpoints=places)
    find_devices(guest.session, guest.files)
    found = dict(guest.session.inspection.mountpoints)
    assert (found["/boot"], found["/data"]) == ("/dev/sdb1", "/dev/sda1")
    assert list((guest.root / "mnt").iterdir()) == []


def test_what_libguestfs_leaves_out_is_mounted(guest: Any) -> None:
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4", "/dev/sda2": "ext4", "/dev/sda3": "swap"}, root="/dev/sda2")
    fstab = f"{PATH % 0}-part2 / ext4 x\n{PATH % 0}-part1 /boot ext4 x\n{PATH % 0}-part3 swap swap x\n"
    guest.add("/etc/fstab", fstab.encode())
    find_devices(guest.session, guest.files)
    assert guest.session.inspection.mountpoints == (("/", "/dev/sda2"), ("/boot", "/dev/sda1"))


def test_copies_of_a_disk_are_not_named_by_their_uuid(guest: Any) -> None:
    with_disks(guest, Bus.SCSI, Bus.SCSI, Bus.SCSI, kinds={"/dev/sda1": "ext4", "/dev/sdb1": "xfs", "/dev/sdc2": "xfs"})
    guest.handle.uuids |= dict.fromkeys(["/dev/sdb1", "/dev/sdc2"], "the-same")
    guest.add(
        "/etc/fstab", f"{PATH % 0}-part1 / ext4 x\n{PATH % 1}-part1 /a xfs x\n{PATH % 2}-part2 /b xfs x\n".encode()
    )
    renamed(guest)
    assert guest.read("/etc/fstab") == b"UUID=uuid-of-sda1 / ext4 x\n/dev/vdb1 /a xfs x\n/dev/vdc2 /b xfs x\n"


def test_xen_counts_from_e(guest: Any) -> None:
    """Gandi/gandi-vm-config#18: /dev/xvda1 in fstab; RHEL 6 on Xen calls the first disk xvde."""
    with_disks(guest, None, kinds={"/dev/sda1": "ext4", "/dev/sda2": "swap"})
    guest.add("/etc/fstab", b"/dev/xvde1 / ext4 x\n/dev/xvde2 none swap x\n")
    guest.add("/boot/grub/grub.cfg", MENU % (b"/dev/xvde1", b"/dev/xvde2", b"/dev/xvde1"))
    renamed(guest)
    assert guest.read("/etc/fstab") == b"/dev/vda1 / ext4 x\n/dev/vda2 none swap x\n"
    assert b"resume=/dev/vda2" in guest.read("/boot/grub/grub.cfg")


def test_a_root_that_nothing_proves_is_reported_with_its_line(guest: Any) -> None:
    with_disks(guest, None, None, kinds=dict.fromkeys(["/dev/sda1", "/dev/sdb1"], "ext4"))
    guest.add("/boot/grub/grub.cfg", MENU % (b"UUID=1", b"/dev/disk/by-id/wwn-0x5000-part5", b"/dev/sdz1"))
    renamed(guest)
    first, second = guest.report.warnings
    assert first.startswith("/boot/grub/grub.cfg in the guest, line 3 (linux /vmlinuz root=UUID=1")
    assert "/dev/disk/by-id/wwn-0x5000-part5" in first
    assert "line 8" in second
    assert "/dev/sdz1 is not one of the guest's disks" in second


def test_crypttab_by_link(guest: Any) -> None:
    """systemd/systemd#4878: swap with a random key is by-id in crypttab, and has no UUID."""
    with_disks(guest, Bus.SCSI, kinds={"/dev/sda1": "ext4", "/dev/sda2": "crypto_LUKS", "/dev/sda3": "unknown"})
    guest.add("/etc/crypttab", f"home {WWID % 0}-part2 none luks\nswap {PATH % 0}-part3 /dev/urandom swap\n".encode())
    renamed(guest)
    assert guest.read("/etc/crypttab") == b"home UUID=uuid-of-sda2 none luks\nswap /dev/vda3 /dev/urandom swap\n"


def test_names_that_stay_what_they_are_are_mounted(phony: Callable[..., Any]) -> None:
    """systemd/systemd#43443: partitions by label; libguestfs/libguestfs#187: links that libguestfs did not know."""
    # libguestfs leaves this one out.
    guest = phony({"/etc/fstab": b"PARTLABEL=left /opt ext4 defaults 0 2\nPARTLABEL=left /off ext4 noauto 0 0\n"})
    tree, session = guest.tree, guest.session
    session.filesystems = {"/dev/sda1": "ext4", "/dev/sda2": "xfs", "/dev/sda3": "xfs", "/dev/md127": "ext4"}
    session.filesystems["/dev/sda4"] = "ext4"
    tree.list_partitions = lambda: [f"/dev/sda{number}" for number in range(1, 5)]
    tree.part_to_dev = lambda device: device[:-1]
    tree.part_to_partnum = lambda device: int(device[-1])
    tree.part_get_parttype = lambda _: "gpt"
    tree.part_get_name = lambda _, number: {1: "boot part", 2: "var", 3: "var", 4: "left"}[number]
    tree.part_get_gpt_guid = lambda _, number: f"0000000{number}-1111-2222-3333-444444444444".upper()
    tree.findfs_label = lambda label: {"my data": "/dev/sda2"}[label]
    tree.list_md_devices = lambda: ["/dev/md127"]
    tree.md_detail = lambda _: {"name": "oldhost:srv"}
    named = {
        "/": "/dev/sda1",
        "/boot": r"/dev/disk/by-partlabel/boot\x20part",
        "/usr": "/dev/disk/by-partuuid/00000003-1111-2222-3333-444444444444",
        "/data": r"/dev/disk/by-label/my\x20data",
        "/var": "/dev/disk/by-partlabel/var",
        "/srv": "/dev/md/srv",
    }
    session.found = replace(session.inspection, mountpoints=tuple(named.items()))
    find_devices(session, guest.files)
    assert dict(session.inspection.mountpoints) == {
        "/": "/dev/sda1",
        "/boot": "/dev/sda1",
        "/usr": "/dev/sda3",
        "/data": "/dev/sda2",
        # Two partitions have that name.
        "/var": "/dev/disk/by-partlabel/var",
        "/srv": "/dev/md127",
        "/opt": "/dev/sda4",
    }


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (PATH % 3, {1}),
        ("/dev/disk/by-path/pci-0000:02:02.0-nvme-1", {2}),
        ("/dev/disk/by-id/nvme-VMware_Virtual_NVMe_Disk_VMware_NVME_0000", {2}),
        ("/dev/disk/by-path/pci-0000:00:07.1-ata-2.1", {3}),
        ("/dev/disk/by-path/pci-0000:00:07.1-ata-2", {3}),
        ("/dev/disk/by-path/pci-0000:02:03.0-ata-3", {4}),
        ("/dev/disk/by-id/scsi-36000c298a5d1f7c1e2b3a49586778899", {0}),
        ("/dev/disk/by-id/wwn-0x6000c298a5d1f7c1e2b3a49586778899", {0}),
        ("/dev/mapper/36000c298a5d1f7c1e2b3a49586778899", {0}),
        ("/dev/disk/by-id/virtio-ledger", {5}),
        # The source does not say.
        ("/dev/disk/by-id/wwn-0x5000c50015ea71aa", {0, 1, 2, 3, 4, 5}),
        ("/dev/mapper/mpatha", {0, 1, 2, 3, 4, 5}),
        # No disk is there, so the controllers of the source are not those of the guest.
        (PATH % 9, {0, 1}),
    ],
)
def test_the_source_says_which_disks_a_link_can_mean(link: str, expected: set[int]) -> None:
    disks = [
        SourceDisk(index=1, bus=Bus.SCSI, controller=0, unit=0, serial="6000C298-a5d1-f7c1-e2b3-a49586778899"),
        SourceDisk(index=2, bus=Bus.SCSI, controller=0, unit=3),
        SourceDisk(index=3, bus=Bus.NVME, controller=0, unit=0),
        SourceDisk(index=4, bus=Bus.IDE, controller=1, unit=1),
        SourceDisk(index=5, bus=Bus.SATA, controller=0, unit=2),
        SourceDisk(index=6, bus=Bus.VIRTIO_BLK, serial="ledger"),
    ]
    assert disks_of_link(link.removeprefix("/dev/"), disks) == expected


def test_the_target_of_the_source_tells_what_file_systems_do_not(guest: Any) -> None:
    with_disks(guest, None, None, None, kinds=dict.fromkeys(["/dev/sda1", "/dev/sdb1", "/dev/sdc1"], "xfs"))
    disks = tuple(SourceDisk(index=i, bus=Bus.SCSI, controller=0, unit=unit) for i, unit in ((1, 0), (2, 2), (3, 5)))
    guest.session.request = replace(guest.session.request, guest=Guest(name="g", disks=disks))
    guest.add("/etc/fstab", f"UUID=1 / xfs x\n{PATH % 5}-part1 /data xfs x\n".encode())
    renamed(guest)
    assert guest.read("/etc/fstab") == b"UUID=1 / xfs x\nUUID=uuid-of-sdc1 /data xfs x\n"


def test_old_ide_drivers_name_the_place_on_the_channel() -> None:
    disks = [
        SourceDisk(index=1, bus=Bus.IDE, controller=0, unit=0),
        SourceDisk(index=2, bus=Bus.IDE, controller=1, unit=0),
    ]
    names = DeviceNames.of(disks, "vd")
    assert names.rename_in("/dev/hda1 /dev/hdc1 /dev/sdb1") == "/dev/vda1 /dev/vdb1 /dev/vdb1"
