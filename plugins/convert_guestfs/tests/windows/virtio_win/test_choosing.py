# SPDX-License-Identifier: GPL-2.0-or-later
"""Where virtio-win is, and which of its drivers a Windows gets, from an ISO and from directories of both layouts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from v2v_convert_guestfs.windows.virtio_win.layout import sort_of
from v2v_convert_guestfs.windows.virtio_win.packages import Selection, select
from v2v_convert_guestfs.windows.virtio_win.places import find_virtio_win
from v2v_convert_guestfs.windows.virtio_win.sources import DirectorySource, IsoSource, UnreadableError
from virtio_win_tree import make_iso, make_tree
from windows_guest import windows_guest


def _system(version: tuple[int, int], build: int, *, server: bool = False, arch: str = "x86_64") -> WindowsSystem:
    product = Product.SERVER if server else Product.CLIENT
    return dataclasses.replace(windows_guest().system, version=version, build=build, product=product, arch=arch)


_SYSTEMS = {
    "xp": _system((5, 1), 2600, arch="i386"),
    "xp64": _system((5, 2), 3790),
    "2003": _system((5, 2), 3790, server=True, arch="i386"),
    "vista": _system((6, 0), 6002, arch="i386"),
    "7": _system((6, 1), 7601, arch="i386"),
    "2008r2": _system((6, 1), 7601, server=True),
    "8": _system((6, 2), 9200, arch="i386"),
    "8.1": _system((6, 3), 9600),
    "2012r2": _system((6, 3), 9600, server=True),
    "10": _system((10, 0), 19045),
    "10-32": _system((10, 0), 10240, arch="i386"),
    "11": _system((10, 0), 22631),
    "11-arm": _system((10, 0), 26100, arch="aarch64"),
    "2016": _system((10, 0), 14393, server=True),
    "2019": _system((10, 0), 17763, server=True),
    "2022": _system((10, 0), 20348, server=True),
    "2025": _system((10, 0), 26100, server=True),
}
_EXPECTED = {
    "xp": "xp/x86", "xp64": "2k3/amd64", "2003": "2k3/x86", "vista": "2k8/x86", "7": "w7/x86", "2008r2": "2k8R2/amd64",
    "8": "w8/x86", "8.1": "w8.1/amd64", "2012r2": "2k12R2/amd64", "10": "w10/amd64", "10-32": "w10/x86",
    "11": "w11/amd64", "11-arm": "w11/ARM64", "2016": "2k16/amd64", "2019": "2k19/amd64", "2022": "2k22/amd64",
    "2025": "2k25/amd64",
}  # fmt: skip


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("virtio-win")
    return make_iso(make_tree(directory / "tree"), directory / "virtio-win.iso")


def _from_iso(iso: Path, name: str) -> Selection:
    with contextlib.closing(IsoSource(iso)) as source:
        return select(source, _SYSTEMS[name])


@pytest.mark.parametrize("name", _SYSTEMS)
def test_each_windows_gets_its_own_drivers_from_the_iso(iso: Path, name: str) -> None:
    selection = _from_iso(iso, name)
    assert selection.packages["viostor"].place == f"viostor/{_EXPECTED[name]}"
    assert selection.packages["netkvm"].place == f"NetKVM/{_EXPECTED[name]}"
    files = selection.files()
    assert f"MADE-FOR:viostor {_EXPECTED[name].replace('/', ' ')}\0".encode() in files["viostor.sys"]
    assert not any(name.startswith("vioprot.") or name.endswith(".pdb") for name in files)
    assert all(name == name.lower() for name in files)
    assert "blnsvr.exe" in files
    # Windows 7 has no other driver for that device; of newer ones, the driver proper wins.
    assert ("qemufwcfg.inf" in files) is (name in {"7", "2008r2"})


def test_the_agent_is_for_the_machine_of_the_guest(iso: Path) -> None:
    names = {}
    for name in ("7", "10", "11-arm"):
        agent = _from_iso(iso, name).agent
        names[name] = agent[0] if agent is not None else None
    assert names == {"7": "qemu-ga-i386.msi", "10": "qemu-ga-x86_64.msi", "11-arm": None}


def _selected(directory: Path, name: str, **tree: Any) -> Selection:
    return select(DirectorySource(make_tree(directory, **tree)), _SYSTEMS[name])


@pytest.mark.parametrize(
    ("name", "systems", "expected"),
    [
        ("11", ["w10", "2k22"], "w10"),
        ("10", ["2k16", "w11", "w8.1"], "2k16"),
        ("2016", ["w10", "2k19", "2k12R2"], "w10"),
        ("2025", ["w11", "2k19", "w10"], "2k19"),
        ("7", ["2k8", "w8", "xp"], "2k8"),
        ("2012r2", ["2k8R2", "2k16"], "2k8R2"),
        ("8.1", ["2k12", "w7"], "2k12"),
    ],
)
def test_the_nearest_older_windows_stands_in(tmp_path: Path, name: str, systems: list[str], expected: str) -> None:
    arch = "x86" if _SYSTEMS[name].arch == "i386" else "amd64"
    selection = _selected(tmp_path, name, drivers=["viostor"], systems=[*systems])
    assert selection.packages["viostor"].place == f"viostor/{expected}/{arch}"


@pytest.mark.parametrize(
    ("name", "systems"), [("7", ["w8", "w10", "xp"]), ("xp", ["2k3", "w7"]), ("2003", ["2k8"]), ("2016", ["2k19"])]
)
def test_drivers_of_later_windows_or_of_another_kind_are_never_taken(
    tmp_path: Path, name: str, systems: list[str]
) -> None:
    assert _selected(tmp_path, name, drivers=["viostor"], systems=systems).packages == {}


def test_the_layout_of_the_package_has_the_same_drivers(tmp_path: Path) -> None:
    selection = _selected(tmp_path, "10", layout="package", systems=["w10", "2k19"])
    assert selection.packages["viostor"].place == "drivers/by-driver/viostor/w10/amd64"
    # A package may have the drivers by system alone; each then gets only its own files.
    for path in sorted((tmp_path / "drivers/by-driver").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    by_os = select(DirectorySource(tmp_path), _SYSTEMS["10"])
    assert by_os.packages["viostor"].place == "drivers/by-os/amd64/w10"
    assert set(by_os.packages["viostor"].files) == {"viostor.inf", "viostor.sys", "viostor.cat"}
    assert by_os.files() == selection.files()


def test_an_inf_for_another_windows_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    make_tree(tmp_path, drivers=["viostor"], systems=["w10", "w8.1"])
    other = tmp_path / "viostor/w8.1/x86/viostor.inf"
    (tmp_path / "viostor/w10/amd64/viostor.inf").write_bytes(other.read_bytes())
    (tmp_path / "amd64/w10/viostor.inf").write_bytes(other.read_bytes())
    selection = select(DirectorySource(tmp_path), _SYSTEMS["10"])
    assert selection.packages["viostor"].place == "viostor/w8.1/amd64"
    (tmp_path / "viostor/w8.1/amd64/viostor.inf").write_bytes(b"")
    (tmp_path / "amd64/w8.1/viostor.inf").write_bytes(b"")
    selection = select(DirectorySource(tmp_path), _SYSTEMS["10"])
    assert "viostor" not in selection.packages
    assert "viostor/w10/amd64/viostor.inf" in selection.unfit["viostor"]


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("NetKVM/2k12R2/amd64/netkvm.sys", ("x86_64", "2k12r2")),
        ("drivers/by-os/i386/w8.1/netkvm.sys", ("i386", "w8.1")),
        ("sriov/2k19/amd64/netkvm.sys", None),
        ("NetKVM/2k19/amd64/VIOPROT.inf", None),
        ("NetKVM/2k19/amd64/netkvm.pdb", None),
        ("NetKVM/2k19/ia64/netkvm.sys", None),
        ("guest-agent/w10.msi", None),
        ("amd64/w10.sys", None),
        ("w10/amd64", None),
        ("data/viostor.sys", None),
    ],
)
def test_directories_say_what_a_file_is_for(path: str, sort: tuple[str, str] | None) -> None:
    assert sort_of(path) == sort


def test_the_users_word_comes_before_what_is_installed(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", drivers=["viostor"], systems=["w10"])
    nothing = (tmp_path / "no.iso", tmp_path / "none")
    assert find_virtio_win({}, nothing).source is None
    assert "no virtio-win on this machine" in str(find_virtio_win({}, nothing).problem)
    assert not find_virtio_win({}, nothing).named
    for variables in ({"VIRTIO_WIN": str(tree)}, {"VIRTIO_WIN_DIR": str(tree)}):
        found = find_virtio_win(variables, nothing)
        assert found.source is not None
        assert found.source.place == tree
    found = find_virtio_win({"VIRTIO_WIN": str(tmp_path / "gone"), "VIRTIO_WIN_DIR": str(tree)}, nothing)
    assert (found.source, found.named) == (None, True)
    assert f"{tmp_path}/gone, which VIRTIO_WIN names, does not exist" in str(found.problem)
    installed = find_virtio_win({}, (tmp_path / "no.iso", tree))
    assert installed.source is not None


def test_what_is_no_iso_or_empty_or_unreadable_is_said_in_one_line(tmp_path: Path, iso: Path) -> None:
    whole = iso.read_bytes()
    (tmp_path / "empty").mkdir()
    bad = {
        "text.iso": b"not an ISO image\n",
        "nothing.iso": b"",
        "short.iso": whole[:40_000],
        "zeros.iso": bytes(100_000),
        "wrong.iso": whole[:32768] + os.urandom(4096) + whole[36864:100_000],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    for name in (*bad, "empty"):
        found = find_virtio_win({"VIRTIO_WIN": str(tmp_path / name)})
        assert found.source is None, name
        assert found.problem is not None
        assert name in found.problem
        assert "\n" not in found.problem


def test_an_iso_without_its_end_is_listed_but_its_files_are_refused(tmp_path: Path, iso: Path) -> None:
    cut = tmp_path / "cut.iso"
    cut.write_bytes(iso.read_bytes()[:2_000_000])
    with pytest.raises(UnreadableError):
        _from_iso(cut, "10")


def test_links_out_of_the_directory_are_not_followed(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", drivers=["viostor"], systems=["w10"])
    (tmp_path / "secret").write_text("secret")
    place = tree / "viostor/w10/amd64"
    (place / "secret.dll").symlink_to(tmp_path / "secret")
    (place / "loop").symlink_to(place)
    (place / "gone").symlink_to(tmp_path / "gone")
    (tree / "inside").symlink_to(tree / "guest-agent")
    (place / "alias.sys").symlink_to(place / "viostor.sys")
    source = DirectorySource(tree)
    assert not any("secret" in path or "gone" in path for path in source.files)
    assert "alias.sys" in select(source, _SYSTEMS["10"]).files()


def test_names_in_capitals_are_understood(tmp_path: Path) -> None:
    files = make_tree(tmp_path / "tree", drivers=["viostor"], systems=["w10"]) / "viostor/w10/amd64"
    target = tmp_path / "upper/VIOSTOR/W10/AMD64"
    target.mkdir(parents=True)
    for path in files.iterdir():
        (target / path.name.upper()).write_bytes(path.read_bytes())
    assert set(select(DirectorySource(tmp_path / "upper"), _SYSTEMS["10"]).packages["viostor"].files) == {
        "viostor.inf",
        "viostor.sys",
        "viostor.cat",
    }
