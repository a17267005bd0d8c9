# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o vdsm``: each option, which files are replaced and when, and that a failure leaves VDSM's files unchanged."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from export_domains import (
    DOMAIN_ID,
    MIB,
    Run,
    as_root,
    as_user,
    ext4,
    killed_before,
    make_domain,
    record_to,
    recorded,
    tree,
)
from v2v_core.api import DestinationError, NbdkitPlugin, OptionError, QemuImage, UsageError
from v2v_core.discovery import Role
from v2v_core.plugins import check_plugin
from v2v_output_rhv.ovf.tree import NAMESPACES
from v2v_output_rhv.vdsm.plugin import VdsmOutput

NAMES = {
    "vdsm-image-uuid": ("11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"),
    "vdsm-vol-uuid": ("22222222-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"),
    "vdsm-vm-uuid": "33333333-0000-4000-8000-000000000000",
}


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """Make a storage domain in which VDSM has created the directories of two images."""
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        # pytest's directories are private, and some tests run as other users
        parent.chmod(0o755)
    made = make_domain(tmp_path / "data-center")
    for image in NAMES["vdsm-image-uuid"]:
        (made / "images" / image).mkdir()
        if os.geteuid() == 0:
            os.chown(made / "images" / image, 36, 36)
    return made


@pytest.fixture
def new_run(tmp_path: Path, domain: Path) -> Callable[..., Run]:
    """Return the function that makes a conversion into that domain, with ``options`` for ``-oo``."""
    (tmp_path / "ovfs").mkdir()

    def make(**more: Any) -> Run:
        options = {**NAMES, "vdsm-ovf-output": str(tmp_path / "ovfs"), **more.pop("options", {})}
        options = {key: value for key, value in options.items() if value is not None}
        return Run(VdsmOutput(), tmp_path / "private", **{"storage": str(domain), "options": options, **more})

    return make


def volumes(domain: Path) -> list[Path]:
    pairs = zip(NAMES["vdsm-image-uuid"], NAMES["vdsm-vol-uuid"], strict=True)
    return [domain / "images" / image / volume for image, volume in pairs]


class TestOptions:
    @pytest.mark.parametrize("missing", ["vdsm-image-uuid", "vdsm-vol-uuid", "vdsm-vm-uuid"])
    def test_a_missing_one_is_named(self, new_run: Callable[..., Run], missing: str) -> None:
        with pytest.raises(OptionError, match=f"-o vdsm: option '{missing}': is required") as caught:
            new_run(options={missing: None}).check()
        assert caught.value.key == missing
        # core finds the missing option before it calls the plugin
        plugin = check_plugin(Role.OUTPUT, "vdsm", VdsmOutput, "vdsm")
        given = tuple((key, "x") for key in NAMES if key != missing)
        with pytest.raises(OptionError, match=f"-o vdsm: option '{missing}': is required"):
            plugin.check_options(given)

    @pytest.mark.parametrize("option", ["vdsm-image-uuid", "vdsm-vol-uuid"])
    @pytest.mark.parametrize("count", [1, 3])
    def test_as_many_as_there_are_disks(self, new_run: Callable[..., Run], option: str, count: int) -> None:
        run = new_run(options={option: tuple("abc"[:count])})
        with pytest.raises(OptionError, match=f"'{option}': the guest has 2 disks, and {count} were given") as caught:
            run.check()
        assert f"-oo {option}=UUID" in (caught.value.hint or "")

    @pytest.mark.parametrize("option", ["vdsm-vm-uuid", "vdsm-ovf-output", "vdsm-ovf-flavour", "vdsm-compat"])
    def test_what_may_be_given_once(self, option: str) -> None:
        plugin = check_plugin(Role.OUTPUT, "vdsm", VdsmOutput, "vdsm")
        with pytest.raises(OptionError, match=f"'{option}': given more than once"):
            plugin.check_options(((option, "1"), (option, "1")))

    @pytest.mark.parametrize("option", ["vdsm-image-uuid", "vdsm-vol-uuid"])
    def test_two_disks_cannot_have_one_place(self, new_run: Callable[..., Run], option: str) -> None:
        with pytest.raises(OptionError, match=f"'{option}': same was given twice"):
            new_run(options={option: ("same", "same")}).check()

    @pytest.mark.parametrize("option", ["vdsm-image-uuid", "vdsm-vol-uuid", "vdsm-vm-uuid"])
    @pytest.mark.parametrize("name", ["..", ".", "../x", "/etc", "a/b", "a b", "-x", ".hidden", "x" * 300, "a\nb", "ü"])
    def test_names_lead_nowhere_else(self, new_run: Callable[..., Run], option: str, name: str) -> None:
        with pytest.raises(OptionError, match="is not a UUID") as caught:
            new_run(options={option: (name, "x")[: 1 if option == "vdsm-vm-uuid" else 2]}).check()
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize(
        ("option", "value"),
        [("vdsm-compat", "1.0"), ("vdsm-ovf-flavour", "ovf"), ("vdsm-ovf-flavour", "OVIRT")],
    )
    def test_invalid_values(self, new_run: Callable[..., Run], option: str, value: str) -> None:
        with pytest.raises(OptionError, match=f"'{option}': '{value}' is none of"):
            new_run(options={option: value}).check()

    @pytest.mark.parametrize("settings", [{"storage": None}, {"format": "vmdk"}, {"password_file": Path("/x")}])
    def test_other_options_that_make_no_sense(self, new_run: Callable[..., Run], settings: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="-o vdsm"):
            new_run(**settings).check()

    def test_the_storage_ends_in_a_uuid(self, new_run: Callable[..., Run], domain: Path) -> None:
        new_run(storage=f"{domain}//").check()
        with pytest.raises(UsageError, match="does not end in the UUID of a storage domain"):
            new_run(storage=str(domain.parent)).check()


