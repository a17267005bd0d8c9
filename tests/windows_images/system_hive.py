# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in the hive SYSTEM of a phony guest: keys and values as real hives have them, of those that matter here."""

from __future__ import annotations

import ipaddress
from typing import Any

from windows_images.places import Place
from windows_images.recipe import Nic, Windows
from windows_images.regf import Tree, Value, at, binary, dword, expand_sz, merged, multi_sz, sz

SCSI_CLASS = "{4D36E97B-E325-11CE-BFC1-08002BE10318}"
_NET_CLASS = "{4d36e972-e325-11ce-bfc1-08002be10318}"

#: Drivers that start with Windows, by their groups.
_BOOT_DRIVERS = {
    "ACPI": ("acpi.sys", "Core"),
    "atapi": ("atapi.sys", "SCSI miniport"),
    "disk": ("disk.sys", ""),
    "LSI_SAS": ("lsi_sas.sys", "SCSI Miniport"),
    "mountmgr": ("mountmgr.sys", "System Bus Extender"),
    "NDIS": ("ndis.sys", "NDIS Wrapper"),
    "partmgr": ("partmgr.sys", "Boot Bus Extender"),
    "pci": ("pci.sys", "Boot Bus Extender"),
    "volmgr": ("volmgr.sys", "System Bus Extender"),
    "volsnap": ("volsnap.sys", ""),
}
_LATER_BOOT_DRIVERS = {
    "storahci": ("storahci.sys", "SCSI Miniport"),
    "stornvme": ("stornvme.sys", "SCSI Miniport"),
}
_LSI_SAS_DEVICES = ("VEN_1000&DEV_0050", "VEN_1000&DEV_0054", "VEN_1000&DEV_0056", "VEN_1000&DEV_0058")
_NICS = {
    "e1000e": ("VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00", "Intel(R) 82574L Gigabit Network Connection"),
    "e1000": ("VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01", "Intel(R) PRO/1000 MT Network Connection"),
    "vmxnet3": ("VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01", "vmxnet3 Ethernet Adapter"),
}


def system_tree(recipe: Windows, places: dict[str, Place]) -> Tree:
    """Return the content of the hive.

    :param places: the partitions by their letters.
    """
    select = {"Current": recipe.current, "Default": recipe.default, "Failed": 0, "LastKnownGood": recipe.current}
    control_set = _control_set(recipe)
    setup = {"SystemSetupInProgress": dword(0), "SetupType": dword(0), "SetupPhase": dword(0), "CmdLine": sz("")}
    return merged(
        {f"ControlSet{number:03}": control_set for number in recipe.control_sets},
        {"Select": {name: dword(number) for name, number in select.items()}},
        {"MountedDevices": mounted_devices(places)},
        {"Setup": {**setup, "SystemPartition": sz(r"\Device\HarddiskVolume1"), "OsLoaderPath": sz("\\")}},
        _driver_database(recipe) if recipe.driver_database else {},
        recipe.system,
    )


def mounted_devices(places: dict[str, Place]) -> dict[str, Value]:
    """Return the values of MountedDevices: each partition by its letter and by the identifier of its volume."""
    values: dict[str, Value] = {}
    for number, (letter, place) in enumerate(places.items(), start=1):
        values[rf"\DosDevices\{letter}:"] = binary(place.mounted_device)
        values[rf"\??\Volume{{656b17{number:02}-ecf6-11df-92e6-806e6f6e6963}}"] = binary(place.mounted_device)
    return values


