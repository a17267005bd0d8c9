# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests in a state in which they cannot be converted, made from a good one."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

from windows_images.recipe import Windows
from windows_images.regf import Tree, at, dword, expand_sz, merged, sz

_SERVICING = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"
_RESTRICTIONS = r"Policies\Microsoft\Windows\DeviceInstall\Restrictions"

Variant = Callable[[Windows], Windows]


def several(*variants: Variant) -> Variant:
    """Return the variant that has all of the given states at once."""

    def apply(recipe: Windows) -> Windows:
        for variant in variants:
            recipe = variant(recipe)
        return recipe

    return apply


def hibernated(recipe: Windows) -> Windows:
    """Windows was hibernated, or shut down with Fast Startup."""
    return _with_files(recipe, {"hiberfil.sys": b"hibr".ljust(65536, b"\0")})


def marked_dirty(recipe: Windows) -> Windows:
    """Windows has marked its volume for a check."""
    return dataclasses.replace(recipe, dirty=True)


def dirty_system_hive(recipe: Windows) -> Windows:
    """Windows did not finish writing the hive SYSTEM."""
    return dataclasses.replace(recipe, dirty_hives=(*recipe.dirty_hives, "SYSTEM"))


def dirty_software_hive(recipe: Windows) -> Windows:
    """Windows did not finish writing the hive SOFTWARE."""
    return dataclasses.replace(recipe, dirty_hives=(*recipe.dirty_hives, "SOFTWARE"))


def dynamic_disk(recipe: Windows) -> Windows:
    """Windows is on a dynamic disk (LDM): of its metadata, here is what the partition table says."""
    return dataclasses.replace(recipe, partition_type="42")


def half_updated(recipe: Windows) -> Windows:
    """Windows is in the middle of an update."""
    pending = b'<?xml version="1.0"?><PendingTransaction/>'
    changed = _with_software(recipe, at(rf"{_SERVICING}\RebootInProgress", {}))
    return _with_files(changed, {"Windows/WinSxS/pending.xml": pending})


def in_setup(recipe: Windows) -> Windows:
    """Windows has not finished its setup."""
    return _with_system(recipe, {"Setup": {"SystemSetupInProgress": dword(1), "SetupType": dword(1)}})


def no_new_devices(recipe: Windows) -> Windows:
    """A policy forbids the installation of devices."""
    return _with_software(recipe, at(_RESTRICTIONS, {"DenyUnspecified": dword(1)}))


def cluster_node(recipe: Windows) -> Windows:
    """Windows is a node of a failover cluster, whose disk is among those to convert."""
    service = {"Type": dword(0x10), "Start": dword(2), "ImagePath": expand_sz(r"%SystemRoot%\Cluster\clussvc.exe")}
    assert recipe.data_disk
    shared = at(rf"Services\ClusDisk\Parameters\Signatures\{recipe.data_disk.signature:08x}", {"DiskName": sz("")})
    return _in_control_sets(recipe, merged(at(r"Services\ClusSvc", service), shared))


def running_domain_controller(recipe: Windows) -> Windows:
    """Windows is a domain controller that was not shut down: its database is in use."""
    header = bytearray(8192)
    struct.pack_into("<I", header, 4, 0x89ABCDEF)
    struct.pack_into("<I", header, 52, 2)
    files = {"Windows/NTDS/ntds.dit": bytes(header)}
    changed = _with_files(dataclasses.replace(recipe, kind="LanmanNT"), files)
    place = {"DSA Database file": sz(r"C:\Windows\NTDS\ntds.dit")}
    return _in_control_sets(changed, at(r"Services\NTDS\Parameters", place))


def full(recipe: Windows) -> Windows:
    """The volume has no room left: all but some MiB is taken by one file."""
    taken = {"windows-7": 90, "windows-10-system": 40, "phony": 20}[recipe.hives] + (80 if recipe.uefi else 0)
    return dataclasses.replace(recipe, filler=recipe.size - taken)


def _with_files(recipe: Windows, files: dict[str, bytes]) -> Windows:
    return dataclasses.replace(recipe, files={**recipe.files, **files})


def _with_system(recipe: Windows, tree: Tree) -> Windows:
    return dataclasses.replace(recipe, system=merged(recipe.system, tree))


def _with_software(recipe: Windows, tree: Tree) -> Windows:
    return dataclasses.replace(recipe, software=merged(recipe.software, tree))


def _in_control_sets(recipe: Windows, tree: Tree) -> Windows:
    return _with_system(recipe, {f"ControlSet{number:03}": tree for number in recipe.control_sets})
