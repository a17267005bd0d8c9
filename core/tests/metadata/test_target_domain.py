# SPDX-License-Identifier: GPL-2.0-or-later
"""The target as libvirt domain XML. Libvirt's schema accepts it, and its QEMU driver where that is installed."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
from lxml import etree

from v2v_core.metadata import assign_buses, libvirt_domain, write_source, write_target
from v2v_core.metadata.blocks import with_sizes
from v2v_core.model import (
    Bus,
    Capabilities,
    Cpu,
    Display,
    Firmware,
    Guest,
    Inspection,
    Nic,
    Removable,
    SourceDisk,
    TargetGuest,
    TargetProfile,
    Topology,
)
from v2v_core.testing.fakes import FakeReporter

LINUX = Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64")
WINDOWS = Inspection(
    root="/dev/sda2",
    os_type="windows",
    distro="windows",
    arch="x86_64",
    major_version=10,
    osinfo="win10",
    product_name="Windows 10 Pro",
    product_variant="Client",
)
WINDOWS_7 = replace(WINDOWS, major_version=6, minor_version=1, osinfo="win7", arch="i386")
WINDOWS_XP = replace(WINDOWS, major_version=5, minor_version=1, osinfo="winxp", arch="i386")
WINDOWS_11 = replace(WINDOWS, osinfo="win11")
ALL = Capabilities(virtio_rng=True, virtio_balloon=True, virtio_socket=True, isa_pvpanic=True)
CDROM = Removable(kind="cdrom", bus=Bus.IDE, slot=0)
FLOPPY = Removable(kind="floppy", bus=Bus.FLOPPY, slot=0)
DISKS = (SourceDisk(index=1, size=2**20), SourceDisk(index=2, size=2**20))


def make(
    tmp_path: Path,
    guest: Guest,
    capabilities: Capabilities = ALL,
    firmware: Firmware = Firmware.BIOS,
    *,
    domain_xml: bytes | None = None,
    inspection: Inspection = LINUX,
    **options: Any,
) -> etree._Element:
    disks, removables, _ = assign_buses(guest, capabilities, boot_disk=2 if len(guest.disks) > 1 else None)
    disks = with_sizes(disks, guest, (), firmware, TargetProfile(), lambda _: None)
    target = TargetGuest(
        source=guest,
        inspection=inspection,
        capabilities=capabilities,
        firmware=firmware,
        disks=disks,
        removables=removables,
        nics=guest.nics,
    )
    write_source(tmp_path / "in", guest, domain_xml=domain_xml)
    write_target(tmp_path / "out", tmp_path / "in", target)
    data = libvirt_domain(tmp_path / "out", **{"name": guest.name, **options})
    assert b"urn:v2v" not in data
    return etree.fromstring(data)


def with_sources(root: etree._Element, tmp_path: Path) -> Path:
    """Add the sources of the disks, as an output does."""
    for i, disk in enumerate(root.iterfind("devices/disk[@device='disk']")):
        image = tmp_path / f"image{i}"
        image.touch()
        driver = disk.find("driver")
        assert driver is not None
        driver.set("type", "raw")
        driver.addnext(etree.Element("source", {"file": str(image)}))
    path = tmp_path / "domain.xml"
    path.write_bytes(etree.tostring(root))
    return path


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, timeout=60)


@cache
def libvirt_root() -> Path:
    """Return a directory for libvirt's QEMU driver, which takes seconds to probe QEMU and caches the result there."""
    made = Path(tempfile.mkdtemp(prefix="v2v-test-libvirt."))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def check_with_libvirt(root: etree._Element, tmp_path: Path, *, define: bool = True) -> None:
    name = root.find("name")
    assert name is not None
    # libvirt defines a name again only with the same UUID
    name.addnext(uuid := etree.Element("uuid"))
    uuid.text = str(uuid5(NAMESPACE_OID, name.text or ""))
    path = with_sources(root, tmp_path)
    done = run("virt-xml-validate", path, "domain")
    assert done.returncode == 0, done.stderr + path.read_text()
    if define and os.geteuid() == 0:
        done = run("virsh", "-c", f"qemu:///embed?root={libvirt_root()}", "define", "--validate", path)
        if "no connection driver" in done.stderr or "failed to connect" in done.stderr:
            return
        assert done.returncode == 0, done.stderr + path.read_text()


