# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of an NTFS volume, from its own structures and from the answers of ntfs-3g's probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntfs_images import marked_dirty, ntfs
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.checks.before_mounting import check_volumes
from v2v_convert_guestfs.windows.checks.ntfs import REMEDIES, Obstacle, find_obstacles, parse_boot_sector, volume_flags
from v2v_core.api import ConvertRequest, ConvertSettings, Guest, Inspection
from v2v_core.testing import FakeReporter

C, D, BOOT = "/dev/sda2", "/dev/sdb1", "/dev/sda1"
HIBERNATED = b"hibr".ljust(8192, b"\0")


class Volumes:
    """A fake of the part of libguestfs that looks at volumes: files by device, and what ntfs-3g's probe returns."""

    def __init__(self, files: Mapping[str, Mapping[str, bytes]], probe: Mapping[str, int] | None = None) -> None:
        self.files, self.probe = files, probe or {}
        self.contents: dict[str, bytes] = {}
        self.mounted: str | None = None

    def list_devices(self) -> list[str]:
        return sorted({device.rstrip("0123456789") for device in self.files})

    def list_partitions(self) -> list[str]:
        return sorted(self.files)

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return self.contents.get(device, b"")[offset : offset + count]

    def ntfs_3g_probe(self, rw: bool, device: str) -> int:
        assert rw
        assert self.mounted is None
        return self.probe.get(device, 0)

    def mount_ro(self, device: str, place: str) -> None:
        assert self.mounted is None
        if self.probe.get(device) == 13:
            raise RuntimeError("mount_ro: Input/output error")
        self.mounted = device

    def umount_all(self) -> None:
        self.mounted = None

    def case_sensitive_path(self, path: str) -> str:
        assert self.mounted is not None
        return next((name for name in self.files[self.mounted] if name.lower() == path.lower()), path)

    def is_file(self, path: str) -> bool:
        assert self.mounted is not None
        return path in self.files[self.mounted]

    def pread(self, path: str, count: int, offset: int) -> bytes:
        assert self.mounted is not None
        return self.files[self.mounted][path][offset : offset + count]


def session(handle: Volumes) -> Session:
    request = ConvertRequest(
        directory=Path(),
        temporary=Path(),
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=FakeReporter(),
    )
    made = Session(request=request, handle=handle, filesystems=dict.fromkeys(handle.files, "ntfs"))
    made.found = Inspection(root=C, os_type="windows", distro="windows", arch="x86_64", mountpoints=(("/", C),))
    return made


def warnings(session: Session) -> list[str]:
    assert isinstance(session.report, FakeReporter)
    return session.report.warnings


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return ntfs(tmp_path_factory.mktemp("ntfs"))


def test_the_dirty_flag_of_a_real_volume(volume: bytes) -> None:
    handle = Volumes({C: {}})
    for content, expected in ((volume, []), (marked_dirty(volume), [Obstacle.DIRTY])):
        handle.contents[C] = content
        assert find_obstacles(session(handle), C) == expected


@pytest.mark.parametrize("size", [0, 100, 512, 4096, 20_000])
def test_a_cut_volume_is_not_dirty(volume: bytes, size: int) -> None:
    handle = Volumes({C: {}})
    handle.contents[C] = marked_dirty(volume)[:size]
    assert find_obstacles(session(handle), C) == []


@given(st.data())
def test_any_sector_and_record_are_understood_or_not(data: st.DataObject) -> None:
    rest = data.draw(st.binary(min_size=501, max_size=501))
    geometry = parse_boot_sector(b"\xeb\x52\x90NTFS    " + rest)
    if geometry is not None:
        assert geometry.sector in {512, 1024, 2048, 4096}
        assert 512 <= geometry.record <= 65536
        assert 0 <= geometry.mft < 1 << 62


@given(st.binary(max_size=1020), st.integers(0, 65535), st.integers(0, 65535))
def test_any_record_has_flags_or_none(rest: bytes, update_sequence: int, count: int) -> None:
    geometry = parse_boot_sector(b"\xeb\x52\x90NTFS    \0\x02\x08" + bytes(50) + b"\xf6" + bytes(447))
    assert geometry is not None
    head = b"FILE" + update_sequence.to_bytes(2, "little") + count.to_bytes(2, "little")
    flags = volume_flags((head + rest).ljust(1024, b"\0")[:1024], geometry)
    assert flags is None or 0 <= flags <= 65535


@pytest.mark.parametrize(
    ("hiberfil", "probe", "expected"),
    [
        ({"/hiberfil.sys": HIBERNATED}, 14, [Obstacle.HIBERNATED]),
        ({"/HiberFil.SYS": HIBERNATED.replace(b"hibr", b"HIBR")}, 15, [Obstacle.HIBERNATED]),
        # Fast Startup is on (HiberbootEnabled), and the last shutdown was a complete one: nothing to say
        ({"/hiberfil.sys": bytes(8192)}, 0, []),
        ({"/hiberfil.sys": b"wake".ljust(8192, b"\0")}, 0, []),
        ({"/hiberfil.sys": b"RSTR".ljust(8192, b"\0")}, 0, []),
        ({}, 0, []),
        ({"/hiberfil.sys": b""}, 14, [Obstacle.SHORT_HIBERFIL]),
        ({}, 14, [Obstacle.CACHED]),
        ({"/hiberfil.sys": bytes(8192)}, 15, [Obstacle.NOT_CLOSED]),
        ({}, 13, [Obstacle.DAMAGED]),
    ],
)
def test_hibernation_and_journal(hiberfil: dict[str, bytes], probe: int, expected: list[Obstacle]) -> None:
    """See adminsyspro/proxcenter-ui#400: the snapshot of a running Windows ended in "No root device found"."""
    handle = Volumes({C: hiberfil}, {C: probe})
    assert find_obstacles(session(handle), C) == expected
    assert handle.mounted is None


def test_all_obstacles_are_told_at_once(volume: bytes) -> None:
    handle = Volumes({C: {"/hiberfil.sys": HIBERNATED}}, {C: 14})
    handle.contents[C] = marked_dirty(volume)
    blockers = Blockers()
    assert check_volumes(session(handle), blockers)
    assert [reason.partition(":")[0] for reason, _ in blockers.reasons] == [
        f"the Windows volume {C} cannot be written"
    ] * 2
    assert [remedy for _, remedy in blockers.reasons] == [REMEDIES[Obstacle.HIBERNATED], REMEDIES[Obstacle.DIRTY]]


def test_data_may_be_in_any_state_and_the_boot_volume_may_not() -> None:
    handle = Volumes({BOOT: {"/Boot/bcd": b"regf"}, C: {}, D: {}}, {BOOT: 15, D: 15})
    found, blockers = session(handle), Blockers()
    assert check_volumes(found, blockers)
    ((reason, _),) = blockers.reasons
    assert reason.startswith(f"the boot volume {BOOT} cannot be written: it was not closed")
    (warning,) = warnings(found)
    assert warning.startswith(f"the volume {D} was not left in order: it was not closed")
    assert "copied as it is" in warning


def test_without_a_probe_the_rest_is_still_found() -> None:
    class OldAppliance(Volumes):
        def ntfs_3g_probe(self, rw: bool, device: str) -> int:
            raise RuntimeError("ntfs_3g_probe: feature 'ntfs3g' is not available in this build")

    handle = OldAppliance({C: {"/hiberfil.sys": HIBERNATED}})
    assert find_obstacles(session(handle), C) == [Obstacle.HIBERNATED]


def test_every_obstacle_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Obstacle)
