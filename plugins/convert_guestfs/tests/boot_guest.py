# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated Windows guest with several disks and partitions, for tests of how Windows starts.

Partition tables are real bytes, file systems are dictionaries, and the boot configuration is read and written by the
real hivex.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from v2v_convert_guestfs.windows.registry.values import Value
from v2v_core.api import DiskEndpoint, Firmware, Guest, SourceDisk
from windows_guest import SimulatedAppliance, SimulatedFiles, SimulatedGuest, windows_guest

MIB = 1024 * 1024
ESP_TYPE = uuid.UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
DATA_TYPE = uuid.UUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")


@dataclass
class SimulatedDisk:
    """A disk: some bytes at their offsets, zeros elsewhere."""

    size: int
    parts: dict[int, bytes] = field(default_factory=dict)

    def read(self, offset: int, count: int) -> bytes:
        data = bytearray(max(0, min(count, self.size - offset)))
        for start, part in self.parts.items():
            low, high = max(start, offset), min(start + len(part), offset + len(data))
            if low < high:
                data[low - offset : high - offset] = part[low - start : high - start]
        return bytes(data)


def mbr_disk(
    signature: int, *partitions: tuple[int, int, bool], size: int = 8192 * MIB, kind: int = 7
) -> SimulatedDisk:
    """Return a disk with an MBR; partitions are first sector, sectors, active."""
    table = b"".join(
        struct.pack("<B3xB3xII", 0x80 if active else 0, kind, start, count) for start, count, active in partitions
    )
    sector = bytes(0x1B8) + struct.pack("<IH", signature, 0) + table.ljust(64, b"\0") + b"\x55\xaa"
    return SimulatedDisk(size, {0: sector})


def gpt_disk(guid: uuid.UUID, *partitions: tuple[int, int, uuid.UUID, uuid.UUID], sector: int = 512) -> SimulatedDisk:
    """Return a disk with a GPT; partitions are first and last sector, type, own GUID."""
    protective = bytes(446) + struct.pack("<B3xB3xII", 0, 0xEE, 1, 0xFFFFFFFF).ljust(64, b"\0") + b"\x55\xaa"
    header = b"EFI PART" + struct.pack("<IIII", 0x10000, 92, 0, 0) + struct.pack("<QQQQ", 1, 0, 34, 0)
    header += guid.bytes_le + struct.pack("<QIII", 2, 128, 128, 0)
    table = b"".join(
        (kind.bytes_le + own.bytes_le + struct.pack("<QQ", start, end)).ljust(128, b"\0")
        for start, end, kind, own in partitions
    )
    return SimulatedDisk(65536 * MIB, {0: protective, sector: header, 2 * sector: table})


class BootAppliance(SimulatedAppliance):
    """A simulated appliance with disks, partitions that can be mounted, and hives."""

    def __init__(
        self, disks: list[SimulatedDisk], volumes: Mapping[str, Mapping[str, bytes]], root: str, place: Path
    ) -> None:
        super().__init__(volumes[root], ("/Windows/System32/config/systemprofile", "/Windows/System32/drivers/etc"))
        self.disks = {f"/dev/sd{'abcdefgh'[i]}": disk for i, disk in enumerate(disks)}
        self.volumes = {device: dict(files) for device, files in volumes.items() if device != root}
        self.sectors: dict[str, bytes] = {}
        self.mounted = {root: "/"}
        self.written: dict[tuple[str, int], bytes] = {}
        #: Calls that fail, and what for.
        self.failing: dict[str, str] = {}
        self._hidden: dict[str, tuple[dict[str, bytes], set[str]]] = {}
        self._writable: set[str] = set()
        self._place, self._hive, self._opened = place, None, ""

    def list_devices(self) -> list[str]:
        return list(self.disks)

    def blockdev_getsize64(self, device: str) -> int:
        return self.disks[device].size

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        if device in self.disks:
            return self.disks[device].read(offset, count)
        return self.sectors.get(device, bytes(512))[offset : offset + count]

    def pwrite_device(self, device: str, data: bytes, offset: int) -> int:
        self.written[device, offset] = data
        return len(data)

    def mountpoints(self) -> dict[str, str]:
        return dict(self.mounted)

    def mount_ro(self, device: str, place: str) -> None:
        if device not in self.volumes:
            raise RuntimeError(f"mount_ro: {device}: wrong fs type")
        assert place in self.directories, "a file system is mounted on a directory that exists"
        self._hidden[place] = dict(self.files), set(self.directories)
        self.rm_rf(place)
        self.files |= {f"{place}{name}": data for name, data in self.volumes[device].items()}
        self.directories.add(place)
        for name in self.volumes[device]:
            self._add_above(f"{place}{name}")
        self.mounted[device] = place

    def mount(self, device: str, place: str) -> None:
        self.mount_ro(device, place)
        self._writable.add(device)

    def umount(self, place: str) -> None:
        device = next(device for device, where in self.mounted.items() if where == place)
        del self.mounted[device]
        now = {name[len(place) :]: data for name, data in self.files.items() if name.startswith(f"{place}/")}
        assert device in self._writable or now == self.volumes[device], "it is mounted read-only"
        self._writable.discard(device)
        self.volumes[device] = now
        outside = {name: data for name, data in self.files.items() if not name.startswith(f"{place}/")}
        hidden, self.directories = self._hidden.pop(place)
        self.files = {name: data for name, data in hidden.items() if name.startswith(f"{place}/")} | outside

    def equal(self, first: str, second: str) -> bool:
        return self.files[first] == self.files[second]

    def cp(self, old: str, new: str) -> None:
        if "cp" in self.failing:
            raise RuntimeError(f"cp: {self.failing['cp']}")
        self.write(new, self.files[old])

    def mv(self, old: str, new: str) -> None:
        self.rename(old, new)

    def mkdir_p(self, path: str) -> None:
        self.directories.add(path)
        self._add_above(path)

    # the appliance's hivex, by the real one of this host

    def hivex_open(self, path: str, *, write: bool = False) -> None:
        import hivex

        class Hive(hivex.Hivex):
            def __del__(self) -> None:
                # that of the binding fails where the hive could not be opened
                if hasattr(self, "_o"):
                    super().__del__()

        assert self._hive is None, "libguestfs has one hive open at a time"
        file = self._place / "opened"
        file.write_bytes(self.files[path])
        self._hive, self._opened = Hive(str(file), write=write), path

    def hivex_close(self) -> None:
        self._hive = None

    def hivex_commit(self, filename: str | None) -> None:
        assert filename is None
        if "commit" in self.failing:
            self.write(self._opened, b"half")
            raise RuntimeError(f"hivex_commit: {self.failing['commit']}")
        self._hive.commit(None)
        self.write(self._opened, (self._place / "opened").read_bytes())

    def hivex_root(self) -> int:
        return int(self._hive.root())

    def hivex_node_get_child(self, node: int, name: str) -> int:
        return self._hive.node_get_child(node, name) or 0

    def hivex_node_get_value(self, node: int, name: str) -> int:
        with suppress(RuntimeError):
            return int(self._hive.node_get_value(node, name) or 0)
        raise RuntimeError("hivex_node_get_value: failed: Success")

    def hivex_value_type(self, value: int) -> int:
        return int(self._hive.value_type(value)[0])

    def hivex_value_value(self, value: int) -> bytes:
        return bytes(self._hive.value_value(value)[1])

    def hivex_node_add_child(self, node: int, name: str) -> int:
        return int(self._hive.node_add_child(node, name))

    def hivex_node_delete_child(self, node: int) -> None:
        self._hive.node_delete_child(node)

    def hivex_node_set_value(self, node: int, name: str, kind: int, data: bytes) -> None:
        self._hive.node_set_value(node, {"key": name, "t": kind, "value": data})


