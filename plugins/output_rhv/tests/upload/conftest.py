# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: an oVirt engine to upload to. It is a simulator with the real ovirt-imageio behind it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_simulator import EngineSimulator, running_engine
from imageio_daemon import ImageioDaemon, running_imageio
from v2v_core.testing import Certificates


@pytest.fixture(scope="module")
def daemon() -> Iterator[ImageioDaemon]:
    """Start the real daemon, with TLS."""
    with tempfile.TemporaryDirectory(prefix="v2v-i.", dir="/var/tmp") as name:
        certificates = Certificates.make(Path(name) / "tls")
        with running_imageio(Path(name) / "host", certificates, local=False) as running:
            yield running


@pytest.fixture(scope="session")
def engine_servers() -> Iterator[EngineSimulator]:
    """Start an engine for all tests: its servers take a while to start."""
    with (
        tempfile.TemporaryDirectory(prefix="v2v-e.", dir="/var/tmp") as place,
        running_engine(Path(place) / "e") as made,
    ):
        yield made


@pytest.fixture
def engine(engine_servers: EngineSimulator, v2v_leftovers: None) -> Iterator[EngineSimulator]:
    """Reset the engine before and after each test."""
    engine_servers.start_over()
    yield engine_servers
    engine_servers.start_over()
