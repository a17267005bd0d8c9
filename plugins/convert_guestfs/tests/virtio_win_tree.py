# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-win tree and ISO with the layout of the real one, for tests. Nothing of the real drivers is in it.

The ``.sys`` files are real native programs that mingw-w64 built for the right machine, and do nothing. (It builds none
for ARM64: those have the machine type of ARM64 and code of x86-64.) The ``.inf`` and ``.cat`` files are made here.
"""

from __future__ import annotations

import functools
import struct
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from virtio_win_catalogue import Signer, authenticode_digest, catalogue

_SCSI, _NET = "{4D36E97B-E325-11CE-BFC1-08002BE10318}", "{4D36E972-E325-11CE-BFC1-08002BE10318}"
_SYSTEM, _DISPLAY = "{4D36E97D-E325-11CE-BFC1-08002BE10318}", "{4D36E968-E325-11CE-BFC1-08002BE10318}"
_HID = "{745A17A0-74D3-11D0-B6FE-00A0C90F57DA}"


@dataclass(frozen=True)
class Driver:
    """A driver of virtio-win.

    :param inf: its INF, SYS and CAT without the ending. :param service: :param ids: hardware ids.
    :param systems: the directories of the Windows that it is for. :param more: further files.
    """

    directory: str
    inf: str
    service: str
    device_class: str
    guid: str
    ids: tuple[str, ...]
    systems: tuple[str, ...]
    more: tuple[str, ...] = ()


OLD = ("xp", "2k3")
VISTA = ("2k8",)
SEVEN = ("w7", "2k8R2")
EIGHT = ("w8", "2k12", "w8.1", "2k12R2")
TEN = ("w10", "2k16", "2k19", "w11", "2k22", "2k25")
NT6 = (*VISTA, *SEVEN, *EIGHT, *TEN)

#: The version of NT that a directory stands for, as an INF and a program name it.
VERSIONS = {
    "xp": (5, 1),
    "2k3": (5, 2),
    "2k8": (6, 0),
    "w7": (6, 1),
    "2k8R2": (6, 1),
    "w8": (6, 2),
    "2k12": (6, 2),
    "w8.1": (6, 3),
    "2k12R2": (6, 3),
    **dict.fromkeys(TEN, (10, 0)),
}
_ONLY_CLIENTS = ("w7", "w8", "w8.1", "w10", "w11", "xp")


def _virtio(old: int | None, new: int, kind: int) -> tuple[str, ...]:
    modern = f"PCI\\VEN_1AF4&DEV_{new:04X}"
    ids = (f"{modern}&SUBSYS_11001AF4&REV_01", modern)
    if old is None:
        return ids
    legacy = f"PCI\\VEN_1AF4&DEV_{old:04X}"
    return (f"{legacy}&SUBSYS_{kind:04X}1AF4&REV_00", legacy, *ids)


DRIVERS = (
    Driver("viostor", "viostor", "viostor", "SCSIAdapter", _SCSI, _virtio(0x1001, 0x1042, 2), (*OLD, *NT6)),
    Driver("vioscsi", "vioscsi", "vioscsi", "SCSIAdapter", _SCSI, _virtio(0x1004, 0x1048, 8), NT6),
    Driver(
        *("NetKVM", "netkvm", "netkvm", "Net", _NET, _virtio(0x1000, 0x1041, 1), (*OLD, *NT6)),
        ("netkvmco.dll", "netkvmp.exe"),
    ),
    Driver(
        *("Balloon", "balloon", "BALLOON", "System", _SYSTEM, _virtio(0x1002, 0x1045, 5), (*OLD, *NT6)), ("blnsvr.exe",)
    ),
    Driver("viorng", "viorng", "VirtRng", "System", _SYSTEM, _virtio(0x1005, 0x1044, 4), NT6, ("viorngum.dll",)),
    Driver("vioserial", "vioser", "VirtioSerial", "System", _SYSTEM, _virtio(0x1003, 0x1043, 3), (*OLD, *NT6)),
    Driver("viosock", "viosock", "VirtioSocket", "System", _SYSTEM, _virtio(None, 0x1053, 0), TEN, ("viosocklib.dll",)),
    Driver("pvpanic", "pvpanic", "pvpanic", "System", _SYSTEM, ("ACPI\\QEMU0001",), (*SEVEN, *EIGHT, *TEN)),
    Driver("fwcfg", "fwcfg", "FwCfg", "System", _SYSTEM, ("ACPI\\VEN_QEMU&DEV_0002",), (*EIGHT, *TEN)),
    Driver("qemufwcfg", "qemufwcfg", "", "System", _SYSTEM, ("ACPI\\VEN_QEMU&DEV_0002",), (*SEVEN, *EIGHT, *TEN)),
    Driver(
        "viofs", "viofs", "VirtioFsDrv", "System", _SYSTEM, _virtio(None, 0x105A, 0), (*EIGHT, *TEN), ("virtiofs.exe",)
    ),
    Driver(
        "qxl", "qxl", "qxl", "Display", _DISPLAY, ("PCI\\VEN_1B36&DEV_0100",), (*OLD, *VISTA, *SEVEN), ("qxldd.dll",)
    ),
    Driver("qxldod", "qxldod", "qxldod", "Display", _DISPLAY, ("PCI\\VEN_1B36&DEV_0100",), (*EIGHT, *TEN)),
    Driver("viogpudo", "viogpudo", "VioGpuDod", "Display", _DISPLAY, _virtio(None, 0x1050, 0), TEN, ("vgpusrv.exe",)),
    Driver("vioinput", "vioinput", "VirtioInput", "HIDClass", _HID, _virtio(None, 0x1052, 0), (*SEVEN, *EIGHT, *TEN)),
)
DRIVER = {driver.inf: driver for driver in DRIVERS}
_MACHINES = {"x86": 0x14C, "amd64": 0x8664, "ARM64": 0xAA64}

_SOURCE = """
__attribute__((section(".data"))) volatile char made_for[64] = "MADE-FOR:";
int __stdcall DriverEntry(void *driver, void *path) { (void)driver; (void)path; return made_for[0] ? 0 : 1; }
"""


def make_tree(
    directory: Path,
    layout: Literal["iso", "package"] = "iso",
    *,
    signer: Signer | None = Signer.MICROSOFT,
    drivers: Collection[str] | None = None,
    systems: Collection[str] | None = None,
) -> Path:
    """Write a tree of virtio-win and return the directory.

    :param layout: of the ISO, or of the RPM package below ``/usr/share/virtio-win``.
    :param signer: None for drivers without catalogues. :param drivers: directories such as ``viostor``; None for all.
    :param systems: directories of Windows such as ``w7``; None for all.
    """
    for driver in DRIVERS:
        if drivers is not None and driver.directory not in drivers:
            continue
        for system in driver.systems:
            if systems is not None and system not in systems:
                continue
            for machine in machines(system):
                files = driver_files(driver, system, machine, signer=signer)
                for place in _places(layout, driver, system, machine):
                    _write(directory / place, files)
    _write(directory / "guest-agent", dict.fromkeys(AGENTS, b"a stand-in for an installer\n"))
    _write(directory / "data", {"netkvm.inf": b"; not a driver\r\n", "viostor.sys": b"not a driver\r\n"})
    _write_traps(directory, layout, signer)
    return directory


AGENTS = ("qemu-ga-i386.msi", "qemu-ga-x86_64.msi")


def make_iso(tree: Path, path: Path) -> Path:
    """Write an ISO image of a tree, with Rock Ridge and Joliet names, and return its path."""
    words = ("xorriso", "-as", "mkisofs", "-quiet", "-J", "-joliet-long", "-R", "-V", "virtio-win-0.1.test")
    subprocess.run([*words, "-o", str(path), str(tree)], check=True, capture_output=True)
    return path


def machines(system: str) -> tuple[str, ...]:
    """Return the directories of machines that a Windows has: its 32-bit edition, its 64-bit edition, that for ARM."""
    narrow = ("x86",) if system in (*_ONLY_CLIENTS, "2k3", "2k8") and system != "w11" else ()
    wide = ("amd64",) if system != "xp" else ()
    return (*narrow, *wide, *(("ARM64",) if system in {"w10", "w11", "2k25"} else ()))


def driver_files(
    driver: Driver, system: str, machine: str, *, signer: Signer | None = Signer.MICROSOFT, digest: str | None = None
) -> dict[str, bytes]:
    """Return the files of a driver for one Windows.

    :param machine: ``x86``, ``amd64`` or ``ARM64``. :param digest: of the catalogue; None for what the Windows knows.
    """
    files = {f"{driver.inf}.inf": inf_of(driver, system, machine)}
    if driver.service:
        files[f"{driver.inf}.sys"] = program(machine, f"{driver.inf} {system}", VERSIONS[system])
    for name in driver.more:
        files[name] = program(machine, f"{name} {system}", VERSIONS[system])
    if signer is not None:
        digest = digest or ("sha1" if VERSIONS[system] < (6, 2) else "sha256")
        files[f"{driver.inf}.cat"] = catalogue(files, signer, digest)
    files[f"{driver.inf}.pdb"] = b"symbols, for nobody\n"
    return files


def program(machine: str, name: str, version: tuple[int, int]) -> bytes:
    """Return a native program for a machine (``x86``, ``amd64``, ``ARM64``) and a version of Windows."""
    built = bytearray(_built("x86" if machine == "x86" else "amd64"))
    place = built.index(b"MADE-FOR:")
    built[place : place + 64] = f"MADE-FOR:{name} {machine}".encode().ljust(64, b"\0")
    head = struct.unpack_from("<I", built, 0x3C)[0]
    struct.pack_into("<H", built, head + 4, _MACHINES[machine])
    for offset in (40, 48):  # the versions of the operating system and of the subsystem
        struct.pack_into("<HH", built, head + 24 + offset, *version)
    return bytes(built)


@functools.cache
def _built(machine: str) -> bytes:
    prefix = {"x86": "i686", "amd64": "x86_64"}[machine]
    entry = {"x86": "_DriverEntry@8", "amd64": "DriverEntry"}[machine]
    with tempfile.TemporaryDirectory() as name:
        source, built = Path(name, "driver.c"), Path(name, "driver.sys")
        source.write_text(_SOURCE)
        words = ("-O1", "-nostdlib", "-ffreestanding", "-s", "-Wl,--subsystem,native", f"-Wl,-e{entry}")
        compiler = f"{prefix}-w64-mingw32-gcc"
        subprocess.run([compiler, *words, "-o", str(built), str(source)], check=True, capture_output=True)
        return built.read_bytes()


def inf_of(driver: Driver, system: str, machine: str) -> bytes:
    """Return the INF of a driver, with the sections of the real ones."""
    architecture = {"x86": "x86", "amd64": "amd64", "ARM64": "arm64"}[machine]
    version = VERSIONS[system]
    # Windows up to XP knows no decorations.
    decoration = "" if version < (5, 1) else f"NT{architecture}.{version[0]}.{version[1]}"
    if version < (6, 0):
        decoration = f"NT{architecture}"
    storage = driver.device_class == "SCSIAdapter"
    start = 0 if storage else 3
    models = "".join(f"%Device.Desc% = Device_Inst, {name}\n" for name in driver.ids)
    service = (
        f"""
