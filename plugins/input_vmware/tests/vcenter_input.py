# SPDX-License-Identifier: GPL-2.0-or-later
"""Calling the input ``-i vcenter`` in tests, with the address, password and certificate of a simulator."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import InputResult, InputSetupRequest, NbdkitPlugin, OptionValues, SourceError
from v2v_core.testing import FakeLedger, FakeReporter, running_nbdkit
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_simulator import PASSWORD, Vcenter


def setup(
    vcenter: Vcenter, tmp_path: Path, name: str, *, options: dict[str, str] | None = None, **more: Any
) -> tuple[InputResult, FakeReporter]:
    """Call the setup hook for a guest, and return its result and what it reported.

    :param options: of -io, instead of the one that makes the simulator's certificate trusted.
    """
    report = FakeReporter()
    values = {"ca-file": str(vcenter.certificate)} if options is None else options
    request = InputSetupRequest(
        directory=tmp_path,
        arguments=(name,),
        report=report,
        ledger=FakeLedger(),
        options=OptionValues(values={key: (value,) for key, value in values.items()}),
        **{"connection": vcenter.uri, "password_file": vcenter.password_file, **more},
    )
    return VcenterInput().v2v_input_setup(request), report


def refused(*arguments: Any, **more: Any) -> tuple[str, str]:
    """Call the setup hook, which must refuse with one line and a hint, and return both."""
    with pytest.raises(SourceError) as caught:
        setup(*arguments, **more)
    error = caught.value
    assert "\n" not in error.message
    assert error.hint
    assert PASSWORD not in f"{error.message} {error.hint} {error.__cause__!r}"
    return error.message, error.hint


@contextlib.contextmanager
def served(result: InputResult, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Run the server of the first disk as core does; yield its socket and its process."""
    disk = result.disks[0]
    assert isinstance(disk, NbdkitPlugin)
    with running_nbdkit(disk, tmp_path) as server:
        yield server.socket, server.process