def boot_guest(
    place: Path,
    disks: list[SimulatedDisk],
    volumes: Mapping[str, Mapping[str, bytes]],
    *,
    root: str = "/dev/sda1",
    uefi: bool = False,
    secure_boot: bool = False,
    boot_orders: Mapping[int, int] | None = None,
    **facts: Any,
) -> SimulatedGuest:
    """Return a simulated guest; ``volumes`` are the files on each partition. The rest is as with ``windows_guest``."""
    orders = boot_orders or {}
    numbers = range(1, len(disks) + 1)
    source = Guest(
        name="g",
        disks=tuple(SourceDisk(index=number, boot_order=orders.get(number)) for number in numbers),
        secure_boot=secure_boot,
    )
    guest = windows_guest(
        guest=source,
        firmware=Firmware.UEFI if uefi else Firmware.BIOS,
        mountpoints=(("/", root),),
        place=place,
        **facts,
    )
    session = guest.session
    session.handle = BootAppliance(disks, volumes, root, place)
    endpoints = tuple(DiskEndpoint(index=number, uri="nbd+unix:///?socket=x") for number in numbers)
    session.request = replace(session.request, disks=endpoints)
    return replace(guest, files=SimulatedFiles(session))


def make_hive(place: Path, content: Mapping[str, Any]) -> bytes:
    """Return a real hive with the given keys and values, made by hivex."""
    import hivex

    file = place / "made"
    file.write_bytes(_minimal())
    hive = hivex.Hivex(str(file), write=True)
    _fill(hive, hive.root(), content)
    hive.commit(None)
    return file.read_bytes()


def _fill(hive: Any, node: int, content: Mapping[str, Any]) -> None:
    for name, each in content.items():
        if isinstance(each, Value):
            hive.node_set_value(node, {"key": name, "t": each.type, "value": each.data})
        else:
            _fill(hive, hive.node_add_child(node, name), each)


def _minimal() -> bytes:
    """Return an empty hive: its header, and a block with a root key, its security, and free space."""
    security = struct.pack("<2sHIIII", b"sk", 0, 0x80, 0x80, 1, 20) + struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
    nothing = 0xFFFFFFFF
    root = struct.pack("<2sHQIIIIIIIIII", b"nk", 0x2C, 0, 0, nothing, 0, 0, nothing, nothing, 0, nothing, 0x80, nothing)
    root += struct.pack("<IIIIIHH", 0, 0, 0, 0, 0, 4, 0) + b"root"
    block = struct.pack("<4sIIQQI", b"hbin", 0, 4096, 0, 0, 0) + struct.pack("<i", -0x60) + root.ljust(0x5C, b"\0")
    block += struct.pack("<i", -0x40) + security.ljust(0x3C, b"\0")
    block += struct.pack("<i", 4096 - len(block))
    header = struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, 0, 1, 3, 0, 1, 0x20, 4096, 1).ljust(508, b"\0")
    return checksummed(header.ljust(4096, b"\0") + block.ljust(4096, b"\0"))


def checksummed(hive: bytes) -> bytes:
    """Return a hive with the right checksum of its header."""
    checksum = 0
    for (word,) in struct.iter_unpack("<I", hive[:508]):
        checksum ^= word
    return hive[:508] + struct.pack("<I", checksum) + hive[512:]