class TestCheck:
    def test_nothing_is_created(self, new_run: Callable[..., Run], tmp_path: Path, domain: Path) -> None:
        before = tree(tmp_path)
        new_run().check()
        assert {name for name in tree(tmp_path) if name != "private"} == before.keys()

    def test_a_missing_domain(self, new_run: Callable[..., Run], domain: Path) -> None:
        domain.rename(domain.with_name("x"))
        with pytest.raises(DestinationError, match=r"-os: .* does not exist"):
            new_run().check()

    def test_a_missing_image(self, new_run: Callable[..., Run], domain: Path) -> None:
        volumes(domain)[1].parent.rmdir()
        with pytest.raises(DestinationError, match=f"vdsm-image-uuid: .*{NAMES['vdsm-image-uuid'][1]} does not exist"):
            new_run().check()

    def test_a_missing_directory_for_the_ovf(self, new_run: Callable[..., Run], tmp_path: Path) -> None:
        with pytest.raises(DestinationError, match=r"vdsm-ovf-output: the directory .* does not exist"):
            new_run(options={"vdsm-ovf-output": str(tmp_path / "nowhere")}).check()

    @pytest.mark.parametrize("which", ["volume", "meta", "ovf"])
    def test_a_directory_at_a_name(self, new_run: Callable[..., Run], domain: Path, tmp_path: Path, which: str) -> None:
        volume = volumes(domain)[0]
        ovf = tmp_path / "ovfs" / f"{NAMES['vdsm-vm-uuid']}.ovf"
        place = {"volume": volume, "meta": volume.with_name(f"{volume.name}.meta"), "ovf": ovf}[which]
        run = new_run()
        place.mkdir()
        with pytest.raises(DestinationError, match=f"{place} is a directory"):
            run.check()

    def test_a_disk_of_the_source(self, new_run: Callable[..., Run], domain: Path) -> None:
        run = new_run()
        volumes(domain)[0].write_bytes(b"source")
        run.source_files = (volumes(domain)[0],)
        with pytest.raises(DestinationError, match="is a disk of the source"):
            run.check()

    def test_odd_sizes(self, new_run: Callable[..., Run]) -> None:
        with pytest.raises(DestinationError, match="disk 1 has 1000 bytes"):
            new_run(sizes=(1000, MIB)).check()

    @as_root
    def test_directories_that_this_user_cannot_write(self, new_run: Callable[..., Run]) -> None:
        run = new_run()

        def refused() -> None:
            with pytest.raises(DestinationError, match="vdsm-image-uuid: no files can be made"):
                run.check()

        assert as_user(65534, refused) == 0

    @as_root
    def test_space(self, tmp_path: Path, new_run: Callable[..., Run]) -> None:
        with ext4(tmp_path / "small") as small:
            made = make_domain(small)
            for image in NAMES["vdsm-image-uuid"]:
                (made / "images" / image).mkdir()
            new_run(storage=str(made), sizes=(1 << 40, MIB)).check()
            with pytest.raises(DestinationError, match="not enough space"):
                new_run(storage=str(made), sizes=(20 * MIB, 20 * MIB), allocation="preallocated").check()


