# SPDX-License-Identifier: GPL-2.0-or-later
"""Carry out the plan for a guest's drivers."""

from __future__ import annotations

from v2v_convert_guestfs.windows.drivers import install_script
from v2v_convert_guestfs.windows.drivers.plan import DriversPlan
from v2v_convert_guestfs.windows.firstboot.plan import DRIVERS
from v2v_convert_guestfs.windows.guest import WindowsGuest


def change(guest: WindowsGuest, plan: DriversPlan) -> None:
    """Write the drivers, stage the edits of the registry, and let the first boot install the other drivers.

    :raises ConversionError: a file cannot be written.
    """
    for file in plan.files:
        guest.files.create(file.path, file.content, why=file.why)
    for edit in plan.edits:
        if edit.name is None:
            guest.registry.delete_key(edit.hive, edit.key, why=edit.why)
        elif edit.value is None:
            guest.registry.delete_value(edit.hive, edit.key, edit.name, why=edit.why)
        else:
            guest.registry.set(edit.hive, edit.key, edit.name, edit.value, why=edit.why)
    if plan.infs:
        body = install_script.script(plan.infs, add_driver=guest.system.at_least(10), wide=guest.system.arch != "i386")
        guest.first_boot.add(DRIVERS, "drivers", body, why="Windows installs the drivers for its new devices")
