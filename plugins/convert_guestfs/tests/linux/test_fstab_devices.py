# SPDX-License-Identifier: GPL-2.0-or-later
"""What fstab names and inspection does not find: mounted all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs import checks, encryption, inspection, mounts
from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.disks import list_filesystems
from v2v_convert_guestfs.linux.fstab_devices import crypttab_sources, find_devices
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConvertRequest, ConvertSettings, DiskEndpoint, Guest, SourceDisk
from v2v_core.testing.fakes import FakeReporter

_MIB = 1024 * 1024


def test_the_sources_of_crypttab() -> None:
    data = b"# name device\n home UUID=1-2 none luks\nswap\t/dev/sda3 /dev/urandom swap\nalone\n\nlast /dev/sdb1"
    assert crypttab_sources(data) == {"home": "UUID=1-2", "swap": "/dev/sda3", "last": "/dev/sdb1"}


@given(st.binary(max_size=300))
def test_any_crypttab_is_read(data: bytes) -> None:
    assert all(crypttab_sources(data).values())


VOLUME = ("a" * 32, "b" * 32)


def test_the_devices_of_fstab(phony: Callable[..., Any]) -> None:
    crypttab = b"home UUID=1-2-3 none\nsrv PARTUUID=11111111-2222-3333-4444-555555555555 none\nother /dev/sdc9 none\n"
    guest = phony({"/etc/crypttab": crypttab})
    tree, session = guest.tree, guest.session
    uuids = {"/dev/sda2": "1-2-3", "/dev/sda3": "4-5-6"}
    tree.vfs_uuid = lambda device: uuids[device]
    tree.part_to_dev = lambda device: device[:-1]
    tree.part_to_partnum = lambda device: int(device[-1])
    tree.part_get_gpt_guid = lambda _disk, number: f"{'1' * 8 if number == 3 else '9' * 8}-2222-3333-4444-555555555555"
    tree.vgs_full = lambda: [{"vg_name": "ubuntu-vg", "vg_uuid": "aaaaaa-" + "a" * 26}]
    tree.lvs_full = lambda: [{"lv_name": "data", "lv_uuid": "b" * 32}, {"lv_name": "x", "lv_uuid": "c" * 32}]
    session.opened = {"/dev/sda2": "/dev/mapper/luks-1-2-3", "/dev/sda3": "/dev/mapper/luks-4-5-6"}
    session.filesystems = dict.fromkeys(["/dev/sda1", "/dev/sda5", "/dev/ubuntu-vg/data", "/dev/mapper/plain"], "ext4")
    by_lvm = "/dev/disk/by-id/dm-uuid-LVM-" + "".join(VOLUME)
    named = {
        "/": ("/dev/sda1", "/dev/sda1"),
        "/home": ("/dev/mapper/home", "/dev/mapper/luks-1-2-3"),
        "/srv": ("/dev/mapper/srv", "/dev/mapper/luks-4-5-6"),
        "/plain": ("/dev/mapper/plain", "/dev/mapper/plain"),
        "/other": ("/dev/mapper/other", "/dev/mapper/other"),
        "/boot": ("/dev/disk/by-uuid/7-8", "/dev/sda5"),
        "/gone": ("/dev/disk/by-uuid/0-0", "/dev/disk/by-uuid/0-0"),
        "/data": (by_lvm, "/dev/ubuntu-vg/data"),
    }

    def missing(uuid: str) -> str:
        if uuid != "7-8":
            raise RuntimeError("findfs_uuid: no such")
        return "/dev/sda5"

    tree.findfs_uuid = missing
    session.found = replace(session.inspection, mountpoints=tuple((place, old) for place, (old, _) in named.items()))
    find_devices(session, guest.files)
    assert dict(session.inspection.mountpoints) == {place: new for place, (_, new) in named.items()}


def make_guest(handle: Any) -> str:
    """Make the guest, and return the UUID of the encrypted device with /home."""
    handle.part_init("/dev/sda", "gpt")
    for number in range(6):
        handle.part_add("/dev/sda", "p", 2048 + number * 2048 * 60, 2047 + (number + 1) * 2048 * 60)
    handle.part_set_name("/dev/sda", 6, "my-data")
    for device in ("/dev/sda1", "/dev/sda5", "/dev/sda6"):
        handle.mkfs("ext4", device)
    for device, name in (("/dev/sda2", "home"), ("/dev/sda3", "srv")):
        handle.luks_format(device, name, 0)
        handle.cryptsetup_open(device, name, name)
        handle.mkfs("ext4", f"/dev/mapper/{name}")
    handle.pvcreate("/dev/sda4")
    handle.vgcreate("ubuntu-vg", ["/dev/sda4"])
    handle.lvcreate("data", "ubuntu-vg", 40)
    handle.mkfs("ext4", "/dev/ubuntu-vg/data")
    uuids = {device: str(handle.vfs_uuid(device)) for device in ("/dev/sda2", "/dev/sda5")}
    partition = str(handle.part_get_gpt_guid("/dev/sda", 3))
    volume = str(handle.vgs_full()[0]["vg_uuid"]) + str(handle.lvs_full()[0]["lv_uuid"])
    fstab = (
        f"/dev/sda1 / ext4 defaults 0 1\n/dev/mapper/home_crypt /home ext4 defaults 0 2\n"
        f"/dev/mapper/srv_crypt /srv ext4 defaults 0 2\n/dev/disk/by-uuid/{uuids['/dev/sda5']} /boot ext4 ro 0 2\n"
        f"/dev/disk/by-id/dm-uuid-LVM-{volume.replace('-', '')} /data ext4 defaults 0 2\n"
        "/dev/disk/by-partlabel/my-data /opt ext4 defaults 0 2\n"
    )
    crypttab = f"home_crypt UUID={uuids['/dev/sda2']} none luks\nsrv_crypt PARTUUID={partition} none luks\n"
    handle.mount("/dev/sda1", "/")
    for place in ("/etc", "/bin", "/usr", "/home", "/srv", "/boot", "/data", "/opt"):
        handle.mkdir(place)
    handle.write("/etc/fstab", fstab.encode())
    handle.write("/etc/crypttab", crypttab.encode())
    handle.write("/etc/os-release", b'ID=debian\nPRETTY_NAME="Debian"\nVERSION_ID="12"\n')
    handle.umount_all()
    return uuids["/dev/sda2"]


@pytest.mark.slow
def test_a_home_of_its_own_luks_and_links_by_identity(
    tmp_path: Path, serve_blank: Callable[[int], DiskEndpoint], close_encrypted: Callable[..., None]
) -> None:
    """/home by crypttab's name, /srv by crypttab and the identity of its partition, /data as Ubuntu names volumes."""
    endpoint = serve_blank(384 * _MIB)

    def request(report: FakeReporter, *keys: str) -> ConvertRequest:
        return ConvertRequest(
            directory=tmp_path,
            temporary=tmp_path / "temporary",
            guest=Guest(name="phony", disks=(SourceDisk(index=1),)),
            disks=(endpoint,),
            settings=ConvertSettings(emulation=True, keys=keys),
            report=report,
        )

    with Appliance(request(FakeReporter())) as appliance:
        handle = appliance.handle
        home = make_guest(handle)

        close_encrypted(handle)
        report = FakeReporter()
        session = Session(request=request(report, "/dev/sda2:key:home", "/dev/sda3:key:srv"), handle=handle)
        blockers = Blockers()
        session.filesystems = list_filesystems(handle)
        encryption.open_encrypted(session, blockers)
        inspection.inspect(session, blockers)
        assert not checks.check_filesystems(session, blockers)
        mounts.mount_guest(session, blockers, untouched=False)
        mounted = {str(place): str(device) for device, place in handle.mountpoints().items()}
        assert mounted["/home"] == f"/dev/mapper/luks-{home}"
        assert mounted["/srv"].startswith("/dev/mapper/luks-")
        assert (mounted["/boot"], mounted["/data"]) == ("/dev/sda5", "/dev/ubuntu-vg/data")
        assert mounted["/opt"] == "/dev/sda6"
        # What is checked before and after, and trimmed, are the file systems of that list.
        assert {mounted[place] for place in ("/home", "/srv", "/data")} <= session.filesystems.keys()
        assert dict(session.inspection.mountpoints) == mounted
        handle.umount_all()
        assert report.warnings == []

        close_encrypted(handle)
        report = FakeReporter()
        session, blockers = Session(request=request(report, "/dev/sda3:key:srv"), handle=handle), Blockers()
        session.filesystems = list_filesystems(handle)
        encryption.open_encrypted(session, blockers)
        inspection.inspect(session, blockers)
        mounts.mount_guest(session, blockers, untouched=False)
        checks.check_guest(session, blockers, untouched=False)
        handle.umount_all()
    assert [text for text in report.warnings if text.startswith("/dev/mapper/home_crypt cannot be mounted on /home")]
    assert [text for text in report.warnings if text.startswith("encrypted and without a key: /dev/sda2.")]
    assert not [reason for reason, _ in blockers.reasons if "encrypted" in reason]
