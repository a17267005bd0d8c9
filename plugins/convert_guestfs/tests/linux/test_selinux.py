# SPDX-License-Identifier: GPL-2.0-or-later
"""SELinux: new files get labels, and the guest labels itself where that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.linux import (
    selinux,
)

WHY = "because"


def selinux_guest(guest: Any, mode: bytes) -> Any:
    guest.add("/usr/sbin/load_policy")
    guest.add("/etc/selinux/config", b"# SELINUX=disabled\nSELINUX=" + mode + b"\nSELINUXTYPE=targeted\n")
    guest.handle.labels |= {"/etc", "/etc/fstab"}
    guest.add("/etc/fstab")

    def setfiles(words: list[str]) -> str:
        assert words[1:3] == ["-F", "/etc/selinux/targeted/contexts/files/file_contexts"]
        guest.handle.labels.update(words[3:])
        return ""

    guest.handle.programs |= {"setfiles": setfiles, "find": lambda _: "/etc/fstab\n/etc/ld.so.cache\n/gone\n"}
    guest.add("/etc/ld.so.cache")
    return guest


@pytest.mark.parametrize("mode", [b"enforcing", b"permissive", b"Enforcing"])
def test_only_what_is_new_gets_labels(guest: Any, mode: bytes) -> None:
    selinux_guest(guest, mode)
    guest.files.create("/opt/a/b/c", b"", mode=0o644, what="x", why=WHY)
    guest.files.link("c", "/opt/a/b/d", what="x", why=WHY)
    selinux.label(guest.session, guest.files)
    labelled = guest.handle.commands[-1][3:]
    assert sorted(labelled) == ["/etc/ld.so.cache", "/opt", "/opt/a", "/opt/a/b", "/opt/a/b/c", "/opt/a/b/d"]
    assert "/.autorelabel" not in guest.everything()


@pytest.mark.parametrize("broken", ["setfiles", "find"])
def test_the_guest_labels_itself_where_that_fails(guest: Any, broken: str) -> None:
    selinux_guest(guest, b"enforcing")
    del guest.handle.programs[broken]
    selinux.label(guest.session, guest.files)
    assert "/.autorelabel" in guest.everything()


def test_labels_that_were_not_set_are_noticed(guest: Any) -> None:
    selinux_guest(guest, b"enforcing").handle.programs["setfiles"] = lambda _: ""
    selinux.label(guest.session, guest.files)
    assert "/.autorelabel" in guest.everything()


def test_without_selinux_nothing_is_labelled(tmp_path: Path, make_guest: Callable[..., Any]) -> None:
    disabled, unused = (
        selinux_guest(make_guest(tmp_path / n), m) for n, m in (("a", b"disabled"), ("b", b"enforcing"))
    )
    unused.handle.labels.clear()
    for guest in (disabled, unused):
        selinux.label(guest.session, guest.files)
        assert "/.autorelabel" not in guest.everything()
        assert not guest.handle.commands