BASE = Guest(name="x", disks=DISKS, removables=(CDROM,), nics=(Nic(mac="00:0c:29:00:00:01"), Nic()))

GUESTS: dict[str, tuple[Guest, Capabilities, Firmware]] = {
    "BIOS on q35": (BASE, ALL, Firmware.BIOS),
    "UEFI": (BASE, ALL, Firmware.UEFI),
    "secure boot": (replace(BASE, secure_boot=True), ALL, Firmware.UEFI),
    "i440fx with IDE and floppies": (
        replace(BASE, removables=(CDROM, FLOPPY, FLOPPY)),
        Capabilities(block_bus=Bus.IDE, machine="i440fx", net_model="e1000"),
        Firmware.BIOS,
    ),
    "q35 with SATA and rtl8139": (BASE, Capabilities(block_bus=Bus.IDE, net_model="rtl8139"), Firmware.BIOS),
    "virtio-scsi": (BASE, replace(ALL, block_bus=Bus.VIRTIO_SCSI), Firmware.BIOS),
    "SCSI CD-ROM": (replace(BASE, removables=(Removable(kind="cdrom", bus=Bus.SCSI, slot=1),)), ALL, Firmware.BIOS),
    "virtio 0.9": (BASE, replace(ALL, virtio_1_0=False), Firmware.BIOS),
    "virtio 0.9 with virtio-scsi": (BASE, replace(ALL, virtio_1_0=False, block_bus=Bus.VIRTIO_SCSI), Firmware.BIOS),
    "local time": (BASE, replace(ALL, rtc_utc=False), Firmware.BIOS),
    "i386": (replace(BASE, features=("acpi", "pae")), replace(ALL, arch="i386", machine="i440fx"), Firmware.BIOS),
    "no NIC, one disk": (Guest(name="x", disks=DISKS[:1]), ALL, Firmware.BIOS),
    "bridges": (
        replace(BASE, nics=(Nic(kind="bridge", network="br0"), Nic(kind="bridge", network="VM Network (é)"))),
        ALL,
        Firmware.BIOS,
    ),
    "wrong MACs": (replace(BASE, nics=(Nic(mac="01:00:5e:00:00:01"), Nic(mac="nonsense"))), ALL, Firmware.BIOS),
    "odd network": (replace(BASE, nics=(Nic(network="VM <Network> & \x01 ü"),)), ALL, Firmware.BIOS),
    "topology": (replace(BASE, cpu=Cpu(count=8, topology=Topology(sockets=2, cores=2, threads=2))), ALL, Firmware.BIOS),
    "topology that does not fit": (
        replace(BASE, cpu=Cpu(count=3, topology=Topology(sockets=2, cores=2, threads=2))),
        ALL,
        Firmware.BIOS,
    ),
    "CPU model": (replace(BASE, cpu=Cpu(model="Nehalem", vendor="Intel")), ALL, Firmware.BIOS),
    "qemu64": (replace(BASE, cpu=Cpu(model="qemu64")), ALL, Firmware.BIOS),
    "blocks of 4 KiB": (
        replace(BASE, disks=tuple(replace(disk, block_size=4096) for disk in DISKS)),
        ALL,
        Firmware.BIOS,
    ),
    "little memory": (replace(BASE, memory=1), ALL, Firmware.BIOS),
    "odd memory": (replace(BASE, memory=2**30 + 1), ALL, Firmware.BIOS),
    "much memory": (replace(BASE, memory=6 * 2**40), ALL, Firmware.BIOS),
    "genid": (replace(BASE, genid="5a3ad0ea-2b5c-4a1e-9e27-0123456789ab"), ALL, Firmware.BIOS),
    "invalid genid": (replace(BASE, genid="none"), ALL, Firmware.BIOS),
    "40 virtio-scsi disks": (
        replace(BASE, disks=tuple(SourceDisk(index=i) for i in range(1, 41))),
        replace(ALL, block_bus=Bus.VIRTIO_SCSI),
        Firmware.BIOS,
    ),
    "osinfo": (BASE, ALL, Firmware.BIOS),
    "TPM": (replace(BASE, tpm="2.0"), ALL, Firmware.BIOS),
    "old TPM": (replace(BASE, tpm="1.2"), ALL, Firmware.BIOS),
    "TPM on i440fx": (replace(BASE, tpm="2.0"), Capabilities(machine="i440fx"), Firmware.BIOS),
}


