# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv-upload`` set up before the conversion: its transfers are held open until the copy, however late that is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine_simulator import EngineSimulator
from v2v_core.api import CopyError
from v2v_core.conversion_dir import ConversionDir
from v2v_core.settings import ConvertChoice, CopyChoice, InputChoice, OutputChoice
from v2v_core.steps import cleanup, convert, copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.testing.fake_plugins import MARKER
from v2v_output_rhv.upload.plugin import UploadOutput
from v2v_output_rhv.upload.settings import Limits

#: Seconds for which the tickets are valid when the conversion begins, unless a request prolongs them; and how long the
#: conversion takes.
VALIDITY, CONVERSION = 3, 5
MIB = 1024 * 1024

pytestmark = pytest.mark.usefixtures("v2v_fakes")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "first.img", tmp_path / "second.img"]
    for path in paths:
        path.write_bytes(os.urandom(MIB))
    return paths


@pytest.fixture
def converted(
    engine: EngineSimulator, v2v_directory: ConversionDir, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], ConversionDir]:
    """Return the function that runs the steps up to the conversion, with a number of seconds until a keep-alive."""

    def run(idle: float) -> ConversionDir:
        monkeypatch.setattr(UploadOutput, "limits", Limits(poll=0.1, idle=idle))
        output = OutputChoice(
            mode="rhv-upload",
            name="guest",
            storage="data1",
            connection=engine.uri,
            password_file=engine.password_file,
            options=(("rhv-cafile", str(engine.certificates.authority)),),
        )
        input_setup.run(v2v_directory, InputChoice(mode="fake", arguments=tuple(map(str, images))))
        output_check.run(v2v_directory, output)
        output_setup.run(v2v_directory, output)
        for transfer in engine.running_transfers():
            engine.daemon.extend_ticket(transfer.ticket, VALIDITY)
        time.sleep(CONVERSION)
        convert.run(v2v_directory, ConvertChoice(mode="fake"))
        return v2v_directory

    return run


@pytest.mark.parametrize("copier", [None, "nbdcopy"], ids=["sink", "nbdcopy"])
def test_transfers_outlast_the_conversion(
    engine: EngineSimulator, converted: Callable[[float], ConversionDir], images: list[Path], copier: str | None
) -> None:
    directory = converted(0.5)
    assert len(engine.running_transfers()) == len(images)
    copy.run(directory, CopyChoice(mode=copier))
    machine, *disks = output_finalize.run(directory).created
    assert engine.state.machines[machine].disks == disks
    for disk, image in zip(disks, images, strict=True):
        arrived = engine.content(disk) == MARKER + image.read_bytes()[len(MARKER) :]
        assert arrived, f"{disk} differs from {image}"
    assert cleanup.run(directory) == ()
    assert set(engine.state.disks) == set(disks)


def test_without_keep_alive_they_expire(engine: EngineSimulator, converted: Callable[[float], ConversionDir]) -> None:
    """Otherwise the test above would prove nothing."""
    directory = converted(60)
    with pytest.raises(CopyError, match="its ticket has expired"):
        copy.run(directory, CopyChoice())
    assert cleanup.run(directory) == ()
    assert not engine.state.disks
