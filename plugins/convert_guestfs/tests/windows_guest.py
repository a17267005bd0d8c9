# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulator of a Windows guest for tests without the appliance: files and hives are dictionaries.

A hive is a nested dictionary: a dictionary is a key, everything else is a value. A value is a ``Value``, or an int (a
REG_DWORD), a str (REG_SZ), bytes (REG_BINARY), a list or tuple of str (REG_MULTI_SZ); the default value is named "". A
name may be a path (``{r"Services\viostor": {…}}``), and a key ends with a backslash where a value has the same name.
Names are compared without case, as in a real hive.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.files import WindowsFiles
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import Edit, HiveName, Registry, parts
from v2v_convert_guestfs.windows.registry.values import Value, binary, dword, multi_sz, sz
from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from v2v_core.api import ConvertRequest, ConvertSettings, Firmware, Guest, Inspection, WindowsInspection
from v2v_core.testing import FakeReporter

Hive = Mapping[str, Any]

_ADMINISTRATORS = struct.pack("<BB6sII", 1, 2, bytes([0, 0, 0, 0, 0, 5]), 32, 544)
#: A security descriptor: administrators own the file and may do anything with it, nobody else may do anything.
ONLY_ADMINISTRATORS = (
    struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 0, 0, 20 + len(_ADMINISTRATORS))
    + _ADMINISTRATORS
    + struct.pack("<BBHHHBBHI", 2, 0, 32, 1, 0, 0, 0, 24, 0x1F01FF)
    + _ADMINISTRATORS
)


@dataclass
class SimulatedKey:
    """A key: what is below it and its values, by their names in lower case, with the names as they are spelt."""

    keys: dict[str, tuple[str, SimulatedKey]] = field(default_factory=dict)
    values: dict[str, tuple[str, Value]] = field(default_factory=dict)

    @classmethod
    def of(cls, hive: Hive) -> SimulatedKey:
        key = cls()
        for path, content in hive.items():
            if isinstance(content, Mapping):
                key.make(path).update(cls.of(content))
            else:
                *above, name = path.split("\\")
                key.make("\\".join(above)).values[name.lower()] = (name, value_of(content))
        return key

    def make(self, path: str) -> SimulatedKey:
        """Return a key below this one; create what is missing."""
        found = self
        for part in parts(path):
            found = found.keys.setdefault(part.lower(), (part, SimulatedKey()))[1]
        return found

    def update(self, other: SimulatedKey) -> None:
        for folded, (name, below) in other.keys.items():
            self.keys.setdefault(folded, (name, SimulatedKey()))[1].update(below)
        self.values |= other.values

    def find(self, path: str) -> SimulatedKey | None:
        found: SimulatedKey | None = self
        for part in parts(path):
            found = found.keys.get(part.lower(), ("", None))[1] if found is not None else None
        return found

    def as_hive(self) -> dict[str, Any]:
        hive: dict[str, Any] = dict(self.values.values())
        for folded, (name, below) in self.keys.items():
            hive[f"{name}\\" if folded in self.values else name] = below.as_hive()
        return hive


def value_of(content: Any) -> Value:
    """Return the value that a short notation means."""
    match content:
        case Value():
            return content
        case int():
            return dword(content)
        case str():
            return sz(content)
        case bytes():
            return binary(content)
        case list() | tuple():
            return multi_sz(*content)
    raise TypeError(f"{content!r} is no value of a registry")


