# SPDX-License-Identifier: GPL-2.0-or-later
"""The service, its files and its status file, as they are written into the guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs.windows.firstboot.install import InstalledFirstBoot, install
from v2v_convert_guestfs.windows.firstboot.plan import CUSTOM, DRIVERS
from v2v_convert_guestfs.windows.firstboot.status import read_status
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import Type, expand_sz
from v2v_core.api import ScriptRun, ScriptState
from windows_guest import SimulatedGuest, windows_guest

SERVICE = r"Services\v2v-firstboot"
SYSTEMROOT = {r"Microsoft\Windows NT\CurrentVersion": {"SystemRoot": r"D:\Windows"}}


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have no tools of the host but those that the test puts there."""
    monkeypatch.setenv("VIRT_TOOLS_DATA_DIR", str(tmp_path))
    return tmp_path


def add_two(guest: WindowsGuest) -> None:
    guest.first_boot.add(CUSTOM, "last", "echo last\nexit 250", why="a test")
    guest.first_boot.add(DRIVERS, "first", "exit 250\n", why="a test")
    guest.first_boot.add_file("tool.msi", b"MSI")


def installed(guest: SimulatedGuest) -> InstalledFirstBoot:
    done = install(guest)
    assert done is not None
    return done


def number(guest: SimulatedGuest, key: str, name: str) -> int | None:
    value = guest.registry.value_after(HiveName.SYSTEM, key, name)
    return None if value is None else value.number


def text(guest: SimulatedGuest, key: str, name: str) -> str | None:
    value = guest.registry.value_after(HiveName.SYSTEM, key, name)
    return None if value is None else value.text


def test_nothing_without_a_script() -> None:
    guest = windows_guest()
    guest.first_boot.add_file("tool.msi", b"MSI")
    assert install(guest) is None
    assert (guest.registry.edits, guest.files.written) == ([], {})


def test_every_control_set_gets_the_service() -> None:
    guest = windows_guest(
        software=SYSTEMROOT, directories=("/PROGRAM files",), default="ControlSet001", current="ControlSet003"
    )
    add_two(guest)
    done = installed(guest)
    assert done.directory == "/PROGRAM files/v2v-firstboot"
    for control_set in ("ControlSet001", "ControlSet003"):
        key = rf"{control_set}\{SERVICE}"
        assert [number(guest, key, name) for name in ("Type", "Start", "ErrorControl")] == [0x10, 2, 1]
        assert text(guest, key, "ObjectName") == "LocalSystem"
        path = r'"D:\PROGRAM files\v2v-firstboot\v2v-firstboot.exe" -s v2v-firstboot'
        assert guest.registry.value_after(HiveName.SYSTEM, key, "ImagePath") == expand_sz(path)
        command = r'cmd /c "D:\PROGRAM files\v2v-firstboot\firstboot.bat"'
        assert text(guest, rf"{key}\Parameters", "CommandLine") == command
        assert text(guest, rf"{key}\Parameters", "PWD") == r"D:\PROGRAM files\v2v-firstboot"


def test_files() -> None:
    guest = windows_guest(directories=("/Program Files",))
    add_two(guest)
    done = installed(guest)
    written = guest.files.written
    assert set(written) == set(done.files)
    assert written[done.program][:2] == b"MZ"
    assert written[f"{done.directory}/scripts/last.bat"] == b"@echo off\r\necho last\r\nexit 250\r\n"
    assert written[f"{done.directory}/files/tool.msi"] == b"MSI"
    batch = written[f"{done.directory}/firstboot.bat"]
    assert batch.count(b"\n") == batch.count(b"\r\n") > 100
    assert {Path(name).name for name in written if "/scripts/" in name} == {"first.bat", "last.bat"}


