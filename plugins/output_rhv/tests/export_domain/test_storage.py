# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv`` over NFS: what it mounts, how, and for how long. ``mount -t nfs`` is simulated."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_domains import DOMAIN_ID, SERVER, Run, as_root, tree
from v2v_core.api import DestinationError, OutputSettings, mounts_below
from v2v_output_rhv.export_domain.storage import Storage


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
        """The mount is lost if the machine was restarted in between."""
        before = tree(place)
        nfs_run.setup()
        if lost:
            subprocess.run(["umount", nfs_run.directory / "export-domain"], check=True)
        nfs_run.abort(state=False)
        assert tree(place) == before
        assert mounts_below(tmp_path) == ()
        assert nfs_run.report.warnings == []

    @as_root
    @pytest.mark.parametrize("finalized", [False, True])
    def test_abort_goes_on_when_the_server_answers_again(
        self, nfs_run: Run, tmp_path: Path, place: Path, finalized: bool
    ) -> None:
        before = tree(place)
        nfs_run.setup()
        if finalized:
            nfs_run.finalize()
        else:
            subprocess.run(["umount", nfs_run.directory / "export-domain"], check=True)
        place.rename(place.with_name("elsewhere"))
        for _ in range(2):
            nfs_run.report.warnings.clear()
            left = nfs_run.abort()
            (warning,) = nfs_run.report.warnings
            assert "access denied by server" in warning
        images = [f"{SERVER}/{DOMAIN_ID}/images/{disk['image']}" for disk in nfs_run.state["disks"]]
        machine = [f"{SERVER}/{DOMAIN_ID}/master/vms/{nfs_run.state['machine']}"] if finalized else []
        point = str(nfs_run.directory / "export-domain")
        assert [thing.identity for thing in left] == [point, *images, *machine]
        place.with_name("elsewhere").rename(place)
        nfs_run.report.warnings.clear()
        assert nfs_run.abort(state=False, owned=left) == ()
        assert nfs_run.report.warnings == []
        assert tree(place) == before
        assert mounts_below(tmp_path) == ()

    @as_root
    def test_mount_that_stays_is_left(self, nfs_run: Run, tmp_path: Path, place: Path) -> None:
        before = tree(place)
        nfs_run.setup()
        umount = tmp_path / "bin" / "umount"
        umount.write_text("#!/bin/sh\necho 'umount: must be superuser to unmount' >&2\nexit 32\n")
        umount.chmod(0o755)
        left = nfs_run.abort()
        assert [thing.kind for thing in left] == ["nfs-mount"]
        (warning,) = nfs_run.report.warnings
        assert f"{SERVER} is still mounted on" in warning
        assert tree(place) == before
        umount.unlink()
        assert nfs_run.abort(owned=left) == ()
        assert mounts_below(tmp_path) == ()

    @as_root
    def test_abort_does_not_mount_again_after_a_failed_mount(self, nfs_run: Run, place: Path) -> None:
        place.rename(place.with_name("elsewhere"))
        with pytest.raises(DestinationError):
            nfs_run.setup()
        nfs_run.abort()
        assert nfs_run.report.warnings == []
