# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv``: what it refuses, what it makes and for whom, and that a failure leaves what was there before."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from export_domains import (
    DOMAIN_ID,
    MIB,
    Run,
    as_user,
    ext4,
    killed_before,
    make_domain,
    record_to,
    recorded,
    simulate_mount,
    tree,
)
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from v2v_core.api import DestinationError, OutputSettings, UsageError, mounts_below
from v2v_output_rhv.export_domain.output import ExportDomainOutput
from v2v_output_rhv.export_domain.ownership import VdsmFiles, acting_as_vdsm
from v2v_output_rhv.export_domain.storage import Storage

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and make files of others")
SERVER = "files.example.com:/exports/domain"
#: What root cannot do on a file server that takes it for nobody.
SQUASHED = "chown,dac_override,dac_read_search,fowner"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a place with an export domain in it."""
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        # pytest's own are private; some tests are other users
        parent.chmod(0o755)
    (tmp_path / "esd").mkdir()
    make_domain(tmp_path / "esd")
    return tmp_path / "esd"


@pytest.fixture
def new_run(tmp_path: Path, place: Path) -> Callable[..., Run]:
    """Give the function that makes a conversion into that place."""

    def make(**more: Any) -> Run:
        return Run(ExportDomainOutput(), tmp_path / "private", **{"storage": str(place), **more})

    return make


@pytest.fixture
def nfs_run(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Give a conversion to a file server that exports the place; ``mount -t nfs`` is simulated."""
    simulate_mount(tmp_path / "bin", place)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    yield Run(ExportDomainOutput(), tmp_path / "private", storage=SERVER)
    for point in mounts_below(tmp_path):
        subprocess.run(["umount", "-l", point], check=True)


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

    def test_too_many_disks(self, new_run: Callable[..., Run]) -> None:
        new_run(sizes=(MIB,) * 23).check()
        with pytest.raises(DestinationError, match="24 disks, and oVirt takes at most 23"):
            new_run(sizes=(MIB,) * 24).check()

    def test_sizes_that_are_no_sectors(self, new_run: Callable[..., Run]) -> None:
        new_run(sizes=(MIB, None)).check()
        with pytest.raises(DestinationError, match="disk 2 has 1000 bytes") as caught:
            new_run(sizes=(MIB, 1000)).check()
        assert "1024 bytes" in (caught.value.hint or "")

    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_missing_programs(
        self, new_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_format: str
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DestinationError, match="not installed"):
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


