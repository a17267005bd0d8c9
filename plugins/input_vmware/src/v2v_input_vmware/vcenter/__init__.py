# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter``: guests of a vCenter or an ESXi host, their metadata over SOAP and their disks over https or VDDK."""