[Device_Inst.Services]
AddService = {driver.service}, 0x00000002, Service_Inst

[Service_Inst]
DisplayName    = %Service.Desc%
ServiceType    = 1 ; SERVICE_KERNEL_DRIVER
StartType      = {start}
ErrorControl   = 1 ; SERVICE_ERROR_NORMAL
ServiceBinary  = %12%\\{driver.inf}.sys
"""
        + ("LoadOrderGroup = SCSI Miniport\nAddReg         = pnpsafe_addreg\n" if storage else "")
        if driver.service
        else """
[Device_Inst.Services]
AddService = , 2
"""
    )
    safe = (
        """
[pnpsafe_addreg]
HKR, "Parameters\\PnpInterface", "5", 0x00010001, 0x00000001
HKR, "Parameters", "BusType", 0x00010001, 0x0000000A
"""
        if storage
        else ""
    )
    files = "".join(f"{name}\n" for name in ((f"{driver.inf}.sys", *driver.more) if driver.service else ()))
    copied = f"CopyFiles = Driver_Copy\n\n[Driver_Copy]\n{files}" if files else ""
    sources = "".join(f"{name} = 1,,\n" for name in files.split())
    year = 2024 if version >= (10, 0) else 2021
    return (
        (
            f"""\
;/*++
; INF file of the tests' own {driver.directory}
;--*/
[Version]
Signature   = "$WINDOWS NT$"
Class       = {driver.device_class}
ClassGUID   = {driver.guid}
Provider    = %Vendor%
DriverVer   = 09/14/{year},100.95.104.26200
CatalogFile = {driver.inf}.cat
PnpLockdown = 1

