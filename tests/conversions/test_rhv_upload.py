# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole conversion to an oVirt engine (a simulator, with the real ovirt-imageio): the disk behind it boots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_simulator import PASSWORD, EngineSimulator, running_engine
from engine_simulator.storage import raw_image
from guests.boot import boot
from runs import Place, said
from v2v_core.testing import write_distribution

pytestmark = pytest.mark.slow

#: An observer that saves the converted disk, read through NBD, before it is copied.
KEEPER = """\
import os, subprocess
from v2v_core.api import Event, EventKind, Step, child_environment, hookimpl
class Keeper:
    api_version = 1
    summary = "keeps the converted disk, for a test"
    @hookimpl
    def v2v_event(self, event: Event) -> None:
        if (event.step, event.kind) == (Step.OUTPUT_SETUP, EventKind.STEP_STARTED):
            uri = "nbd+unix:///?socket=" + child_environment()["V2V_DIRECTORY"] + "/in1"
            subprocess.run(["nbdcopy", uri, os.environ["V2V_TEST_KEPT"]], check=True)
"""


@pytest.fixture
def engine(place: Place) -> Iterator[EngineSimulator]:
    with running_engine(place.root / "engine") as running:
        yield running


def test_to_an_engine(place: Place, engine: EngineSimulator, unchanged_vmware_guest: Path) -> None:
    write_distribution(place.root, "v2v-keeper", {"v2v.observer": {"keeper": "v2v_keeper:Keeper"}})
    (place.root / "v2v_keeper.py").write_text(KEEPER)
    kept = place.root / "kept.raw"
    done = place.run(
        *("v2v", "convert", "-i", "disk", unchanged_vmware_guest, "-o", "rhv-upload", "-on", "from-disk"),
        *(*engine.options, "--observer", "keeper"),
        PYTHONPATH=str(place.root),
        V2V_TEST_KEPT=str(kept),
    )
    assert done.returncode == 0, said(done)
    (machine,) = engine.state.machines.values()
    assert machine.name == "from-disk"
    (disk_id,) = machine.disks
    disk = engine.state.disks[disk_id]
    assert (disk.status, disk.format, disk.sparse) == ("ok", "raw", True)
    assert done.stdout.splitlines()[-2:] == [f"created {machine.id}", f"created {disk_id}"]
    with raw_image(disk) as image:
        assert _sha256(image) == _sha256(kept)
        _check_hardware(machine.hardware, disk_id)
        booted = boot([image])
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
    assert PASSWORD not in said(done)
    tickets = [transfer.ticket for transfer in engine.state.transfers.values()]
    assert not [ticket for ticket in tickets if ticket in said(done)]


def _check_hardware(hardware: dict[str, Any], disk_id: str) -> None:
    """Check what the engine read in the OVF: the hardware of the source, and what the conversion made of it."""
    (cpu,), (memory,), (nic,), (drive,), (disk,) = (
        hardware[kind] for kind in ("cpu", "memory", "nics", "drives", "disks")
    )
    assert cpu["num_of_sockets"] == "1"
    assert memory["VirtualQuantity"] == "2048"
    assert nic["ResourceSubType"] == "3", "virtio"
    assert drive["HostResource"] == disk["fileRef"]
    assert disk["diskId"] == disk_id
    assert disk["disk-interface"] == "VirtIO"
    assert disk["boot"] == "True"
    assert disk["volume-format"] == "RAW"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