class TestNfs:
    @pytest.mark.parametrize(
        ("storage", "is_nfs"),
        [
            ("server:/export", True),
            ("server.example.com:/export/of/it", True),
            ("192.0.2.1:/", True),
            ("[2001:db8::1]:/export", True),
            ("[fe80::1%eth0]:/export", True),
            ("/mnt/esd", False),
            ("/mnt/a:/b", False),
            ("./server:/export", False),
            ("server:export", False),
            ("-o:/export", False),
            ("--bind:/export", False),
        ],
    )
    def test_what_is_an_export(self, tmp_path: Path, storage: str, is_nfs: bool) -> None:
        understood = Storage.of(OutputSettings(name="x", storage=storage), tmp_path)
        assert understood.is_nfs is is_nfs
        inside = understood.local / "UUID" / "images"
        assert understood.path(understood.named(inside)) == inside
        if is_nfs:
            assert understood.local.parent == tmp_path
            assert understood.named(inside) == f"{storage.rstrip('/')}/UUID/images"

    @given(st.text(max_size=30))
    def test_no_text_becomes_an_option_of_mount(self, storage: str) -> None:
        understood = Storage.of(OutputSettings(name="x", storage=storage), Path("/private"))
        if understood.is_nfs:
            assert re.match(r"[A-Za-z0-9_\[]", understood.name)

    @as_root
    def test_check_mounts_for_as_long_as_it_takes(self, nfs_run: Run, tmp_path: Path, place: Path) -> None:
        before = tree(place)
        nfs_run.check()
        arguments = (tmp_path / "bin" / "mount.arguments").read_text().splitlines()
        point = str(nfs_run.directory / "export-domain")
        assert arguments == ["-t", "nfs", "-o", "nosuid,nodev,noexec", SERVER, point]
        assert mounts_below(tmp_path) == ()
        assert tree(place) == before
        (place / DOMAIN_ID).rename(place / "x")
        with pytest.raises(DestinationError, match=f"{SERVER} holds no storage domain"):
            nfs_run.check()
        assert mounts_below(tmp_path) == ()

    @as_root
    def test_a_server_that_refuses(self, nfs_run: Run, place: Path) -> None:
        place.rename(place.with_name("elsewhere"))
        with pytest.raises(DestinationError, match=f"{SERVER} cannot be mounted: .*access denied by server") as caught:
            nfs_run.check()
        assert "nfs-common" in (caught.value.hint or "")

    @as_root
    def test_it_is_mounted_from_setup_to_the_end(self, nfs_run: Run, tmp_path: Path, place: Path) -> None:
        setup = nfs_run.setup()
        point = nfs_run.directory / "export-domain"
        assert mounts_below(tmp_path) == (point,)
        first = nfs_run.ledger.owned()[0]
        assert (first.kind, first.identity) == ("nfs-mount", str(point))
        nfs_run.write(setup)
        created = nfs_run.finalize().created
        assert mounts_below(tmp_path) == ()
        assert len(created) == 3
        for name in created:
            path = Path(name.replace(SERVER, str(place)))
            assert path.is_file()
            assert (path.stat().st_uid, path.stat().st_gid) == (36, 36)

    @as_root
    @pytest.mark.parametrize("lost", [False, True])
    def test_abort_removes_and_unmounts(self, nfs_run: Run, tmp_path: Path, place: Path, lost: bool) -> None:
        """The mount is lost where the machine was started anew in between."""
        before = tree(place)
        nfs_run.setup()
        if lost:
            subprocess.run(["umount", nfs_run.directory / "export-domain"], check=True)
        nfs_run.abort(state=False)
        assert tree(place) == before
        assert mounts_below(tmp_path) == ()
        assert nfs_run.report.warnings == []

    @as_root
    def test_a_server_that_is_gone_is_told_with_what_is_left(self, nfs_run: Run, place: Path) -> None:
        nfs_run.setup()
        subprocess.run(["umount", nfs_run.directory / "export-domain"], check=True)
        place.rename(place.with_name("elsewhere"))
        nfs_run.abort()
        (warning,) = nfs_run.report.warnings
        for disk in nfs_run.state["disks"]:
            assert f"{SERVER}/{DOMAIN_ID}/images/{disk['image']}" in warning

    @as_root
    def test_a_mount_that_failed_is_no_reason_to_mount_again(self, nfs_run: Run, place: Path) -> None:
        place.rename(place.with_name("elsewhere"))
        with pytest.raises(DestinationError):
            nfs_run.setup()
        nfs_run.abort()
        assert nfs_run.report.warnings == []


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
        found = tree(place)
        assert {name: found[name] for name in foreign} == foreign
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
        new = {place / name for name in found.keys() - foreign.keys()}
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