[DestinationDirs]
DefaultDestDir = 12

[SourceDisksNames]
1 = %Disk%,,,""

[SourceDisksFiles]
{sources}
[Manufacturer]
%Vendor% = Models{"," if decoration else ""}{decoration}

[Models{"." if decoration else ""}{decoration}]
{models}
[Device_Inst]
{copied}
[Device_Inst.HW]
AddReg = MSI_Reg

[MSI_Reg]
HKR, "Interrupt Management",, 0x00000010
HKR, "Interrupt Management\\MessageSignaledInterruptProperties",, 0x00000010
HKR, "Interrupt Management\\MessageSignaledInterruptProperties", MSISupported, 0x00010001, 1
{service}{safe}
[Strings]
Vendor       = "Tests of v2v, not Red Hat, Inc."
Device.Desc  = "Test driver of {driver.directory}"
Service.Desc = "Test service of {driver.directory}"
Disk         = "Tests' disk"
"""
        )
        .replace("\n", "\r\n")
        .encode("ascii")
    )


def _places(layout: str, driver: Driver, system: str, machine: str) -> Iterator[str]:
    if layout == "iso":
        yield f"{driver.directory}/{system}/{machine}"
        # The top of the ISO has the drivers that a set-up of Windows needs, by system.
        if driver.directory in {"viostor", "vioscsi", "NetKVM"} and machine != "ARM64":
            yield f"{ {'x86': 'i386'}.get(machine, machine) }/{system}"
        return
    yield f"drivers/by-driver/{driver.directory}/{system}/{machine}"
    yield f"drivers/by-os/{ {'x86': 'i386'}.get(machine, machine) }/{system}"


def _write_traps(directory: Path, layout: str, signer: Signer | None) -> None:
    """Write what the real tree has as well, and which is for no ordinary guest: NetKVM as a protocol for SR-IOV."""
    trap = Driver("NetKVM", "vioprot", "VioProt", "NetTrans", _NET, ("VIOPROT",), TEN)
    net = DRIVER["netkvm"]
    above = "" if layout == "iso" else "drivers/by-driver/"
    _write(directory / f"{above}NetKVM/2k19/amd64", driver_files(trap, "2k19", "amd64", signer=signer))
    _write(directory / f"{above}sriov/2k19/amd64", driver_files(net, "2k19", "amd64", signer=None))


def _write(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


__all__ = [
    "DRIVER",
    "DRIVERS",
    "Driver",
    "Signer",
    "authenticode_digest",
    "driver_files",
    "make_iso",
    "make_tree",
    "program",
]
