# SPDX-License-Identifier: GPL-2.0-or-later
"""The test kit for plugin authors: ``pip install 'v2v-core[testing]'``.

* ``InputPluginContract`` and ``OutputPluginContract`` are classes of tests; a plugin's tests subclass them.
* The fixtures of ``v2v_core.testing.fixtures`` (``v2v_directory``, ``v2v_report``, ``v2v_disk`` …) are available in
  every pytest run, as a pytest plugin. Core is imported only when a test uses one.
* The fakes are real plugins: an input, a converter, a copier and an output that need nothing but nbdkit and qemu.
* ``running_nbdkit`` runs the server that an input describes, as core runs it.
* Servers on loopback: ``Certificates`` for those that speak TLS, ``running_sshd``, and ``relay_to``, a connection that
  can be cut. They need openssl(1) and sshd(8), which are not installed with the kit.
* ``bounded`` limits memory, file sizes and CPU time of code that reads untrusted data. ``watch_for_secret`` and
  ``files_with_secret`` look for a secret in all processes and in files.

``docs/writing-a-plugin.md`` shows how they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2v_core.testing.certificates import Certificates
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
    from v2v_core.testing.limits import bounded
    from v2v_core.testing.nbdkit_server import NbdkitServer, running_nbdkit
    from v2v_core.testing.output_contract import OutputExample, OutputPluginContract
    from v2v_core.testing.relay import Relay, relay_to
    from v2v_core.testing.secret_watch import files_with_secret, processes_with_secret, watch_for_secret
    from v2v_core.testing.ssh_server import Sshd, running_sshd

__all__ = [
    "MARKER",
    "Certificates",
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
    "NbdkitServer",
    "OutputExample",
    "OutputPluginContract",
    "Relay",
    "Sshd",
    "bounded",
    "failing",
    "files_with_secret",
    "forget_entry_points",
    "processes_with_secret",
    "read_endpoint",
    "relay_to",
    "running_nbdkit",
    "running_sshd",
    "watch_for_secret",
    "write_distribution",
    "write_endpoint",
]

_MODULES = {
    "certificates": ("Certificates",),
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
    "limits": ("bounded",),
    "nbdkit_server": ("NbdkitServer", "running_nbdkit"),
    "output_contract": ("OutputExample", "OutputPluginContract"),
    "relay": ("Relay", "relay_to"),
    "secret_watch": ("files_with_secret", "processes_with_secret", "watch_for_secret"),
    "ssh_server": ("Sshd", "running_sshd"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