class SimulatedStore:
    """Hives as ``hives.Store`` describes them."""

    def __init__(self, hives: Mapping[HiveName, Hive]) -> None:
        self.hives = {name: SimulatedKey.of(hive) for name, hive in hives.items()}
        #: Keys with their names, and values with theirs, by number.
        self._keys: list[tuple[str, SimulatedKey]] = []
        self._values: list[tuple[str, Value]] = []

    def root(self, hive: HiveName) -> int:
        return self._number("", self.hives[hive])

    def child(self, hive: HiveName, key: int, name: str) -> int | None:
        found = self._keys[key][1].keys.get(name.lower())
        return None if found is None else self._number(*found)

    def children(self, hive: HiveName, key: int) -> Sequence[int]:
        return [self._number(*found) for found in self._keys[key][1].keys.values()]

    def name(self, hive: HiveName, key: int) -> str | None:
        return self._keys[key][0]

    def find_value(self, hive: HiveName, key: int, name: str) -> int | None:
        found = self._keys[key][1].values.get(name.lower())
        return None if found is None else self._number_of_value(found)

    def values(self, hive: HiveName, key: int) -> Sequence[int]:
        return [self._number_of_value(found) for found in self._keys[key][1].values.values()]

    def value_name(self, hive: HiveName, value: int) -> str | None:
        return self._values[value][0]

    def read(self, hive: HiveName, value: int) -> Value | None:
        return self._values[value][1]

    def close(self) -> None: ...

    def write(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            apply(self.hives[edit.hive], edit)

    def _number(self, name: str, key: SimulatedKey) -> int:
        self._keys.append((name, key))
        return len(self._keys) - 1

    def _number_of_value(self, value: tuple[str, Value]) -> int:
        self._values.append(value)
        return len(self._values) - 1


def apply(root: SimulatedKey, edit: Edit) -> None:
    """Do one edit to a hive."""
    if edit.name is None:
        *above, name = parts(edit.key)
        root.make("\\".join(above)).keys.pop(name.lower(), None)
    elif edit.value is None:
        root.make(edit.key).values.pop(edit.name.lower(), None)
    else:
        values = root.make(edit.key).values
        spelled = values.get(edit.name.lower(), (edit.name, None))[0]
        values[edit.name.lower()] = (spelled, edit.value)


class SimulatedRegistry(Registry):
    """The registry of the simulated guest."""

    store: SimulatedStore

    def after(self, hive: HiveName = HiveName.SYSTEM) -> dict[str, Any]:
        """Return a hive as it is once the staged edits are done: a nested dictionary of keys and ``Value`` objects."""
        root = SimulatedKey.of(self.store.hives[hive].as_hive())
        for edit in self.edits:
            if edit.hive is hive:
                apply(root, edit)
        return root.as_hive()

    def value_after(self, hive: HiveName, key: str, name: str) -> Value | None:
        """Return a value as it is once the staged edits are done; names in any capitals. None if there is none."""
        found = SimulatedKey.of(self.after(hive)).find(key)
        return None if found is None else found.values.get(name.lower(), ("", None))[1]

    def has_key_after(self, hive: HiveName, key: str) -> bool:
        """Return whether there is a key once the staged edits are done; names in any capitals."""
        return SimulatedKey.of(self.after(hive)).find(key) is not None


class SimulatedAppliance:
    """The part of libguestfs's API that files need. As on NTFS in the appliance, only case_sensitive_path folds case.

    Other calls (``pread_device`` and the like) can be set on it by the test: it takes any attribute.
    """

    def __init__(self, files: Mapping[str, bytes], directories: Sequence[str]) -> None:
        self.files = dict(files)
        self.directories = {"/", *directories}
        for path in (*self.files, *directories):
            self._add_above(path)

    def _add_above(self, path: str) -> None:
        while path := path.rpartition("/")[0]:
            self.directories.add(path)

    def inspect_get_windows_systemroot(self, root: str) -> str:
        raise RuntimeError("inspect_get_windows_systemroot: the guest was not inspected")

    def inspect_get_drive_mappings(self, root: str) -> dict[str, str]:
        return {"C": root}

    def case_sensitive_path(self, path: str) -> str:
        found = ""
        wanted = parts(path.replace("/", "\\"))
        for number, part in enumerate(wanted, 1):
            names = {name.lower(): name for name in self.ls(found or "/")}
            if part.lower() not in names and number < len(wanted):
                raise RuntimeError(f"case_sensitive_path: {path}: No such file or directory")
            found = f"{found}/{names.get(part.lower(), part)}"
        return found or "/"

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.directories

    def is_file(self, path: str, *, followsymlinks: bool = False) -> bool:
        return path in self.files

    def is_dir(self, path: str, *, followsymlinks: bool = False) -> bool:
        return path in self.directories

    def is_symlink(self, path: str) -> bool:
        return False

    def list_devices(self) -> list[str]:
        return []

    def ls(self, path: str) -> list[str]:
        start = path.rstrip("/") + "/"
        below = [name for name in (*self.files, *self.directories) if name.startswith(start) and name != start]
        return sorted({name.removeprefix(start).split("/")[0] for name in below})

    def filesize(self, path: str) -> int:
        return len(self.files[path])

    def checksum(self, kind: str, path: str) -> str:
        return hashlib.new(kind, self.files[path]).hexdigest()

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self.files[path][offset : offset + count]

    def read_file(self, path: str) -> bytes:
        return self.files[path]

    def mktemp(self, template: str) -> str:
        path = template.replace("XXXXXX", "123456")
        self.write(path, b"")
        return path

    def mkdir(self, path: str) -> None:
        self._there(path.rpartition("/")[0] or "/")
        self.directories.add(path)

    def write(self, path: str, content: bytes) -> None:
        self._there(path.rpartition("/")[0] or "/")
        self.files[path] = content

    def upload(self, source: str, path: str) -> None:
        self.write(path, Path(source).read_bytes())

    def download(self, path: str, target: str) -> None:
        Path(target).write_bytes(self.files[path])

    def rename(self, old: str, new: str) -> None:
        self._there(new.rpartition("/")[0] or "/")
        self.files[new] = self.files.pop(old)

    def cp(self, old: str, new: str) -> None:
        self.files[new] = self.files[old]

    def chmod(self, mode: int, path: str) -> None: ...

    def chown(self, owner: int, group: int, path: str) -> None: ...

    def getxattr(self, path: str, name: str) -> bytes:
        assert name == "system.ntfs_acl"
        return ONLY_ADMINISTRATORS

    def rm_f(self, path: str) -> None:
        self.files.pop(path, None)

    def rm_rf(self, path: str) -> None:
        self.files = {name: data for name, data in self.files.items() if not f"{name}/".startswith(f"{path}/")}
        self.directories = {name for name in self.directories if not f"{name}/".startswith(f"{path}/")}

    def _there(self, directory: str) -> None:
        if directory not in self.directories:
            raise RuntimeError(f"{directory}: No such file or directory")


class SimulatedFiles(WindowsFiles):
    """The files of the simulated guest: the real class, on a simulated appliance."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._before = dict(session.handle.files)

    @property
    def contents(self) -> dict[str, bytes]:
        """All files by path."""
        return dict(self._session.handle.files)

    @property
    def written(self) -> dict[str, bytes]:
        """The files that were created or got another content, by path."""
        return {path: data for path, data in self.contents.items() if self._before.get(path) != data}

    @property
    def removed(self) -> list[str]:
        """The files that are gone."""
        return [path for path in self._before if path not in self.contents]


@dataclass(frozen=True)
class SimulatedGuest(WindowsGuest):
    """A guest without an appliance. ``session.handle`` is a ``SimulatedAppliance``."""

    files: SimulatedFiles
    registry: SimulatedRegistry

    @property
    def report(self) -> FakeReporter:
        """The reporter, with its ``warnings``."""
        report = self.session.report
        assert isinstance(report, FakeReporter)
        return report


def windows_guest(
    files: Mapping[str, bytes] | None = None,
    system: Hive | None = None,
    software: Hive | None = None,
    *,
    directories: Sequence[str] = (),
    guest: Guest | None = None,
    settings: ConvertSettings | None = None,
    firmware: Firmware = Firmware.BIOS,
    mountpoints: Sequence[tuple[str, str]] = (("/", "/dev/sda2"),),
    place: Path = Path("/nonexistent"),
    **facts: Any,
) -> SimulatedGuest:
    r"""Return a guest of files (``{"/Windows/System32/x.dll": b"…"}``) and hives.

    Without facts it is a Windows 10 x64 client that has one control set, ControlSet001.

    :param place: a directory of the host, for tests whose code writes there. :param facts: those of
        ``WindowsSystem`` that differ.
    """
    report = FakeReporter()
    request = ConvertRequest(
        directory=place,
        temporary=place,
        guest=guest or Guest(name="g"),
        disks=(),
        settings=settings or ConvertSettings(),
        report=report,
    )
    hives = {HiveName.SYSTEM: system or {}, HiveName.SOFTWARE: software or {}}
    store = SimulatedStore(hives)
    usual: dict[str, Any] = {
        "systemroot": "/Windows",
        "arch": "x86_64",
        "version": (10, 0),
        "build": 19045,
        "product": Product.CLIENT,
        "product_name": "Windows 10 Pro",
        "osinfo": "win10",
        "current": "ControlSet001",
        "default": "ControlSet001",
        "driver_database": facts.get("version", (10, 0)) >= (6, 2),
    }
    found = WindowsSystem(**{**usual, **facts})
    appliance = SimulatedAppliance(files or {}, (f"{found.systemroot}/System32/config", *directories))
    session = Session(request=request, handle=appliance, firmware=firmware)
    config = f"{found.systemroot}/System32/config"
    session.found = Inspection(
        root=dict(mountpoints)["/"],
        os_type="windows",
        distro="windows",
        arch=found.arch,
        major_version=found.version[0],
        minor_version=found.version[1],
        osinfo=found.osinfo,
        product_name=found.product_name,
        mountpoints=tuple(mountpoints),
        windows=WindowsInspection(
            systemroot=found.systemroot,
            current_control_set=found.current,
            default_control_set=found.default,
            software_hive=f"{config}/SOFTWARE",
            system_hive=f"{config}/SYSTEM",
            build=found.build,
            product=found.product,
        ),
    )
    return SimulatedGuest(
        session=session, files=SimulatedFiles(session), registry=SimulatedRegistry(session, store), system=found
    )
