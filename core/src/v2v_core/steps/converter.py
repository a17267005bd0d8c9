# SPDX-License-Identifier: GPL-2.0-or-later
"""What the converter is given, whether it converts the guest or only looks into it."""

from __future__ import annotations

from v2v_core import metadata, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.hookspecs import ConvertRequest
from v2v_core.plugins import LoadedPlugin, load_plugin
from v2v_core.reporting import StepReport
from v2v_core.settings import ConvertChoice


def prepare(directory: ConversionDir, choice: ConvertChoice, report: StepReport) -> tuple[LoadedPlugin, ConvertRequest]:
    """Return the converter, which has checked the user's settings, and its request for the guest on ``in1`` ….

    :raises V2VError: the disks are not served, the settings make no sense, or there is no such converter.
    """
    guest = metadata.read_source(directory.metadata_in)
    source = served.read_source(directory)
    disks = source.disks
    served.check_served(disks)
    plugin = load_plugin(Role.CONVERT, choice.mode)
    plugin.convert_check(choice.settings)
    request = ConvertRequest(
        directory=directory.private("convert"),
        temporary=directory.overlay,
        guest=guest,
        disks=tuple(disk.endpoint for disk in disks),
        settings=choice.settings,
        report=report,
        # what another supervisor serves is converted in place as well
        in_place=source.in_place or any(disk.base is None for disk in disks),
    )
    return plugin, request
