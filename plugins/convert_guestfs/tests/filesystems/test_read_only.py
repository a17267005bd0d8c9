# SPDX-License-Identifier: GPL-2.0-or-later
"""A read-only root is writable during the conversion, or the reason is told exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from v2v_convert_guestfs.filesystems.read_only import make_read_only, make_writable, why_read_only
from v2v_convert_guestfs.session import Session
from v2v_core.testing import FakeReporter

Make = Callable[..., Session]


def test_a_read_only_subvolume(disks: type[Any], looked_at: Make) -> None:
    """See openSUSE/microos-tools#9 and rancher/elemental-toolkit#1998: the root is read-only, and tools unlock it."""
    handle = disks({"/dev/sda1": "btrfs"})
    handle.shell["btrfs property get"] = "ro=true\n"
    session = looked_at(handle)
    make_writable(session)
    assert handle.commands[-1] == "btrfs property set -ts /sysroot ro false"
    report = session.report
    assert isinstance(report, FakeReporter)
    assert "read-only again afterwards" in report.infos[0]
    make_read_only(session)
    assert handle.commands[-1] == "btrfs property set -ts /sysroot ro true"
    done = len(handle.commands)
    make_read_only(session)
    assert len(handle.commands) == done


@pytest.mark.parametrize("kind", ["btrfs", "ext4"])
def test_a_writable_root_stays_as_it_is(kind: str, disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda1": kind})
    handle.shell["btrfs property get"] = "ro=false\n"
    session = looked_at(handle)
    make_writable(session)
    make_read_only(session)
    assert not [command for command in handle.commands if " set " in command]


def test_a_root_that_cannot_be_locked_again_is_a_warning(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda1": "btrfs"})
    handle.shell["btrfs property get"] = "ro=true\n"
    session = looked_at(handle)
    make_writable(session)

    def fail(command: str, words: list[str]) -> str:
        raise RuntimeError("debug: cannot set flags on subvolume: has received_uuid set")

    handle.debug = fail
    make_read_only(session)
    report = session.report
    assert isinstance(report, FakeReporter)
    assert "stays writable" in report.warnings[0]
    assert "btrfs property set -ts / ro true" in report.warnings[0]


def test_why_other_roots_are_read_only(disks: type[Any], looked_at: Make) -> None:
    image = why_read_only(looked_at(disks({"/dev/sda1": "squashfs"})))
    assert image is not None
    assert "it is an image (squashfs)" in image[0]
    superblock = bytearray(2048)
    superblock[1080:1082], superblock[1125] = b"\x53\xef", 0x10
    locked = why_read_only(looked_at(disks({"/dev/sda1": "ext4"}, contents={"/dev/sda1": bytes(superblock)})))
    assert locked is not None
    assert "tune2fs -O ^read-only" in locked[1]
    assert why_read_only(looked_at(disks({"/dev/sda1": "ext4"}))) is None