def test_no_program_files() -> None:
    guest = windows_guest(systemroot="/WINNT")
    add_two(guest)
    done = installed(guest)
    assert done.directory == "/WINNT/v2v-firstboot"
    assert text(guest, rf"ControlSet001\{SERVICE}\Parameters", "PWD") == r"C:\WINNT\v2v-firstboot"


def test_the_status_before_the_first_boot() -> None:
    guest = windows_guest(directories=("/Program Files",))
    assert not read_status(guest.files, "/Windows").planned
    add_two(guest)
    installed(guest)
    status = read_status(guest.files, "/Windows")
    assert (status.planned, status.finished, status.log) == (True, False, "")
    waiting = ScriptState.WAITING
    assert status.scripts == (ScriptRun(name="first", state=waiting), ScriptRun(name="last", state=waiting))


def test_an_earlier_conversion_is_replaced() -> None:
    old = "/Program Files/v2v-firstboot"
    guest = windows_guest(
        files={f"{old}/scripts/old.bat": b"old", f"{old}/status.txt": b"#1;finished;1;0\r\n#end\r\n"},
        system={rf"ControlSet001\{SERVICE}": {"Start": 4, "DeleteFlag": 1, "Parameters": {"AppStdout": "x"}}},
    )
    add_two(guest)
    installed(guest)
    assert f"{old}/scripts/old.bat" not in guest.files.contents
    assert not read_status(guest.files, "/Windows").finished
    assert number(guest, rf"ControlSet001\{SERVICE}", "Start") == 2
    assert guest.registry.value_after(HiveName.SYSTEM, rf"ControlSet001\{SERVICE}", "DeleteFlag") is None
    assert text(guest, rf"ControlSet001\{SERVICE}\Parameters", "AppStdout") is None


@pytest.mark.parametrize("name", ["rhsrvany.exe", "pvvxsvc.exe"])
def test_the_users_own_service_is_preferred(tools: Path, name: str) -> None:
    (tools / name).write_bytes(b"MZ of the user")
    guest = windows_guest(directories=("/Program Files",))
    add_two(guest)
    done = installed(guest)
    assert done.program == f"/Program Files/v2v-firstboot/{name}"
    assert guest.files.written[done.program] == b"MZ of the user"
    value = guest.registry.value_after(HiveName.SYSTEM, rf"ControlSet001\{SERVICE}", "ImagePath")
    assert value is not None
    assert value.type == Type.EXPAND_SZ
    assert value.text == rf'"C:\Program Files\v2v-firstboot\{name}" -s v2v-firstboot'


def test_a_service_that_is_no_program(tools: Path) -> None:
    (tools / "rhsrvany.exe").touch()
    guest = windows_guest(directories=("/Program Files",))
    add_two(guest)
    assert installed(guest).program.endswith("/v2v-firstboot.exe")
    assert any("rhsrvany.exe is not a program" in warning for warning in guest.report.warnings)


@pytest.mark.parametrize(("arch", "machine"), [("x86_64", 0x8664), ("i386", 0x14C), ("aarch64", 0x14C)])
def test_the_program_fits_the_guest(arch: str, machine: int) -> None:
    guest = windows_guest(arch=arch, directories=("/Program Files",))
    add_two(guest)
    done = installed(guest)
    content = guest.files.contents[done.program]
    head = int.from_bytes(content[0x3C:0x40], "little")
    assert int.from_bytes(content[head + 4 : head + 6], "little") == machine


@pytest.mark.parametrize("ended", [False, True])
def test_virt_v2vs_first_boot_is_left_alone(ended: bool) -> None:
    end = {"/Program Files/Guestfs/Firstboot/complete": b""} if ended else {}
    system = {r"ControlSet001\Services\firstboot": {"Start": 2}}
    guest = windows_guest(files=end, directories=("/Program Files",), system=system)
    add_two(guest)
    installed(guest)
    assert any("virt-v2v" in warning for warning in guest.report.warnings) is not ended
    assert number(guest, r"ControlSet001\Services\firstboot", "Start") == 2
