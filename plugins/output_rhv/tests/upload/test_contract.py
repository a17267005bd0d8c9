# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of the output role for ``-o rhv-upload``. Disks are really written, through the real ovirt-imageio."""

from __future__ import annotations

import dataclasses

import pytest

from engine_simulator import EngineSimulator
from v2v_core.api import OutputResult
from v2v_core.testing import OutputExample, OutputPluginContract
from v2v_output_rhv.upload.plugin import UploadOutput


class TestUpload(OutputPluginContract):
    plugin_class = UploadOutput
    mode = "rhv-upload"

    @pytest.fixture
    def example(self, engine: EngineSimulator) -> OutputExample:
        self.engine = engine
        return OutputExample(
            storage="data1",
            connection=engine.uri,
            password_file=engine.password_file,
            options=(("rhv-cafile", str(engine.certificates.authority)),),
        )

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return self.engine.content(result.created[index])

    def look(self, example: OutputExample) -> dict[str, object]:
        with self.engine.api.lock:
            self.engine.state.catch_up()
            things = {**self.engine.state.disks, **self.engine.state.machines}
            return {key: dataclasses.astuple(thing) for key, thing in things.items()}

    def put_neighbour(self, example: OutputExample, name: str) -> None:
        if not any(machine.name == name for machine in self.engine.state.machines.values()):
            self.engine.add_machine(name)
