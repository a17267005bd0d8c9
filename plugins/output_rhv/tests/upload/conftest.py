# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: an engine of oVirt to upload to (a simulator, with the real ovirt-imageio behind it)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Certificates
from engine_simulator import EngineSimulator, running_engine
from imageio_daemon import ImageioDaemon, running_imageio


@pytest.fixture(scope="module")
def daemon() -> Iterator[ImageioDaemon]:
    """Give the real daemon, over TLS."""
    with tempfile.TemporaryDirectory(prefix="v2v-i.", dir="/var/tmp") as name:
        certificates = Certificates.make(Path(name) / "tls")
        with running_imageio(Path(name) / "host", certificates, local=False) as running:
            yield running


@pytest.fixture(scope="session")
def engine_servers() -> Iterator[EngineSimulator]:
    """Give an engine for all tests: its servers take a while to start."""
    with (
        tempfile.TemporaryDirectory(prefix="v2v-e.", dir="/var/tmp") as place,
        running_engine(Path(place) / "e") as made,
    ):
        yield made


@pytest.fixture
def engine(engine_servers: EngineSimulator, v2v_leftovers: None) -> Iterator[EngineSimulator]:
    """Give an engine that is as new."""
    engine_servers.start_over()
    yield engine_servers
    engine_servers.start_over()
