# SPDX-License-Identifier: GPL-2.0-or-later
"""The OVF of a guest as oVirt reads it, in both flavours, for all outputs of this distribution."""

from __future__ import annotations

from v2v_output_rhv.ovf.disks import OvfDisk
from v2v_output_rhv.ovf.document import Flavour, build_ovf
from v2v_output_rhv.ovf.hardware import PROFILE

__all__ = ["PROFILE", "Flavour", "OvfDisk", "build_ovf"]
