# SPDX-License-Identifier: GPL-2.0-or-later
"""Give a Windows guest the drivers that it needs on KVM, and choose its hardware by them."""

from v2v_convert_guestfs.windows.drivers.change import change
from v2v_convert_guestfs.windows.drivers.examine import examine
from v2v_convert_guestfs.windows.drivers.plan import BootDriver, DriversPlan

__all__ = ["BootDriver", "DriversPlan", "change", "examine"]