@as_root
class TestOwners:
    def test_a_server_that_takes_root_for_nobody(self, new_run: Callable[..., Run], place: Path) -> None:
        """The domain is VDSM's, root may do nothing there that others may not, and cannot give files away."""
        run, before = new_run(), tree(place)

        def work() -> None:
            probe = place / DOMAIN_ID / "images" / "probe"
            with pytest.raises(PermissionError):
                probe.mkdir()
            run.check()
            setup = run.setup()
            run.write(setup)
            for disk in setup.disks:
                path = Path(dict(disk.parameters)["file"])  # type: ignore[union-attr]
                assert path.stat().st_mode & 0o777 == 0o666, "the servers run as root"
            for name in run.finalize().created:
                status = Path(name).stat()
                assert (status.st_uid, status.st_gid) == (36, 36)
                assert status.st_mode & 0o777 == (0o644 if name.endswith(".ovf") else 0o660)
            assert run.report.warnings == []
            run.abort()
            assert run.report.warnings == []
            assert tree(place) == before

        assert as_user(0, work, drop=SQUASHED) == 0
        assert tree(place) == before

    def test_a_private_directory_in_the_way_is_no_obstacle(self, nfs_run: Run, place: Path) -> None:
        """User 36 could not come to the mount by its path."""
        assert nfs_run.directory.stat().st_mode & 0o777 == 0o700

        def work() -> None:
            nfs_run.setup()
            for name in nfs_run.finalize().created:
                assert Path(name.replace(SERVER, str(place))).stat().st_uid == 36

        assert as_user(0, work, drop=SQUASHED) == 0

    def test_a_domain_that_belongs_to_root(self, new_run: Callable[..., Run], place: Path) -> None:
        for path in (place / DOMAIN_ID, *(place / DOMAIN_ID).rglob("*")):
            os.chown(path, 0, 0)
        run = new_run()
        run.check()
        run.setup()
        for name in run.finalize().created:
            assert (Path(name).stat().st_uid, Path(name).stat().st_gid) == (36, 36)
        assert run.report.warnings == []

    def test_files_that_cannot_be_given_away(self, new_run: Callable[..., Run], place: Path) -> None:
        for path in (place / DOMAIN_ID, *(place / DOMAIN_ID).rglob("*")):
            os.chown(path, 0, 0)
        run = new_run()

        def work() -> None:
            run.setup()
            created = run.finalize().created
            for name in created:
                assert Path(name).stat().st_uid == 0
                assert Path(name).stat().st_mode & 0o777 == (0o644 if name.endswith(".ovf") else 0o666)
            (warning,) = run.report.warnings
            assert "chown -R 36:36 " in warning
            assert f", in {place}, run: " in warning
            for name in created:
                assert str(Path(name).parent.relative_to(place)) in warning.rpartition(" 36:36 ")[2].split()

        assert as_user(0, work, drop=SQUASHED) == 0

    def test_another_user(self, new_run: Callable[..., Run], place: Path, tmp_path: Path) -> None:
        for name in ("images", "master/vms"):
            (place / DOMAIN_ID / name).chmod(0o777)
        run = new_run()
        os.chown(run.directory, 65534, 65534)
        before = tree(place)

        def work() -> None:
            run.check()
            run.setup()
            assert {Path(name).stat().st_uid for name in run.finalize().created} == {65534}
            assert "chown -R 36:36" in run.report.warnings[-1]
            run.abort()
            assert tree(place) == before

        assert as_user(65534, work) == 0

    def test_the_thread_is_root_again_afterwards(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        with pytest.raises(PermissionError), acting_as_vdsm():
            (tmp_path / "denied").touch()
        (tmp_path / "mine").touch()
        assert (tmp_path / "mine").stat().st_uid == 0


class TestFailures:
    @as_root
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_no_space_for_the_images(self, tmp_path: Path, new_run: Callable[..., Run], image_format: str) -> None:
        with ext4(tmp_path / "small") as small:
            make_domain(small)
            before = tree(small)
            run = new_run(storage=str(small), sizes=(MIB, 64 * MIB), allocation="preallocated", format=image_format)
            with pytest.raises(
                DestinationError, match=r"no space for .*: 67108864 bytes are needed, \d+ bytes are free"
            ):
                run.setup()
            run.abort(state=False)
            assert tree(small) == before
            assert run.report.warnings == []

    @as_root
    def test_no_space_at_the_end(self, tmp_path: Path, new_run: Callable[..., Run]) -> None:
        with ext4(tmp_path / "small", "8M") as small:
            make_domain(small)
            before = tree(small)
            run = new_run(storage=str(small), sizes=(MIB,))
            run.write(run.setup())
            with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(b"x" * 512)
            with pytest.raises(DestinationError, match=r"cannot be written to .*: No space left") as caught:
                run.finalize()
            assert caught.value.hint == "free some space"
            run.abort()
            (small / "filler").unlink()
            assert tree(small) == before

    def test_a_disk_that_is_gone(self, new_run: Callable[..., Run], place: Path) -> None:
        before = tree(place)
        run = new_run()
        run.setup()
        image = run.state["disks"][1]
        (place / DOMAIN_ID / "images" / image["image"] / image["volume"]).unlink()
        with pytest.raises(DestinationError, match="No such file"):
            run.finalize()
        run.abort()
        assert tree(place) == before

    def test_what_cannot_be_removed_is_named(
        self, new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = new_run()
        run.setup()

        def refuse(*_arguments: Any, **_options: Any) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(shutil, "rmtree", refuse)
        run.abort()
        assert len(run.report.warnings) == 2
        for disk in run.state["disks"]:
            assert disk["image"] in str(run.report.warnings)

    def test_a_place_that_is_gone_is_told(self, new_run: Callable[..., Run], place: Path) -> None:
        run = new_run()
        run.setup()
        place.rename(place.with_name("elsewhere"))
        run.abort()
        assert len(run.report.warnings) == 2

    @pytest.mark.parametrize("hook", ["setup", "finalize"])
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_killed_before_each_change(
        self, new_run: Callable[..., Run], place: Path, hook: str, image_format: str
    ) -> None:
        """The process is killed before the first, the second … call that changes something, until it comes through."""
        before = tree(place)
        calls = 0
        while True:
            run = new_run(format=image_format)
            record_to(run)
            if hook == "finalize":
                run.setup()
            ended = killed_before(calls, run.setup if hook == "setup" else run.finalize)
            recorded(run)
            run.abort(state=hook == "finalize")
            run.abort(state=False)
            assert tree(place) == before, f"killed before change {calls}"
            assert run.report.warnings == []
            if not ended:
                break
            calls += 1
        assert calls > 8
