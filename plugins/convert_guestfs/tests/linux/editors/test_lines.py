# SPDX-License-Identifier: GPL-2.0-or-later
"""What is appended to a file is a line of its own, even if the last line of the file is continued."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from v2v_convert_guestfs.linux import modprobe
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.linux.initramfs.generators.initramfs_tools import with_modules
from v2v_convert_guestfs.linux.initramfs.generators.make_initrd import with_modules_added

APPENDING: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "shell": (lambda data: shell.set_value(data, "NEW", "1"), b"NEW=1"),
    "modprobe.conf": (lambda data: modprobe.with_adapter(data, "ahci"), b"alias scsi_hostadapter ahci"),
    "initramfs-tools": (lambda data: with_modules(data, ["ahci"]), b"ahci"),
    "make-initrd": (lambda data: with_modules_added(data, ["ahci"]), b"MODULES_ADD += ahci"),
}


@pytest.mark.parametrize("name", APPENDING)
@pytest.mark.parametrize("old", [b"", b"x=1", b"x=1\n", b"x=1 \\", b"x=1 \\\n", b"x=1 \\\n\\", b"\xff \\\n"])
def test_what_is_appended_is_a_line_of_its_own(name: str, old: bytes) -> None:
    append, line = APPENDING[name]
    new = append(old)
    assert new.startswith(old)
    assert line in new.replace(b"\\\n", b" ").split(b"\n")


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("", ""),
        ("a", "a\n"),
        ("a\n", "a\n"),
        ("a\\", "a\\\n\n"),
        ("a\\\n", "a\\\n\n"),
        ("a\\\r\n", "a\\\r\n\n"),
        ("a\\\n\n", "a\\\n\n"),
    ],
)
def test_an_ended_text(text: str, new: str) -> None:
    assert ended(text) == new
    assert ended(new) == new
