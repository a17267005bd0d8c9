# SPDX-License-Identifier: GPL-2.0-or-later
"""Network interfaces without a MAC address get one, which no other interface of the guest has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.events import Step
from v2v_core.mac_addresses import with_addresses, with_addresses_of_guest
from v2v_core.metadata import read_source
from v2v_core.model import Bus, Guest, Nic, SourceDisk
from v2v_core.reporting import StepReport, running

OURS = re.compile(r"52:54:00(:[0-9a-f]{2}){3}")


@pytest.fixture
def report(tmp_path: Path) -> Iterator[StepReport]:
    with running(ConversionDir.open_or_create(tmp_path / "run"), Step.INPUT_SETUP, ()) as report:
        yield report


def test_every_interface_has_an_address_of_its_own(report: StepReport) -> None:
    found = with_addresses([Nic(), Nic(mac="00:50:56:01:02:03"), Nic(mac="00:00:00:00:00:00"), Nic(mac="")], report)
    assert found[1].mac == "00:50:56:01:02:03"
    assert all(OURS.fullmatch(nic.mac or "") for nic in (found[0], *found[2:]))
    assert len({nic.mac for nic in found}) == 4


def test_an_address_of_another_interface_is_not_used_again(report: StepReport, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"\x01\x02\x03", b"\x01\x02\x03", b"\x01\x02\x04"])
    monkeypatch.setattr("secrets.token_bytes", lambda count: next(drawn))
    found = with_addresses([Nic(), Nic(), Nic(mac="52:54:00:01:02:05")], report)
    assert [nic.mac for nic in found] == ["52:54:00:01:02:03", "52:54:00:01:02:04", "52:54:00:01:02:05"]


def test_two_conversions_of_one_export_do_not_collide(report: StepReport) -> None:
    first, second = (with_addresses([Nic()], report)[0].mac for _ in range(2))
    assert first != second


def test_the_address_is_in_the_metadata(report: StepReport, tmp_path: Path) -> None:
    nics = with_addresses([Nic(network="VM Network")], report)
    guest = Guest(name="g", memory=1 << 30, disks=(SourceDisk(index=1, bus=Bus.SCSI, size=1 << 20),), nics=nics)
    metadata.write_source(tmp_path / "metadata.in", guest)
    assert read_source(tmp_path / "metadata.in").nics == nics


def test_only_a_new_address_gives_way_to_one_that_the_guest_remembers() -> None:
    nics = (Nic(mac="52:54:00:01:02:03", mac_is_new=True), Nic(mac="00:50:56:01:02:03"))
    found = with_addresses_of_guest(nics, {0: "00:0c:29:01:02:03", 1: "00:0c:29:01:02:04", 7: "x"})
    assert [nic.mac for nic in found] == ["00:0c:29:01:02:03", "00:50:56:01:02:03"]
