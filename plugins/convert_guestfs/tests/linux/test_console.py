# SPDX-License-Identifier: GPL-2.0-or-later
"""A target without a serial port: nothing in the guest waits for a console on one, or on Xen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux import console
from v2v_convert_guestfs.linux.editors import grub_cfg

INITTAB = b"""\
#co:2345:respawn:/sbin/agetty xvc0 9600
co:2345:respawn:/sbin/agetty xvc0 9600
h0:2345:respawn:/sbin/agetty hvc0 9600
T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
T1:23:respawn:/sbin/getty -L ttyS1 9600 vt100
1:2345:respawn:/sbin/getty tty1
"""


def test_logins_on_consoles_that_do_not_exist_go() -> None:
    kept = INITTAB.splitlines(keepends=True)
    assert console.inittab_without_consoles(INITTAB) == b"".join((kept[0], *kept[4:]))
    assert console.securetty_without_consoles(b"tty1\nhvc0\nttyS0\nxvc0") == b"tty1\nttyS0\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"linux /vmlinuz root=/dev/vda1 console=hvc0 quiet\n", b"linux /vmlinuz root=/dev/vda1 quiet\n"),
        (b"linux /vmlinuz root=/dev/vda1 console=hvc0\n", b"linux /vmlinuz root=/dev/vda1\n"),
        (b"kernel /vmlinuz console=xvc0,9600n8 console=tty0\n", b"kernel /vmlinuz console=tty0\n"),
        (b'GRUB_CMDLINE_LINUX="console=hvc0 quiet"\n', b'GRUB_CMDLINE_LINUX="quiet"\n'),
        (b'GRUB_CMDLINE_LINUX="console=hvc0"\n', b'GRUB_CMDLINE_LINUX=""\n'),
        (b"GRUB_CMDLINE_LINUX='quiet console=hvc0'\n", b"GRUB_CMDLINE_LINUX='quiet'\n"),
        (b"console=hvc0 console=xvc0 quiet\n", b"quiet\n"),
        (
            b"options console=hvc01 netconsole=hvc0 console=ttyS0\n",
            b"options console=hvc01 netconsole=hvc0 console=ttyS0\n",
        ),
    ],
)
def test_consoles_of_xen_go_from_kernel_command_lines(old: bytes, new: bytes) -> None:
    assert grub_cfg.remove_consoles(old) == new


@given(st.binary(max_size=300))
def test_what_names_no_console_stays(data: bytes) -> None:
    plain = data.replace(b"vc0", b"").replace(b"ttyS0", b"")
    assert grub_cfg.remove_consoles(plain) == plain
    assert console.inittab_without_consoles(plain) == console.securetty_without_consoles(plain) == plain


def test_they_go_from_the_whole_guest(phony: Callable[..., Any]) -> None:
    wants = "/etc/systemd/system/getty.target.wants/serial-getty@"
    template = "/usr/lib/systemd/system/serial-getty@.service"
    guest = phony(
        {
            template: b"",
            "/etc/inittab": INITTAB,
            "/etc/securetty": b"tty1\nhvc0\n",
            "/etc/default/grub": b'GRUB_CMDLINE_LINUX="console=hvc0 quiet"\n',
            "/boot/grub2/grub.cfg": b"menuentry 'a' {\n linux /vmlinuz-1 root=/dev/vda1 console=hvc0\n}\n",
        },
        links={f"{wants}hvc0.service": template, f"{wants}ttyS0.service": template, f"{wants}ttyS1.service": template},
    )
    console.remove_consoles(guest.files, guest.bootloader())
    assert guest.tree.links == {f"{wants}ttyS1.service": template}
    for path in ("/etc/securetty", "/etc/default/grub", "/boot/grub2/grub.cfg"):
        assert b"vc0" not in guest.content(path)
    assert b"\nT0" not in guest.content("/etc/inittab")
    assert {"/etc/inittab", "/etc/default/grub", f"{wants}ttyS0.service"} <= set(guest.changed)


def test_consoles() -> None:
    old = b"#hvc0\nco:2345:respawn:/sbin/agetty xvc0 9600\n1:2345:respawn:/sbin/getty tty1\n"
    assert console.inittab(old) == old.replace(b"xvc0", b"ttyS0")
    ids = b"hvc0:2345:respawn:/sbin/getty -L 9600 hvc0\nx:2:off:/sbin/getty xvc0 xvc0\n"
    assert console.inittab(ids) == (b"hvc0:2345:respawn:/sbin/getty -L 9600 ttyS0\n#x:2:off:/sbin/getty xvc0 xvc0\n")
    serial = b"T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n"
    assert console.inittab(serial + old) == serial + old.replace(b"\nco:", b"\n#co:")
    assert console.securetty(b"tty1\nhvc0\n") == b"tty1\nttyS0\n"
    assert console.securetty(b"ttyS0\nhvc0\n") == b"ttyS0\nhvc0\n"


def test_logins_of_systemd(phony: Callable[..., Any]) -> None:
    wants = "/etc/systemd/system/getty.target.wants/serial-getty@"
    template = "/usr/lib/systemd/system/serial-getty@.service"
    guest = phony({template: b"", "/boot/grub2/grub.cfg": b""}, links={f"{wants}hvc0.service": template})
    console.replace_consoles(guest.files, guest.bootloader())
    assert guest.tree.links == {f"{wants}ttyS0.service": template}
