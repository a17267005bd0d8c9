# SPDX-License-Identifier: GPL-2.0-or-later
"""The appliance's console: every line of it is logged, and the one that says why it did not start is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.appliance_console import Console

NO_USERS = "/usr/lib/tmpfiles.d/systemd.conf:10: Failed to resolve user 'systemd-network': No such file or directory"
#: What libguestfs 1.48 printed, shortened.
STARTS = (
    "supermin: mounting /proc\r\nsupermin: ext2 mini initrd starting up: 5.2.2\r\nStarting /init script ...\r\n"
    f"\x1b[0;1;31m{NO_USERS}\x1b[0m\r\r\n"
)
NEARLY_UP = "/init: line 108: echo: write error: Invalid argument\r\n[]\r\nguestfsd\r\nlvm_system_dir = /tmp/lvm\r\n"
WITHOUT_UDEV = (
    STARTS
    + "error: udev not found!  Things will probably not work ...\r\n/init: line 100: udevadm: command not found\r\n"
    + NEARLY_UP
    + "guestfsd: failed to initialize device name translation cache: ls: cannot access '/dev/disk/by-path': No such "
    "file or directory\r\nRebooting.\r\r\n[    5.344473] reboot: Restarting system\r\n"
)
WITHOUT_DAEMON = (
    STARTS
    + NEARLY_UP
    + ("/init: line 209: guestfsd: command not found\r\nRebooting.\r\r\n[    6.868858] reboot: Restarting system\r\n")
)
PANIC = "[    2.557359] Kernel panic - not syncing: {}\r\n[    2.561142] Call Trace:\r\n[    2.569918] Rebooting\r\n"
WITHOUT_LIBC = (
    STARTS
    + "/bin/bash: error while loading shared libraries: libc.so.6: cannot open shared object file\r\n"
    + PANIC.format("Attempted to kill init! exitcode=0x00007f00")
)
WITHOUT_ROOT = STARTS + "mount: /root: Invalid argument\r\n" + PANIC.format("Attempted to kill init!")
WITHOUT_INITRD = "[    1.350701] /dev/root: Can't open blockdev\r\n" + PANIC.format("VFS: Unable to mount root fs")
APPLIANCE = Path("/var/tmp/.guestfs-0")
NO_KERNEL = f"qemu: could not load kernel '{APPLIANCE}/appliance.d/kernel': No such file or directory\n"
NO_DISK = "qemu-system-x86_64: -device scsi-hd,drive=hd0: Failed to connect\n"


def console_of(text: str, piece: int = 7) -> tuple[Console, list[str]]:
    logged: list[str] = []
    console = Console(logged.append)
    for start in range(0, len(text), piece):
        console.hear(text[start : start + piece])
    console.finish()
    return console, logged


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (WITHOUT_UDEV, "error: udev not found!  Things will probably not work ..."),
        (WITHOUT_DAEMON, "/init: line 209: guestfsd: command not found"),
        (WITHOUT_LIBC, "/bin/bash: error while loading shared libraries: libc.so.6: cannot open shared object file"),
        (WITHOUT_ROOT, "mount: /root: Invalid argument"),
        (WITHOUT_INITRD, "Kernel panic - not syncing: VFS: Unable to mount root fs"),
        (NO_KERNEL, NO_KERNEL.strip()),
        ("qemu-system-x86_64: warning: host doesn't support it\n" + NO_DISK, NO_DISK.strip()),
        (STARTS, NO_USERS),
        ("no end of line", "no end of line"),
        ("", None),
    ],
)  # fmt: skip
def test_the_line_that_says_why(text: str, reason: str | None) -> None:
    assert console_of(text)[0].reason == reason


def test_every_line_is_logged_without_what_a_terminal_obeys() -> None:
    _, logged = console_of("a\x1b[0;1;31mb\x1b[0m\r\r\nc\x07\x1b]0;x\r\n\r\n" + "d" * 5000)
    assert logged[:2] == ["appliance: ab", "appliance: c   ]0;x".replace("   ", "  ")]
    assert "".join(line.removeprefix("appliance: ") for line in logged[2:]).startswith("d" * 2000)
    assert max(map(len, logged)) < 2100


@pytest.mark.parametrize(
    ("text", "blamed"),
    [(NO_DISK, True), (NO_KERNEL, False), (NO_DISK + NO_KERNEL, False), (WITHOUT_UDEV, False), ("", False)],
)
def test_whether_a_new_appliance_would_help(text: str, blamed: bool) -> None:
    assert console_of(text)[0].blames_qemu(APPLIANCE) is blamed


@given(st.lists(st.text(max_size=30), max_size=20))
def test_pieces_make_no_difference(pieces: list[str]) -> None:
    logged: list[str] = []
    console = Console(logged.append)
    for piece in pieces:
        console.hear(piece)
    console.finish()
    assert logged == console_of("".join(pieces), piece=1)[1]