@pytest.mark.parametrize("name", GUESTS)
def test_libvirt_accepts(tmp_path: Path, name: str) -> None:
    guest, capabilities, firmware = GUESTS[name]
    # whether these can be defined depends on the firmware images and the QEMU of the host
    define = firmware is Firmware.BIOS and name not in {"i386"}
    inspection = replace(LINUX, osinfo="debian11") if name == "osinfo" else LINUX
    check_with_libvirt(make(tmp_path, guest, capabilities, firmware, inspection=inspection), tmp_path, define=define)


@pytest.mark.parametrize(
    ("version", "arch", "model", "emulated"),
    [
        ("2.0", "x86_64", "tpm-crb", "2.0"),
        ("1.2", "x86_64", "tpm-tis", "1.2"),
        ("", "x86_64", "tpm-crb", "2.0"),
        ("2.0", "aarch64", "tpm-tis", "2.0"),
        ("1.2", "aarch64", "tpm-tis", "2.0"),
    ],
)
def test_a_tpm_becomes_an_emulated_one(tmp_path: Path, version: str, arch: str, model: str, emulated: str) -> None:
    machine = "virt" if arch == "aarch64" else "q35"
    root = make(tmp_path, replace(BASE, tpm=version), replace(ALL, arch=arch, machine=machine), Firmware.UEFI)
    check_with_libvirt(root, tmp_path, define=False)
    (tpm,) = root.iterfind("devices/tpm")
    assert tpm.get("model") == model
    (backend,) = tpm
    assert dict(backend.attrib) == {"type": "emulator", "version": emulated}


def test_a_tpm_that_the_target_cannot_have_is_a_warning(tmp_path: Path) -> None:
    report = FakeReporter()
    root = make(
        tmp_path, replace(BASE, tpm="2.0"), replace(ALL, arch="s390x", machine="virt"), Firmware.BIOS,
        report=report,
    )  # fmt: skip
    assert root.find("devices/tpm") is None
    assert any("TPM" in warning for warning in report.warnings)


def test_the_boot_order_reaches_the_domain(tmp_path: Path) -> None:
    disks = (SourceDisk(index=1, boot_order=3), SourceDisk(index=2), SourceDisk(index=3, boot_order=1))
    root = make(tmp_path, replace(BASE, disks=disks), ALL, Firmware.BIOS)
    # the conversion found that the second one boots
    assert [boot.get("order") for boot in root.iterfind("devices/disk/boot")] == ["3", "1", "2"]


def test_aarch64_on_virt(tmp_path: Path) -> None:
    root = make(
        tmp_path, replace(BASE, removables=(CDROM, FLOPPY)), replace(ALL, arch="aarch64", machine="virt"), Firmware.UEFI
    )
    check_with_libvirt(root, tmp_path, define=False)
    assert root.find("devices/disk[@device='floppy']") is None
    assert root.find("devices/controller[@model='virtio-scsi']") is not None


@pytest.mark.parametrize(
    "name", ["a b", "a/b", "ünïcode", "日本", "'\"<&>", "..", "-x", "a\nb", "\x01", "x" * 300, "", " ", "\udc80"]
)
def test_odd_names(tmp_path: Path, name: str) -> None:
    check_with_libvirt(make(tmp_path, BASE, name=name), tmp_path)


@pytest.mark.parametrize(
    "display",
    [
        Display(kind="window"),
        Display(kind="vnc"),
        Display(kind="vnc", port=5901, password="secret", keymap="de", listen="0.0.0.0"),  # noqa: S104
        Display(kind="spice", port=5901, listen="::1"),
        Display(kind="vnc", keymap="no such & keymap", listen="not an address", port=99999),
        Display(kind="vnc", password="p\x01<&>longer than VNC has it"),
        Display(kind="hologram"),
    ],
)
def test_displays(tmp_path: Path, display: Display) -> None:
    # Debian's QEMU has no SPICE
    check_with_libvirt(make(tmp_path, replace(BASE, display=display)), tmp_path, define=display.kind != "spice")


