# SPDX-License-Identifier: GPL-2.0-or-later
"""Real mounts in the conversion directory: unmounted with it, and no file on them is ever deleted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import V2VError
from v2v_core.mounts import mounts_below, unmount
from v2v_core.steps import cleanup


@pytest.fixture
def directory(v2v_short_path: Path) -> Iterator[ConversionDir]:
    made = ConversionDir.open_or_create(v2v_short_path / "d")
    yield made
    for point in mounts_below(v2v_short_path):
        subprocess.run(["umount", "-l", point], check=True)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """Return a directory of another user."""
    (tmp_path / "precious" / "images").mkdir(parents=True)
    (tmp_path / "precious" / "images" / "disk").write_bytes(b"not to be deleted")
    return tmp_path / "precious"


def mount(source: Path, point: Path) -> Path:
    point.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "--bind", source, point], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this user cannot mount anything")
    return point


def is_whole(precious: Path) -> bool:
    return (precious / "images" / "disk").read_bytes() == b"not to be deleted"


@pytest.mark.parametrize("name", ["domain", "with a blank", "tab\tand \\ and\nnewline", "ü"])
def test_mounts_with_any_name_are_found(directory: ConversionDir, precious: Path, name: str) -> None:
    point = mount(precious, directory.private("output") / name)
    inner = mount(precious, point / "images")
    assert mounts_below(directory.path) == (inner, point)
    assert mounts_below(directory.private("input")) == ()
    unmount(inner)
    unmount(point)
    assert mounts_below(directory.path) == ()


@pytest.mark.parametrize("room", ["input", "output", "convert", "tmp"])
@pytest.mark.parametrize("busy", [False, True])
def test_the_mount_of_a_plugin_is_unmounted_with_the_directory(
    directory: ConversionDir, precious: Path, room: str, busy: bool
) -> None:
    point = mount(precious, directory.path / room / "domain")
    handle = os.open(point / "images", os.O_RDONLY) if busy else None
    try:
        cleanup.run(directory)
    finally:
        if handle is not None:
            os.close(handle)
    assert not directory.path.exists()
    assert mounts_below(directory.path) == ()
    assert is_whole(precious)


def test_two_mounts_on_top_of_each_other(directory: ConversionDir, precious: Path) -> None:
    point = mount(precious, directory.private("output") / "domain")
    mount(precious, point)
    directory.remove()
    assert not directory.path.exists()
    assert is_whole(precious)


def test_a_mount_outside_the_plugins_directories_keeps_the_directory(directory: ConversionDir, precious: Path) -> None:
    point = mount(precious, directory.overlay / "large")
    with pytest.raises(V2VError, match=f"something is mounted on {point}") as caught:
        directory.remove()
    assert caught.value.hint is not None
    assert is_whole(precious)
    unmount(point)
    directory.remove()
    assert not directory.path.exists()


def test_a_mount_below_the_large_temporary_directory_keeps_it(
    v2v_short_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRT_V2V_TMPDIR", str(v2v_short_path))
    made = ConversionDir.temporary(v2v_short_path / "v2v.x")
    point = mount(precious, v2v_short_path / "v2v.x.large" / "mount")
    with pytest.raises(V2VError, match="something is mounted on"):
        made.remove()
    assert is_whole(precious)
    unmount(point)
    made.remove()
    assert list(v2v_short_path.iterdir()) == []


def test_a_mount_that_cannot_be_unmounted_keeps_the_directory(
    directory: ConversionDir, precious: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(precious, directory.private("output") / "domain")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "umount").write_text("#!/bin/sh\necho 'target is busy' >&2\nexit 32\n")
    (tmp_path / "bin" / "umount").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        with pytest.raises(V2VError, match="target is busy"):
            directory.remove()
    assert directory.path.exists()
    assert is_whole(precious)
