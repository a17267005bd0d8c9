# SPDX-License-Identifier: GPL-2.0-or-later
"""Encrypted devices inside encrypted devices: they are found, opened, and no key is ever written to a log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_convert_guestfs import encryption
from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.disks import list_filesystems
from v2v_convert_guestfs.plugin import GuestfsConvert
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, Guest, SourceDisk
from v2v_core.testing.fakes import FakeReporter

pytestmark = pytest.mark.slow

OUTER, INNER, WRONG = "outer-s3cret", "inner-s3cret", "wrong-s3cret"


def request(tmp_path: Path, endpoint: DiskEndpoint, report: FakeReporter, *keys: str) -> ConvertRequest:
    return ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="phony", disks=(SourceDisk(index=1),)),
        disks=(endpoint,),
        settings=ConvertSettings(emulation=True, verbose=True, keys=keys),
        report=report,
    )


def test_luks_in_a_logical_volume_in_luks(
    tmp_path: Path, serve_blank: Callable[[int], DiskEndpoint], close_encrypted: Callable[..., None]
) -> None:
    report, endpoint = FakeReporter(), serve_blank(160 * 1024 * 1024)
    with Appliance(request(tmp_path, endpoint, report)) as appliance:
        handle = appliance.handle
        handle.part_disk("/dev/sda", "mbr")
        handle.luks_format("/dev/sda1", OUTER, 0)
        handle.cryptsetup_open("/dev/sda1", OUTER, "outer")
        handle.pvcreate("/dev/mapper/outer")
        handle.vgcreate("my-vg", ["/dev/mapper/outer"])
        handle.lvcreate("root", "my-vg", 64)
        handle.luks_format("/dev/my-vg/root", INNER, 0)
        handle.cryptsetup_open("/dev/my-vg/root", INNER, "inner")
        handle.mkfs("ext4", "/dev/mapper/inner")
        uuid = str(handle.vfs_uuid("/dev/sda1"))
        inner_uuid = str(handle.vfs_uuid("/dev/my-vg/root"))
        # Everything is closed again, as when an appliance starts.
        handle.cryptsetup_close("/dev/mapper/inner")
        close_encrypted(handle, "my-vg")

        (tmp_path / "key").write_text(OUTER + "\n")
        keys = (f"UUID={uuid.upper()}:file:{tmp_path}/key", f"/dev/mapper/my--vg-root:key:{INNER}")
        wanted = request(tmp_path, endpoint, report, f"/dev/vda1:key:{WRONG}", *keys, f"/dev/sdz9:key:{WRONG}")
        session, blockers = Session(request=wanted, handle=handle), Blockers()
        session.filesystems = list_filesystems(handle)
        assert session.filesystems == {"/dev/sda1": "crypto_LUKS"}
        encryption.open_encrypted(session, blockers)
        blockers.stop()
        assert session.filesystems[f"/dev/mapper/luks-{inner_uuid}"] == "ext4"
        assert encryption.encrypted(session) == []
    assert [text for text in report.warnings if "/dev/sdz9" in text]

    with pytest.raises(ConversionError) as caught:
        GuestfsConvert().v2v_convert(request(tmp_path, endpoint, report, keys[0], f"/dev/my-vg/root:key:{WRONG}"))
    assert "/dev/my-vg/root cannot be opened with the keys given" in caught.value.message
    assert "no operating system was found; these devices are encrypted: /dev/my-vg/root" in caught.value.message
    assert "--key /dev/my-vg/root:file:FILE" in str(caught.value.hint)

    said = "\n".join([*report.debugs, *report.infos, *report.warnings, *report.messages, str(caught.value)])
    assert "cryptsetup_open" in said
    for secret in (OUTER, INNER, WRONG):
        assert secret not in said
        assert not [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