@pytest.mark.parametrize(
    ("sound", "model"),
    [("ich9", "ich9"), ("ac97", "ac97"), ("es1371", "es1370"), ("hdaudio", "ich6"), ("sb16", "sb16"), ("gus", None)],
)
def test_sound(tmp_path: Path, sound: str, model: str | None) -> None:
    report = FakeReporter()
    root = make(tmp_path, replace(BASE, sound=sound), report=report)
    found = root.find("devices/sound")
    assert (None if found is None else found.get("model")) == model
    assert bool(report.warnings) is (model is None)
    check_with_libvirt(root, tmp_path)


def test_virtio_scsi_has_its_controllers(tmp_path: Path) -> None:
    guest = replace(BASE, disks=tuple(SourceDisk(index=i) for i in range(1, 41)))
    root = make(tmp_path, guest, replace(ALL, block_bus=Bus.VIRTIO_SCSI))
    controllers = root.findall("devices/controller[@type='scsi']")
    assert [c.get("model") for c in controllers] == ["virtio-scsi"] * 3


def test_old_virtio_is_transitional_everywhere(tmp_path: Path) -> None:
    root = make(tmp_path, replace(BASE, vsock=True), replace(ALL, virtio_1_0=False))
    text = etree.tostring(root, encoding="unicode")
    assert text.count("virtio-transitional") == 2 + 2 + 4  # disks, NICs; rng, balloon, vsock, serial
    assert 'model="virtio"' not in text


@pytest.mark.parametrize(("had_one", "driver", "sockets"), [(False, True, 0), (True, False, 0), (True, True, 1)])
def test_a_virtio_socket_is_there_only_if_the_source_had_one(
    tmp_path: Path, had_one: bool, driver: bool, sockets: int
) -> None:
    """Hosts without vhost-vsock refuse to start a guest that has the device (crc-org/crc#2130, #3278)."""
    root = make(tmp_path, replace(BASE, vsock=had_one), replace(ALL, virtio_socket=driver))
    assert len(root.findall("devices/vsock")) == sockets


@pytest.mark.parametrize(("arch", "machine", "models"), [("x86_64", "q35", ["isa"]), ("aarch64", "virt", [])])
def test_a_panic_device_is_there_only_on_a_pc(tmp_path: Path, arch: str, machine: str, models: list[str]) -> None:
    """Arm machines have no ISA bus; they refuse the device (autotest/tp-libvirt#3348)."""
    root = make(tmp_path, BASE, replace(ALL, arch=arch, machine=machine), Firmware.UEFI)
    assert [panic.get("model") for panic in root.iterfind("devices/panic")] == models


def test_a_display_that_not_each_host_has_is_told(tmp_path: Path) -> None:
    """RHEL 9 has no SPICE, and refuses the guest when it is defined (dmacvicar/terraform-provider-libvirt#961)."""
    report = FakeReporter()
    make(tmp_path, replace(BASE, display=Display(kind="spice")), report=report)
    assert any("SPICE" in warning for warning in report.warnings)
    quiet = FakeReporter()
    make(tmp_path, replace(BASE, display=Display(kind="vnc")), report=quiet)
    assert quiet.warnings == []


@pytest.mark.parametrize(("version", "count"), [(None, 0), ("2.0", 1)])
def test_a_tpm_is_there_only_if_the_source_had_one(tmp_path: Path, version: str | None, count: int) -> None:
    """A host without swtpm cannot start a guest with a TPM (stefanberger/swtpm#463)."""
    root = make(tmp_path, replace(BASE, tpm=version))
    assert [backend.get("type") for backend in root.iterfind("devices/tpm/backend")] == ["emulator"] * count


def test_the_disk_that_boots_is_first(tmp_path: Path) -> None:
    root = make(tmp_path, BASE)
    assert [boot.get("order") for boot in root.iterfind("devices/disk/boot")] == ["2", "1"]


