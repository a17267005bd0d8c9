# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot files of a guest with UEFI on real file systems: read, repaired, and examined in the appliance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bcd_hives import DATA, DISK, ESP, MBR_ONE, ON, entry, store
from boot_guest import ESP_TYPE, make_hive
from v2v_convert_guestfs.appliance import Appliance, Handle
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows import boot
from v2v_convert_guestfs.windows.boot.places import Place, as_volume
from v2v_convert_guestfs.windows.files import WindowsFiles
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.appliance_store import ApplianceStore
from v2v_convert_guestfs.windows.registry.hives import HiveName, Registry
from v2v_convert_guestfs.windows.registry.values import binary, sz
from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from v2v_core.api import (
    ConvertRequest,
    ConvertSettings,
    DiskEndpoint,
    Firmware,
    Guest,
    Inspection,
    SourceDisk,
    Verdict,
)
from v2v_core.testing.fakes import FakeReporter

pytestmark = pytest.mark.slow

#: Over libguestfs's limit for one message of its protocol.
BOOTMGFW = b"MZ" + "bootmgr.exe".encode("utf-16-le") + bytes(5 * 1024 * 1024)
CONFIG = "/Windows/System32/config"


def test_boot_files_on_real_file_systems(tmp_path: Path, serve_blank: Callable[[int], DiskEndpoint]) -> None:
    report, endpoint = FakeReporter(), serve_blank(160 * 1024 * 1024)
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="phony", disks=(SourceDisk(index=1),)),
        disks=(endpoint,),
        settings=ConvertSettings(emulation=True, verbose=True),
        report=report,
    )
    with Appliance(request) as appliance:
        guest = _guest(appliance.handle, request, tmp_path)
        handle, session = guest.session.handle, guest.session
        plan = boot.examine(guest, Blockers())
        assert plan.found is not None
        assert plan.found.shown == "/dev/sda1:/EFI/Microsoft/Boot/BCD"
        assert "looks for the loader on MBR signature 0x5cbea03e" in plan.found.wrong
        assert plan.letters.devices == (("C", "/dev/sda2"),)
        assert session.changes == []
        assert handle.mountpoints() == {"/dev/sda2": "/"}
        boot.change(guest, plan)
        # The registry goes on after another hive was open.
        assert guest.registry.key(HiveName.SYSTEM, "MountedDevices") is not None
        facts = boot.facts(guest)
        assert [fact.verdict for fact in facts] == [Verdict.PASSED] * 3, facts
        assert isinstance(guest.registry.store, ApplianceStore)
        guest.registry.store.close()
        handle.umount_all()
        handle.mount_ro("/dev/sda1", "/")
        assert handle.equal("/EFI/BOOT/BOOTX64.EFI", "/EFI/Microsoft/Boot/bootmgfw.efi")
        assert sorted(handle.ls("/EFI/BOOT")) == ["BOOTX64.EFI"]
        assert sorted(handle.ls("/EFI/Microsoft/Boot")) == ["BCD", "bootmgfw.efi"]
    assert [change.path for change in session.changes] == [
        *["/dev/sda1:/EFI/Microsoft/Boot/BCD"] * 3,
        "/dev/sda1:/EFI/BOOT/BOOTX64.EFI",
    ]


def _guest(handle: Handle, request: ConvertRequest, tmp_path: Path) -> WindowsGuest:
    """Make the guest's file systems and mount its root."""
    handle.part_init("/dev/sda", "gpt")
    handle.part_add("/dev/sda", "p", 2048, 131071)
    handle.part_add("/dev/sda", "p", 131072, 300000)
    handle.part_set_gpt_type("/dev/sda", 1, str(ESP_TYPE))
    handle.part_set_disk_guid("/dev/sda", str(DISK))
    handle.part_set_gpt_guid("/dev/sda", 1, str(ESP))
    handle.part_set_gpt_guid("/dev/sda", 2, str(DATA))
    handle.mkfs("vfat", "/dev/sda1")
    handle.mkfs("ntfs", "/dev/sda2")
    handle.mount("/dev/sda1", "/")
    handle.mkdir_p("/EFI/Microsoft/Boot")
    bcd = store(tmp_path, entry(MBR_ONE, path=r"\Windows\system32\winload.efi", e16000046=ON))
    handle.write("/EFI/Microsoft/Boot/BCD", bcd)
    (tmp_path / "bootmgfw").write_bytes(BOOTMGFW)
    handle.upload(str(tmp_path / "bootmgfw"), "/EFI/Microsoft/Boot/bootmgfw.efi")
    handle.umount("/")
    handle.mount("/dev/sda2", "/")
    handle.mkdir_p(f"{CONFIG}/systemprofile")
    handle.write("/Windows/System32/winload.efi", b"MZ")
    letters = {r"\DosDevices\C:": binary(as_volume(Place(guid=DATA)))}
    handle.write(f"{CONFIG}/SYSTEM", make_hive(tmp_path, {"MountedDevices": letters}))
    version = {"Microsoft": {"Windows NT": {"CurrentVersion": {"SystemRoot": sz(r"C:\Windows")}}}}
    handle.write(f"{CONFIG}/SOFTWARE", make_hive(tmp_path, version))
    session = Session(request=request, handle=handle, firmware=Firmware.UEFI)
    session.found = Inspection(root="/dev/sda2", os_type="windows", distro="windows", arch="x86_64")
    hives = {name: f"{CONFIG}/{name}" for name in HiveName}
    system = WindowsSystem(
        systemroot="/Windows",
        arch="x86_64",
        version=(10, 0),
        build=19045,
        product=Product.CLIENT,
        product_name="Windows 10 Pro",
        osinfo="win10",
        current="ControlSet001",
        default="ControlSet001",
        driver_database=True,
    )
    return WindowsGuest(session, WindowsFiles(session), Registry(session, ApplianceStore(session, hives)), system)
