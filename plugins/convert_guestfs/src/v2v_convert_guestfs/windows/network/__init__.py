# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's static network settings, which its new NICs get at first boot.

Windows ties them to an adapter, and on KVM it finds other adapters. So they are read here and set again there, and the
adapters that are gone lose their addresses, because Windows objects to a second adapter with one.
"""

from v2v_convert_guestfs.windows.network.change import change
from v2v_convert_guestfs.windows.network.examine import examine
from v2v_convert_guestfs.windows.network.plan import NetworkPlan, ReplayedAddress

__all__ = ["NetworkPlan", "ReplayedAddress", "change", "examine"]