def _control_set(recipe: Windows) -> Tree:
    processor = {"i386": "x86", "x86_64": "AMD64"}[recipe.arch]
    environment = {
        "ComSpec": expand_sz(r"%SystemRoot%\system32\cmd.exe"),
        "OS": sz("Windows_NT"),
        "Path": expand_sz(r"%SystemRoot%\system32;%SystemRoot%;%SystemRoot%\System32\Wbem"),
        "PROCESSOR_ARCHITECTURE": sz(processor),
        "windir": expand_sz("%SystemRoot%"),
    }
    name = recipe.name.upper()[:15]
    control = {
        "ComputerName": {"ComputerName": {"ComputerName": sz(name)}},
        "CrashControl": {"AutoReboot": dword(1), "CrashDumpEnabled": dword(7)},
        "ProductOptions": {"ProductType": sz(recipe.kind), "ProductSuite": multi_sz("Terminal Server")},
        "Session Manager": {
            "BootExecute": multi_sz("autocheck autochk *"),
            "Environment": environment,
            "Power": {"HiberbootEnabled": dword(0)},
        },
        "TimeZoneInformation": {"Bias": dword(0xFFFFFFC4), "TimeZoneKeyName": sz("W. Europe Standard Time")},
        "Class": {
            "{4d36e967-e325-11ce-bfc1-08002be10318}": {
                "Class": sz("DiskDrive"),
                "UpperFilters": multi_sz("partmgr"),
            },
            "{4d36e97b-e325-11ce-bfc1-08002be10318}": {"Class": sz("SCSIAdapter")},
        },
        "SystemStartOptions": sz(" NOEXECUTE=OPTOUT"),
        "SystemBootDevice": sz(f"multi(0)disk(0)rdisk(0)partition({3 if recipe.uefi else 1})"),
        "FirmwareBootDevice": sz("multi(0)disk(0)rdisk(0)partition(1)"),
    }
    whole: list[Tree] = [
        {"Control": control, "Services": _services(recipe)},
        at(r"Services\Tcpip\Parameters", {"Hostname": sz(name), "Domain": sz(""), "NameServer": sz("")}),
    ]
    if not recipe.driver_database:
        entry = {"Service": sz("LSI_SAS"), "ClassGUID": sz(SCSI_CLASS)}
        entries = {f"PCI#{device}": entry for device in _LSI_SAS_DEVICES}
        whole.append(at(r"Control\CriticalDeviceDatabase", entries))
    whole += [_nic(number, nic) for number, nic in enumerate(recipe.nics)]
    return merged(*whole)


def _services(recipe: Windows) -> Tree:
    drivers = {**_BOOT_DRIVERS, **(_LATER_BOOT_DRIVERS if recipe.driver_database else {})}
    services: dict[str, Any] = {}
    for name, (file, group) in drivers.items():
        services[name] = {
            "Type": dword(1),
            "Start": dword(0),
            "ErrorControl": dword(1),
            "ImagePath": expand_sz(rf"System32\drivers\{file}"),
            **({"Group": sz(group)} if group else {}),
        }
    services["partmgr"]["Parameters"] = {"SanPolicy": dword(1 if recipe.kind == "WinNT" else 2)}
    if recipe.driver_database:
        services["LSI_SAS"]["Owners"] = multi_sz("lsi_sas.inf")
    if recipe.tools:
        services["VMTools"] = {
            "Type": dword(0x10),
            "Start": dword(2),
            "ErrorControl": dword(1),
            "ImagePath": expand_sz(r'"C:\Program Files\VMware\VMware Tools\vmtoolsd.exe"'),
            "DisplayName": sz("VMware Tools"),
            "ObjectName": sz("LocalSystem"),
        }
        services["vmci"] = {
            "Type": dword(1),
            "Start": dword(0),
            "ErrorControl": dword(0),
            "Group": sz("System Bus Extender"),
            "ImagePath": expand_sz(r"System32\drivers\vmci.sys"),
        }
    return services


