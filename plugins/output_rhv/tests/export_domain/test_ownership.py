# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv``: the owners of its files, on different kinds of file servers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from export_domains import DOMAIN_ID, SERVER, SQUASHED, Run, as_root, as_user, tree
from v2v_output_rhv.export_domain.ownership import acting_as_vdsm


@as_root
class TestOwners:
    def test_a_server_that_squashes_root(self, new_run: Callable[..., Run], place: Path) -> None:
        """The domain belongs to VDSM. Root has no privileges there, and cannot change the owner of files."""
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
        """User 36 cannot reach the mount by its path."""
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
