# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration of X gets a driver that works on KVM."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.linux import (
    display,
)

DEVICE = (
    b'Section "Device"\n  Identifier "x"\n  Driver "vmware"\n  BoardName "SVGA"\n  BusID "PCI:0:15:0"\nEndSection\n'
)


def test_xorg() -> None:
    mouse = b'Section "InputDevice"\n  Driver "vmmouse"\n  VendorName "x"\nEndSection\n'
    new = display.xorg(DEVICE + mouse, "modesetting")
    assert new == b'Section "Device"\n  Identifier "x"\n  Driver "modesetting"\nEndSection\n' + mouse
    assert display.xorg(new, "modesetting") == new


@pytest.mark.parametrize(
    ("there", "driver"),
    [("/usr/lib/xorg/modules/drivers/vesa_drv.so", b"vesa"), ("/usr/bin/X", b"modesetting")],
)
def test_the_driver_is_one_that_the_guest_has(guest: Any, there: str, driver: bytes) -> None:
    guest.add("/etc/X11/XF86Config", DEVICE)
    guest.add("/etc/X11/xorg.conf.d/20-vmware.conf", DEVICE)
    guest.add(there)
    display.set_display_driver(guest.session, guest.files)
    for path in ("/etc/X11/XF86Config", "/etc/X11/xorg.conf.d/20-vmware.conf"):
        assert b'Driver "%s"' % driver in guest.read(path)
    assert len(guest.report.warnings) == (driver == b"vesa")


def test_the_old_name_of_the_configuration_is_read_only_without_the_new_one(guest: Any) -> None:
    guest.add("/etc/X11/xorg.conf", DEVICE)
    guest.add("/etc/X11/XF86Config", DEVICE)
    display.set_display_driver(guest.session, guest.files)
    assert guest.read("/etc/X11/XF86Config") == DEVICE
    assert guest.read("/etc/X11/xorg.conf") != DEVICE