def _driver_database(recipe: Windows) -> Tree:
    """Return the part of the database of drivers that the disk controller of the source has."""
    label = f"lsi_sas.inf_{'amd64' if recipe.arch == 'x86_64' else 'x86'}_74bb5e3e01cfd526"
    version = "ffff0900000000007be9364d25e3ce11bfc108002be103180000dfdbb429ce0153000300220001000000000000000000"
    package = {
        "": sz("lsi_sas.inf"),
        "Provider": sz("LSI"),
        "SignerScore": dword(0x0D000003),
        "StatusFlags": dword(0x116),
        "Version": binary(bytes.fromhex(version)),
        "Configurations": {"LSI_SAS_Inst": {"ConfigFlags": dword(0), "Service": sz("LSI_SAS")}},
        "Descriptors": {"PCI": {device: {"Configuration": sz("LSI_SAS_Inst")} for device in _LSI_SAS_DEVICES}},
        "Strings": {"lsi": sz("LSI")},
    }
    inf = {"": multi_sz(label), "Active": sz(label), "Configurations": multi_sz("LSI_SAS_Inst")}
    devices = {device: {"lsi_sas.inf": binary(bytes.fromhex("01ff0000"))} for device in _LSI_SAS_DEVICES}
    return {
        "DriverDatabase": {
            "DeviceIds": {"PCI": devices},
            "DriverInfFiles": {"lsi_sas.inf": inf},
            "DriverPackages": {label: package},
        }
    }


def _nic(number: int, nic: Nic) -> Tree:
    """Return a network card: its device, its driver's settings, its connection, and its addresses."""
    device, description = _NICS[nic.kind]
    connection = f"{{C43669B{number}-AB3E-4D0E-8FDE-69579925A20F}}"
    octets = nic.mac.replace(":", "").upper()
    bus, slot = (2, number + 1) if nic.kind == "e1000" else (3 + 8 * number, 0)
    instance = {
        "e1000": f"4&b70f118&0&{8 * number + 8:02X}88",
        # PCI Express devices have a serial number, and VMware's cards one with the MAC address in it
        "e1000e": f"{octets[:6]}FFFF{octets[6:]}00",
        "vmxnet3": f"FF{octets[4:6]}{octets[2:4]}{octets[:2]}{octets[10:]}{octets[8:10]}{octets[6:8]}FE00",
    }[nic.kind]
    path = rf"PCI\{device}\{instance}"
    addresses: dict[str, Value] = {"EnableDHCP": dword(0 if nic.address else 1), "Domain": sz("")}
    addresses["NameServer"] = sz(",".join(nic.dns))
    if nic.address:
        interface = ipaddress.ip_interface(nic.address)
        addresses["IPAddress"] = multi_sz(str(interface.ip))
        addresses["SubnetMask"] = multi_sz(str(interface.netmask))
        addresses["DefaultGateway"] = multi_sz(*([nic.gateway] if nic.gateway else []))
        addresses["DefaultGatewayMetric"] = multi_sz(*(["0"] if nic.gateway else []))
    own = {
        "DriverDesc": sz(description),
        "NetCfgInstanceId": sz(connection),
        "DeviceInstanceID": sz(path),
        "ComponentId": sz(rf"PCI\{device.partition('&SUBSYS')[0]}"),
    }
    driver = rf"{_NET_CLASS}\{number:04}"
    enumerated = {
        "Class": sz("Net"),
        "ClassGUID": sz(_NET_CLASS),
        "Driver": sz(driver),
        "DeviceDesc": sz(description),
        "HardwareID": multi_sz(rf"PCI\{device}"),
        "LocationInformation": sz(
            rf"@System32\drivers\pci.sys,#65536;PCI bus %1, device %2, function %3;({bus},{slot},0)"
        ),
    }
    return merged(
        at(rf"Control\Class\{driver}", own),
        at(
            rf"Control\Network\{_NET_CLASS.upper()}\{connection}\Connection",
            {"Name": sz(nic.name), "PnPInstanceId": sz(path)},
        ),
        at(rf"Enum\{path}", enumerated),
        at(rf"Services\Tcpip\Parameters\Interfaces\{connection.lower()}", addresses),
    )
