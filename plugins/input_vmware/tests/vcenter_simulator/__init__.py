# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCenter or an ESXi host to test against: govmomi's simulator, extended by ``main.go``, on loopback.

A real vCenter is not available to a test. ``running.py`` builds the program with Debian's govmomi, runs it, and makes
machines in it.
"""

from vcenter_simulator.running import PASSWORD, ROOT, STRANGER, USER, Vcenter, running_vcenter

__all__ = ["PASSWORD", "ROOT", "STRANGER", "USER", "Vcenter", "running_vcenter"]
