# SPDX-License-Identifier: GPL-2.0-or-later
"""The service of the first boot of Windows guests is compiled into the wheel, and always to the same bytes."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest

from packaging_site import ROOT

PLUGIN = ROOT / "plugins/convert_guestfs"
ARCHITECTURES = ("i686", "x86_64")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("v2v_hatch_build", PLUGIN / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(hook: ModuleType, architecture: str, output: Path) -> bytes:
    output.parent.mkdir()
    hook.compile_service(PLUGIN / hook.SERVICE / "v2v_firstboot.c", architecture, output)
    return output.read_bytes()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bytes_each_time(hook: ModuleType, tmp_path: Path, architecture: str) -> None:
    first = compiled(hook, architecture, tmp_path / "one" / "a.exe")
    time.sleep(1.1)  # a time stamp in it has seconds
    assert compiled(hook, architecture, tmp_path / "two" / "another.exe") == first
    assert [name for name in (b"KERNEL32", b"ADVAPI32", b"msvcrt") if name in first] == [b"KERNEL32", b"ADVAPI32"]


def test_no_compiler(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"install gcc-mingw-w64-i686-win32 .* or mingw32-gcc"):
        compiled(hook, "i686", tmp_path / "one" / "a.exe")


@pytest.mark.slow
def test_the_wheel_has_it(wheels: Path) -> None:
    (wheel,) = wheels.glob("v2v_convert_guestfs-*.whl")
    names = ZipFile(wheel).namelist()
    directory = "v2v_convert_guestfs/windows/firstboot"
    wanted = {f"{directory}/service/v2v_firstboot_{each}.exe" for each in ARCHITECTURES} | {
        f"{directory}/firstboot.bat"
    }
    assert wanted <= set(names)
