# SPDX-License-Identifier: GPL-2.0-or-later
"""Step convert: the converter changes the guest on ``in1`` …, and ``metadata.out`` describes the result.

It needs ``metadata.in`` and the endpoints that this file names. Endpoints that another supervisor serves are converted
in place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from v2v_core import metadata, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.conversions import forget_conversion, name_conversion
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import ConvertResult, ConvertSettings
from v2v_core.mac_addresses import with_addresses_of_guest
from v2v_core.metadata import blocks
from v2v_core.model import Guest, TargetGuest, TargetProfile
from v2v_core.nic_mapping import check_mappings, map_nics, unmapped
from v2v_core.reporting import StepReport, running
from v2v_core.settings import ConvertChoice
from v2v_core.steps import converter
from v2v_core.steps.output_choice import profile_of_output


def run(directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()) -> TargetGuest:
    """Convert the guest. Afterwards the disks behind the endpoints are changed, and ``metadata.out`` exists.

    :raises V2VError: the guest cannot be converted.
    """
    with running(directory, Step.CONVERT, sinks) as report:
        # what was copied of an earlier result is not copied from this one
        forget_conversion(directory)
        plugin, request = converter.prepare(directory, choice, report)
        guest, profile = request.guest, profile_of_output(directory)
        for warning in check_mappings(guest.nics, choice.nics):
            report.warning(warning)
        nics = map_nics(guest.nics, choice.nics)
        settings = _for_target(choice.settings, profile)
        result = plugin.convert(dataclasses.replace(request, settings=settings))
        for change in result.changes:
            if change not in report.changes:
                report.changed(change.path, change.what, change.why, kind=change.kind, value=change.value)
        for fact in result.facts:
            if fact not in report.facts:
                report.examined(fact)
        if (
            profile.networks
            and not served.read_source(directory).in_place
            and (kept := unmapped(guest.nics, choice.nics)) is not None
        ):
            report.warning(kept)
        nics = with_addresses_of_guest(nics, result.nic_macs)
        if sorted(result.nic_order) == list(range(len(nics))):
            nics = tuple(nics[position] for position in result.nic_order)
        target = dataclasses.replace(_target(guest, result, profile, report), nics=nics)
        metadata.write_target(directory.metadata_out, directory.metadata_in, target)
        name_conversion(directory)
        return target


def _for_target(settings: ConvertSettings, profile: TargetProfile) -> ConvertSettings:
    """Return the settings for the converter, without what the target lacks."""
    return settings if profile.serial_console else dataclasses.replace(settings, serial_console=False)


def _target(guest: Guest, result: ConvertResult, profile: TargetProfile, report: StepReport) -> TargetGuest:
    report.message("Assigning disks to buses")
    capabilities, unlike = metadata.fit_profile(result.capabilities, result.firmware, profile)
    disks, removables, warnings = metadata.assign_buses(
        guest, capabilities, boot_disk=result.boot_disk, profile=profile
    )
    for warning in (*unlike, *warnings):
        report.warning(warning)
    return TargetGuest(
        source=guest,
        inspection=result.inspection,
        capabilities=capabilities,
        firmware=result.firmware,
        disks=blocks.with_sizes(disks, guest, result.block_sizes, result.firmware, profile, report.warning),
        removables=removables,
        changes=result.changes,
    )
