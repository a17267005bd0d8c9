# SPDX-License-Identifier: GPL-2.0-or-later
"""The test kit for plugin authors: ``pip install 'v2v-core[testing]'``.

* ``InputPluginContract`` and ``OutputPluginContract`` are classes of tests; a plugin's tests subclass them.
* The fixtures of ``v2v_core.testing.fixtures`` (``v2v_directory``, ``v2v_report``, ``v2v_disk`` …) are there in every
  pytest run, as a pytest plugin; nothing of it is imported before a test asks for it.
* The fakes are real plugins: an input, a converter, a copier and an output that need nothing but nbdkit and qemu.

``docs/writing-a-plugin.md`` shows how they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2v_core.testing.distributions import forget_entry_points, write_distribution
    from v2v_core.testing.endpoints import read_endpoint, write_endpoint
    from v2v_core.testing.fake_plugins import (
        MARKER,
        FailingCopy,
        FakeConvert,
        FakeCopy,
        FakeInput,
        FakeObserver,
        FakeOutput,
        HangingCopy,
        failing,
    )
    from v2v_core.testing.fakes import FakeLedger, FakeReporter
    from v2v_core.testing.input_contract import InputExample, InputPluginContract
    from v2v_core.testing.output_contract import OutputExample, OutputPluginContract

__all__ = [
    "MARKER",
    "FailingCopy",
    "FakeConvert",
    "FakeCopy",
    "FakeInput",
    "FakeLedger",
    "FakeObserver",
    "FakeOutput",
    "FakeReporter",
    "HangingCopy",
    "InputExample",
    "InputPluginContract",
    "OutputExample",
    "OutputPluginContract",
    "failing",
    "forget_entry_points",
    "read_endpoint",
    "write_distribution",
    "write_endpoint",
]

_MODULES = {
    "distributions": ("forget_entry_points", "write_distribution"),
    "endpoints": ("read_endpoint", "write_endpoint"),
    "fake_plugins": (
        "MARKER",
        "FailingCopy",
        "FakeConvert",
        "FakeCopy",
        "FakeInput",
        "FakeObserver",
        "FakeOutput",
        "HangingCopy",
        "failing",
    ),
    "fakes": ("FakeLedger", "FakeReporter"),
    "input_contract": ("InputExample", "InputPluginContract"),
    "output_contract": ("OutputExample", "OutputPluginContract"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is used first."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