def test_metadata_of_other_programs_is_kept_and_hardware_is_not(tmp_path: Path) -> None:
    given = b"""<domain type='vmware'><name>x</name><title>A title</title><description>Some
      text</description><metadata><a:app xmlns:a='urn:a'>one <a:b/></a:app><a:more xmlns:a='urn:a'/><bad/></metadata>
      <memory>1</memory><devices><controller type='scsi' model='lsilogic'/><hostdev mode='subsystem' type='pci'/>
      </devices></domain>"""
    root = make(tmp_path, BASE, domain_xml=given)
    text = etree.tostring(root, encoding="unicode")
    assert "A title" in text
    assert "one <a:b/>" in text
    for gone in ("hostdev", "lsilogic", "a:more", "<bad", "vmware"):
        assert gone not in text
    check_with_libvirt(root, tmp_path)


@pytest.fixture
def osinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty database for libosinfo, and return the directory of its operating systems."""
    database = tmp_path / "osinfo" / "os" / "example.org"
    database.mkdir(parents=True)
    monkeypatch.setenv("OSINFO_SYSTEM_DIR", str(tmp_path / "osinfo"))
    return database


def test_the_operating_system_has_libosinfos_identifier(tmp_path: Path, osinfo: Path) -> None:
    (osinfo / "a.xml").write_text("<l><os id='http://example.org/no'><short-id>e10</short-id><name>e1</name></os></l>")
    (osinfo / "b.xml").write_text("<l><os id='http://example.org/broken'><short-id>e1</short-id>")
    (osinfo / "c.xml").write_text(
        "<l><!-- <os id='http://example.org/comment'><short-id>e1</short-id></os> -->"
        "<os id='http://example.org/e/1'>\n<short-id>e</short-id><short-id> e1 </short-id></os></l>"
    )
    root = make(tmp_path, BASE, inspection=replace(LINUX, osinfo="e1"))
    assert [found.get("id") for found in root.iter("{*}os") if found.get("id")] == ["http://example.org/e/1"]


def test_an_operating_system_that_libosinfo_does_not_have_is_no_warning(tmp_path: Path, osinfo: Path) -> None:
    (osinfo / "a.xml").write_text("<l><os id='http://example.org/e/1'><short-id>e1</short-id></os></l>")
    report = FakeReporter()
    root = make(tmp_path, BASE, inspection=replace(LINUX, osinfo="e2"), report=report)
    assert root.find("metadata") is None
    assert report.warnings == []
    assert report.debugs == ["libosinfo's database does not have the operating system 'e2'"]


def test_everything_that_is_lost_is_a_warning(tmp_path: Path) -> None:
    report = FakeReporter()
    guest = replace(
        BASE,
        nics=(Nic(kind="bridge", network="VM Network"), Nic(mac="x")),
        cpu=Cpu(count=3, topology=Topology(sockets=1, cores=2, threads=1)),
        removables=(FLOPPY,),
        display=Display(kind="vnc", listen="a b"),
        sound="gus",
    )
    make(tmp_path, guest, floppies=False, report=report)
    assert len(report.warnings) == 6


#: What the conversion gives a Windows for which there are no virtio drivers.
NO_DRIVERS = Capabilities(block_bus=Bus.SATA, net_model="e1000e", rtc_utc=False)


@pytest.mark.parametrize(
    ("inspection", "capabilities", "firmware", "secure"),
    [
        (WINDOWS, replace(ALL, rtc_utc=False), Firmware.UEFI, False),
        (WINDOWS, replace(ALL, rtc_utc=False), Firmware.BIOS, False),
        (WINDOWS_11, replace(ALL, rtc_utc=False), Firmware.UEFI, True),
        (WINDOWS_7, replace(ALL, rtc_utc=False, arch="i386"), Firmware.BIOS, False),
        (WINDOWS_7, replace(NO_DRIVERS, arch="i386"), Firmware.BIOS, False),
        (WINDOWS_XP, Capabilities(block_bus=Bus.IDE, net_model="rtl8139", machine="i440fx"), Firmware.BIOS, False),
        (replace(WINDOWS, osinfo="win2k25"), replace(ALL, block_bus=Bus.VIRTIO_SCSI), Firmware.UEFI, True),
    ],
)
def test_libvirt_accepts_windows(
    tmp_path: Path, inspection: Inspection, capabilities: Capabilities, firmware: Firmware, secure: bool
) -> None:
    guest = replace(BASE, secure_boot=secure)
    root = make(tmp_path, guest, capabilities, firmware, inspection=inspection)
    define = firmware is Firmware.BIOS and capabilities.arch == "x86_64"
    check_with_libvirt(root, tmp_path, define=define)


@pytest.mark.parametrize(
    ("inspection", "hyperv"), [(WINDOWS, True), (WINDOWS_7, True), (WINDOWS_XP, False), (LINUX, None)]
)
def test_timers_and_hypervs_interface(tmp_path: Path, inspection: Inspection, hyperv: bool | None) -> None:
    root = make(tmp_path, BASE, replace(ALL, rtc_utc=False), inspection=inspection)
    clock = root.find("clock")
    assert clock is not None
    assert clock.get("offset") == "localtime"
    timers = [dict(timer.attrib) for timer in clock]
    expected = [
        {"name": "rtc", "tickpolicy": "catchup"},
        {"name": "pit", "tickpolicy": "delay"},
        {"name": "hpet", "present": "no"},
        *([{"name": "hypervclock", "present": "yes"}] if hyperv else []),
    ]
    assert timers == (expected if hyperv is not None else [])
    found = {element.tag: dict(element.attrib) for element in root.iterfind("features/hyperv/*")}
    on = {"state": "on"}
    assert found == ({"relaxed": on, "vapic": on, "spinlocks": {**on, "retries": "8191"}} if hyperv else {})


def test_hypervs_interface_is_kvms_and_the_timers_are_those_of_a_pc(tmp_path: Path) -> None:
    emulated = make(tmp_path, BASE, inspection=WINDOWS, domain_type="qemu")
    assert emulated.find("features/hyperv") is None
    assert [timer.get("name") for timer in emulated.iterfind("clock/timer")] == ["rtc", "pit", "hpet"]
    arm = replace(ALL, arch="aarch64", machine="virt")
    root = make(tmp_path, BASE, arm, Firmware.UEFI, inspection=replace(WINDOWS_11, arch="aarch64"))
    assert root.find("features/hyperv") is None
    assert root.find("clock/timer") is None
    assert [tpm.get("model") for tpm in root.iterfind("devices/tpm")] == ["tpm-tis"]


@pytest.mark.parametrize(
    ("inspection", "firmware", "source", "version"),
    [
        (WINDOWS_11, Firmware.UEFI, None, "2.0"),
        (WINDOWS_11, Firmware.UEFI, "1.2", "2.0"),
        (WINDOWS_11, Firmware.BIOS, None, None),
        (WINDOWS, Firmware.UEFI, None, None),
        (replace(WINDOWS, osinfo="win2k25"), Firmware.UEFI, "2.0", "2.0"),
    ],
)
def test_windows_11_has_a_tpm(
    tmp_path: Path, inspection: Inspection, firmware: Firmware, source: str | None, version: str | None
) -> None:
    root = make(tmp_path, replace(BASE, tpm=source), ALL, firmware, inspection=inspection)
    found = [(tpm.get("model"), backend.get("version")) for tpm in root.iterfind("devices/tpm") for backend in tpm]
    assert found == ([("tpm-crb", version)] if version else [])


def test_a_windows_without_drivers_gets_what_it_has_drivers_for(tmp_path: Path) -> None:
    root = make(tmp_path, BASE, NO_DRIVERS, inspection=WINDOWS)
    assert {disk.get("bus") for disk in root.iterfind("devices/disk/target")} == {"sata"}
    assert {model.get("type") for model in root.iterfind("devices/interface/model")} == {"e1000e"}
    assert [model.get("type") for model in root.iterfind("devices/video/model")] == ["vga"]
    assert root.find("devices/sound") is None
    assert next((one.get("type"), one.get("bus")) for one in root.iterfind("devices/input")) == ("tablet", "usb")


def test_a_windows_that_is_too_new_for_libosinfo_is_the_one_before(tmp_path: Path, osinfo: Path) -> None:
    (osinfo / "a.xml").write_text(
        "<l><os id='http://microsoft.com/win/2k19'><short-id>win2k19</short-id></os>"
        "<os id='http://microsoft.com/win/10'><short-id>win10</short-id></os></l>"
    )
    for name, identifier in (("win2k25", "2k19"), ("win11", "10")):
        root = make(tmp_path, BASE, inspection=replace(WINDOWS, osinfo=name))
        found = [found.get("id") for found in root.iter("{*}os") if found.get("id")]
        assert found == [f"http://microsoft.com/win/{identifier}"]
