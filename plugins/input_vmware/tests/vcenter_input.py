# SPDX-License-Identifier: GPL-2.0-or-later
"""Calling the input ``-i vcenter`` in tests, with the address, password and certificate of a simulator."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import InputResult, InputSetupRequest, NbdkitPlugin, OptionValues, SourceError
from v2v_core.testing import FakeReporter
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
    from v2v_core.serving.nbdkit import nbdkit_argv, secrets_in_files

    disk = result.disks[0]
    assert isinstance(disk, NbdkitPlugin)
    secrets, socket = tmp_path / "secrets", tmp_path / "socket"
    secrets.mkdir(mode=0o700, exist_ok=True)
    service = secrets_in_files(disk, secrets, "in1")
    assert isinstance(service, NbdkitPlugin)
    argv = nbdkit_argv(service, socket, readonly=True)
    server = subprocess.Popen(argv, env={**os.environ, **dict(disk.environment)})
    try:
        deadline = time.monotonic() + 60
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield socket, server
    finally:
        server.terminate()
        server.wait(20)
