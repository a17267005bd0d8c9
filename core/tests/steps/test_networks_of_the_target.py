# SPDX-License-Identifier: GPL-2.0-or-later
"""Step convert: mappings of networks, and networks that keep their names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Event, EventKind
from v2v_core.settings import InputChoice, NicMapping, RunChoice
from v2v_core.steps import convert, input_setup


def convert_with(directory: ConversionDir, choice: RunChoice, *nics: NicMapping) -> list[str]:
    """Convert, and return the warnings."""
    events: list[Event] = []
    convert.run(directory, dataclasses.replace(choice.convert, nics=nics), [events.append])
    return [event.text for event in events if event.kind is EventKind.WARNING]


def test_mappings_and_what_they_leave_are_told(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    unfit = NicMapping(kind="bridge", source="DMZ", target="br1")
    warnings = convert_with(v2v_directory, choice, unfit)
    assert [warning.partition(" of the guest")[0] for warning in warnings] == [
        "--bridge DMZ:br1 fits no interface",
        "the target must have the network 'fake network', as the source has: the guest does not start without; or "
        'connect it to another one, for example with --map "fake network=network:default"',
    ]
    mapped = NicMapping(kind="bridge", source="fake network", target="br0", either=True)
    assert convert_with(v2v_directory, choice, mapped) == []
    (nic,) = metadata.read_target(v2v_directory.metadata_out).nics
    assert (nic.kind, nic.network) == ("bridge", "br0")


def test_a_mapping_that_is_wrong_for_certain_stops_before_the_conversion(
    choice: RunChoice, v2v_directory: ConversionDir
) -> None:
    input_setup.run(v2v_directory, choice.input)
    with pytest.raises(UsageError, match="none has this MAC address"):
        convert_with(v2v_directory, choice, NicMapping(kind="network", target="x", mac="52:54:00:ff:ff:ff"))
    with pytest.raises(UsageError, match="fits no interface"):
        convert_with(v2v_directory, choice, NicMapping(kind="network", target="x", source="Fake Network"))
    assert not v2v_directory.metadata_out.exists()


def test_in_place_no_network_is_needed(choice: RunChoice, v2v_directory: ConversionDir, v2v_disk: Path) -> None:
    input_setup.run(v2v_directory, InputChoice(mode="fake", arguments=(str(v2v_disk),), in_place=True))
    assert convert_with(v2v_directory, choice) == []