class TestResult:
    @pytest.mark.parametrize("given", [None, "0.10", "1.1"])
    def test_compat_takes_effect(self, new_run: Callable[..., Run], domain: Path, given: str | None) -> None:
        run = new_run(format="qcow2", options={"vdsm-compat": given})
        run.check()
        assert all(isinstance(disk, QemuImage) and disk.format == "qcow2" for disk in run.setup().disks)
        run.finalize()
        for volume in volumes(domain):
            info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", "-f", "qcow2", volume]))
            assert info["format-specific"]["data"]["compat"] == (given or "0.10")
            assert info["virtual-size"] == MIB

    def test_compat_means_nothing_to_a_raw_image(self, new_run: Callable[..., Run]) -> None:
        run = new_run(options={"vdsm-compat": "1.1"})
        run.check()
        assert all(isinstance(disk, NbdkitPlugin) for disk in run.setup().disks)

    @pytest.mark.parametrize("allocation", ["sparse", "preallocated"])
    @pytest.mark.parametrize("image_format", ["raw", "qcow2"])
    def test_files(
        self, new_run: Callable[..., Run], domain: Path, tmp_path: Path, image_format: str, allocation: str
    ) -> None:
        before = tree(domain)
        run = new_run(format=image_format, allocation=allocation)
        run.check()
        run.setup()
        for volume in volumes(domain):
            assert not volume.exists(), "nothing has its name until all is whole"
        created = run.finalize().created
        ovf = tmp_path / "ovfs" / f"{NAMES['vdsm-vm-uuid']}.ovf"
        assert created == (*map(str, volumes(domain)), str(ovf))
        after = tree(domain)
        assert {name: after[name] for name in before} == before
        files = [*volumes(domain), *(volume.with_name(f"{volume.name}.meta") for volume in volumes(domain))]
        assert {domain / name for name in after.keys() - before.keys()} == set(files)
        assert [path.name for path in (tmp_path / "ovfs").iterdir()] == [ovf.name]
        for volume in volumes(domain):
            if os.geteuid() == 0:
                assert (volume.stat().st_uid, volume.stat().st_gid) == (36, 36), "as their directory"
            assert volume.stat().st_blocks * 512 >= (MIB if allocation == "preallocated" else 0)
            meta = dict(line.split("=") for line in volume.with_name(f"{volume.name}.meta").read_text().split()[:-4])
            assert meta["DOMAIN"] == DOMAIN_ID
            assert meta["IMAGE"] == volume.parent.name
            assert meta["SIZE"] == str(MIB // 512)
            assert meta["FORMAT"] == ("RAW" if image_format == "raw" else "COW")
            assert meta["TYPE"] == allocation.upper()

    @pytest.mark.parametrize(
        ("flavour", "element"),
        [(None, "Content"), ("ovirtexp", "Content"), ("rhvexp", "Content"), ("ovirt", "VirtualSystem")],
    )
    def test_flavours(self, new_run: Callable[..., Run], flavour: str | None, element: str) -> None:
        run = new_run(options={"vdsm-ovf-flavour": flavour}, name="new name")
        run.check()
        run.setup()
        root = etree.parse(run.finalize().created[-1]).getroot()
        assert root.findtext(f"{element}/Name") == "new name"
        files = [file.get(f"{{{NAMESPACES['ovf']}}}id") for file in root.iterfind("References/File")]
        assert files == list(NAMES["vdsm-vol-uuid"])
        assert b"actual_size" not in etree.tostring(root)

    def test_the_ovf_is_in_the_current_directory_by_default(
        self, new_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        run = new_run(options={"vdsm-ovf-output": None})
        run.check()
        run.setup()
        # the steps may run as processes with other current directories
        monkeypatch.chdir("/")
        assert run.finalize().created[-1] == str(tmp_path / "here" / f"{NAMES['vdsm-vm-uuid']}.ovf")

    def test_volumes_of_vdsm_are_replaced_at_the_end(self, new_run: Callable[..., Run], domain: Path) -> None:
        first = volumes(domain)[0]
        first.write_bytes(b"VDSM's")
        first.with_name(f"{first.name}.meta").write_bytes(b"VDSM's, too")
        first.chmod(0o660)
        run = new_run()
        run.check()
        run.write(run.setup())
        assert first.read_bytes() == b"VDSM's"
        run.finalize()
        assert first.read_bytes()[:3] == b"new"
        assert first.stat().st_mode & 0o777 == 0o660
        assert b"VDSM" not in first.with_name(f"{first.name}.meta").read_bytes()
        assert len(list(first.parent.iterdir())) == 2


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[Path]:
    """Make a loop device of 2 MiB."""
    (tmp_path / "backing").write_bytes(b"\xff" * (2 * MIB))
    done = subprocess.run(
        ["losetup", "-f", "--show", tmp_path / "backing"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("no loop devices here")
    yield Path(done.stdout.strip())
    subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)


class TestBlockStorage:
    def test_a_link_to_a_device_is_written_itself_and_stays(
        self, new_run: Callable[..., Run], domain: Path, block_device: Path
    ) -> None:
        volumes(domain)[0].symlink_to(block_device)
        run = new_run()
        run.check()
        setup = run.setup()
        assert not setup.zeroed
        run.write(setup)
        run.finalize()
        assert volumes(domain)[0].is_symlink()
        with block_device.open("rb") as device:
            assert device.read(3) == b"new"
        run.abort()
        assert volumes(domain)[0].is_symlink()

    def test_one_that_is_too_small(self, new_run: Callable[..., Run], domain: Path, block_device: Path) -> None:
        volumes(domain)[0].symlink_to(block_device)
        with pytest.raises(DestinationError, match="is too small"):
            new_run(sizes=(3 * MIB, MIB)).check()


class TestFailures:
    @pytest.mark.parametrize("there", [False, True])
    @pytest.mark.parametrize("hook", ["setup", "finalize"])
    def test_killed_before_each_change(
        self, new_run: Callable[..., Run], domain: Path, tmp_path: Path, hook: str, there: bool
    ) -> None:
        """The process is killed before its first change, then before its second, and so on until it completes."""
        calls = 0
        while True:
            for volume in volumes(domain) if there else []:
                volume.write_bytes(b"VDSM's")
                volume.with_name(f"{volume.name}.meta").write_bytes(b"VDSM's, too")
            before = {place: tree(place) for place in (domain, tmp_path / "ovfs")}
            run = new_run()
            record_to(run)
            if hook == "finalize":
                run.setup()
            ended = killed_before(calls, run.setup if hook == "setup" else run.finalize)
            recorded(run)
            if not ended and hook == "finalize" and there:
                # all files have their names, and the replaced files are gone
                break
            run.abort(state=hook == "finalize")
            run.abort(state=False)
            assert {place: tree(place) for place in before} == before, f"killed before change {calls}"
            assert run.report.warnings == []
            if not ended:
                break
            calls += 1
        assert calls > 5

    def test_abort_goes_on_with_what_could_not_be_deleted(
        self, new_run: Callable[..., Run], domain: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = tree(domain)
        run = new_run()
        run.setup()

        def refuse(self: Path, missing_ok: bool = False) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(Path, "unlink", refuse)
        left = run.abort()
        monkeypatch.undo()
        assert left == run.ledger.owned()
        assert len(left) == len(run.report.warnings) == 2
        run.report.warnings.clear()
        assert run.abort(owned=left) == ()
        assert run.report.warnings == []
        assert tree(domain) == before

    @as_root
    def test_no_space_at_the_end(self, tmp_path: Path, new_run: Callable[..., Run]) -> None:
        with ext4(tmp_path / "small", "8M") as small:
            made = make_domain(small)
            for image in NAMES["vdsm-image-uuid"]:
                (made / "images" / image).mkdir()
            before = tree(small)
            run = new_run(storage=str(made))
            run.write(run.setup())
            with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(b"x" * 512)
            with pytest.raises(DestinationError, match="No space left"):
                run.finalize()
            run.abort()
            (small / "filler").unlink()
            assert tree(small) == before
            assert list((tmp_path / "ovfs").iterdir()) == []
