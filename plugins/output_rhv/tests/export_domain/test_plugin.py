# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv``: what it refuses before the conversion, and what it creates."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from export_domains import DOMAIN_ID, MIB, Run, as_root, as_user, ext4, make_domain, tree
from ovf_examples import CREATED
from ovf_examples import place as place_of
from v2v_core.api import DestinationError, UsageError, V2VError
from v2v_output_rhv.export_domain.ownership import VdsmFiles
from v2v_output_rhv.volumes import volume_metadata


class TestCheck:
    @pytest.mark.parametrize("settings", [{"storage": None}, {"format": "vmdk"}, {"password_file": Path("/x")}])
    def test_options_that_make_no_sense(self, new_run: Callable[..., Run], settings: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="-o rhv"):
            new_run(**settings).check()

    def test_a_place_that_is_not_there(self, new_run: Callable[..., Run], tmp_path: Path) -> None:
        with pytest.raises(DestinationError, match="nowhere cannot be read: No such file") as caught:
            new_run(storage=str(tmp_path / "nowhere")).check()
        assert caught.value.hint is not None

    def test_no_domain(self, new_run: Callable[..., Run], place: Path) -> None:
        (place / DOMAIN_ID).rename(place / "not-a-uuid")
        with pytest.raises(DestinationError, match="holds no storage domain"):
            new_run().check()

    def test_two_domains(self, new_run: Callable[..., Run], place: Path) -> None:
        (place / DOMAIN_ID.replace("1", "2")).mkdir()
        with pytest.raises(DestinationError, match="holds the 2 domains"):
            new_run().check()

    @pytest.mark.parametrize("missing", ["master/vms", "images"])
    def test_a_domain_that_is_not_attached(self, new_run: Callable[..., Run], place: Path, missing: str) -> None:
        shutil.rmtree(place / DOMAIN_ID / missing)
        with pytest.raises(DestinationError, match=f"{missing} is not a directory") as caught:
            new_run().check()
        assert "attach" in (caught.value.hint or "")

    def test_sizes_that_are_not_whole_sectors(self, new_run: Callable[..., Run]) -> None:
        new_run(sizes=(MIB, MIB + 512)).check()
        with pytest.raises(DestinationError, match="disk 2 has 1000 bytes") as caught:
            new_run(sizes=(MIB, 1000)).check()
        assert "1024 bytes" in (caught.value.hint or "")

    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_missing_programs(
        self, new_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_format: str
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(V2VError, match="not installed"):
            new_run(format=image_format).check()

    @as_root
    @pytest.mark.parametrize("closed", ["images", "master/vms"])
    def test_a_domain_that_this_user_cannot_write(self, new_run: Callable[..., Run], place: Path, closed: str) -> None:
        for name in ("images", "master/vms"):
            (place / DOMAIN_ID / name).chmod(0o755 if name == closed else 0o777)
        run = new_run()

        def refused() -> None:
            with pytest.raises(DestinationError, match=f"no files can be made in .*/{closed}"):
                run.check()

        assert as_user(65534, refused) == 0

    @as_root
    def test_a_user_who_is_not_vdsm_is_warned(self, new_run: Callable[..., Run], place: Path) -> None:
        for name in ("images", "master/vms"):
            (place / DOMAIN_ID / name).chmod(0o777)
        run = new_run()
        run.check()
        assert run.report.warnings == []

        def warned() -> None:
            run.check()
            assert "36" in run.report.warnings[0]

        assert as_user(65534, warned) == 0

    @as_root
    def test_space(self, tmp_path: Path, new_run: Callable[..., Run]) -> None:
        with ext4(tmp_path / "small") as small:
            make_domain(small)
            before = tree(small)
            new_run(storage=str(small), sizes=(1 << 40,)).check()
            with pytest.raises(DestinationError, match="not enough space"):
                new_run(storage=str(small), sizes=(20 * MIB, 20 * MIB), allocation="preallocated").check()
            assert tree(small) == before

    @as_root
    def test_a_read_only_file_system(self, tmp_path: Path, new_run: Callable[..., Run]) -> None:
        with ext4(tmp_path / "small") as small:
            make_domain(small)
            subprocess.run(["mount", "-o", "remount,ro", small], check=True)
            with pytest.raises(DestinationError, match="no files can be made in"):
                new_run(storage=str(small)).check()


class TestResult:
    @pytest.mark.parametrize("allocation", ["sparse", "preallocated"])
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_everything_that_vdsm_needs(
        self, new_run: Callable[..., Run], place: Path, image_format: str, allocation: str
    ) -> None:
        foreign = tree(place)
        run = new_run(sizes=(MIB, 2 * MIB), format=image_format, allocation=allocation)
        run.check()
        setup = run.setup()
        assert setup.zeroed
        assert not [path for path in (place / DOMAIN_ID).rglob("*.ovf") if path.name not in str(foreign)]
        before = os.umask(0o077)
        try:
            created = run.finalize().created
        finally:
            os.umask(before)
        after = tree(place)
        assert {name: after[name] for name in foreign} == foreign
        images, machine = run.state["disks"], run.state["machine"]
        domain = place / DOMAIN_ID
        expected = [domain / "master" / "vms" / machine / f"{machine}.ovf"]
        for size, image in zip((MIB, 2 * MIB), images, strict=True):
            disk = domain / "images" / image["image"] / image["volume"]
            expected += [disk, disk.with_name(f"{disk.name}.meta")]
            assert disk.stat().st_blocks * 512 >= (size if allocation == "preallocated" else 0)
            self.assert_meta(disk, image["image"], size // 512, image_format, allocation)
            if image_format == "raw":
                assert disk.stat().st_size == size
            else:
                subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", disk], check=True)
        new = {place / name for name in after.keys() - foreign.keys()}
        assert new == {*expected, *(path.parent for path in expected)}
        assert set(created) == {str(path) for path in expected if path.suffix != ".meta"}
        for path in new:
            status = path.stat()
            disk_mode = 0o660 if os.geteuid() == 0 else 0o666
            mode = 0o755 if path.is_dir() else 0o644 if path.suffix in {".meta", ".ovf"} else disk_mode
            assert status.st_mode & 0o7777 == mode, path
            if os.geteuid() == 0:
                assert (status.st_uid, status.st_gid) == (36, 36), path
        root = etree.parse(str(expected[0])).getroot()
        disks = [{etree.QName(k).localname: v for k, v in d.items()} for d in root.iterfind("Section/Disk")]
        assert [disk["fileRef"] for disk in disks] == [f"{image['image']}/{image['volume']}" for image in images]
        assert {disk["actual_size"] for disk in disks} <= {"0", "1"}
        assert {disk["volume-format"] for disk in disks} == {"RAW" if image_format == "raw" else "COW"}

    def assert_meta(self, disk: Path, image: str, sectors: int, image_format: str, allocation: str) -> None:
        lines = disk.with_name(f"{disk.name}.meta").read_text().splitlines()
        assert lines[-1] == "EOF"
        keys = [line.partition("=")[0] for line in lines[:-1]]
        values = dict(line.split("=") for line in lines[:-1])
        assert keys == [
            *("DOMAIN", "VOLTYPE", "CTIME", "MTIME", "IMAGE", "DISKTYPE", "PUUID", "LEGALITY"),
            *("POOL_UUID", "SIZE", "FORMAT", "TYPE", "DESCRIPTION"),
        ]
        assert values.pop("CTIME") == values.pop("MTIME")
        assert values.pop("DESCRIPTION").startswith("generated by v2v-output-rhv")
        assert values == {
            "DOMAIN": DOMAIN_ID,
            "VOLTYPE": "LEAF",
            "IMAGE": image,
            "DISKTYPE": "2",
            "PUUID": "00000000-0000-0000-0000-000000000000",
            "LEGALITY": "LEGAL",
            "POOL_UUID": "",
            "SIZE": str(sectors),
            "FORMAT": "RAW" if image_format == "raw" else "COW",
            "TYPE": allocation.upper(),
        }

    def test_a_description_stays_one_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("v2v_output_rhv.volumes.generator", lambda: "a=b\nEOF\r\x00c")
        disk = place_of(1, MIB)
        written = volume_metadata(disk, storage_domain_id=DOMAIN_ID, created=CREATED).decode()
        assert "\nDESCRIPTION=a_b_EOF__c\nEOF\n" in written
        assert f"\nCTIME={int(CREATED.timestamp())}\n" in written

    def test_the_ovf_appears_last_and_whole(
        self, new_run: Callable[..., Run], place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = new_run()
        run.setup()
        seen: list[bool] = []
        rename = VdsmFiles.rename

        def look(self: VdsmFiles, name: str, new: str) -> None:
            seen.append((place / DOMAIN_ID / new).exists())
            etree.parse(str(place / DOMAIN_ID / name))
            for disk in run.state["disks"]:
                assert (place / DOMAIN_ID / "images" / disk["image"] / f"{disk['volume']}.meta").exists()
            rename(self, name, new)

        monkeypatch.setattr(VdsmFiles, "rename", look)
        run.finalize()
        assert seen == [False]
