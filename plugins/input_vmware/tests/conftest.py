# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated servers of these tests: one per test file, to which each test adds its own machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vcenter_simulator import Vcenter, running_vcenter


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vcenter]:
    """Run a vCenter."""
    with running_vcenter(tmp_path_factory.mktemp("vcenter") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def esxi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vcenter]:
    """Run an ESXi host."""
    with running_vcenter(tmp_path_factory.mktemp("esxi") / "server", esx=True) as server:
        yield server


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Create a raw image of 1 MiB."""
    path = tmp_path / "image"
    path.write_bytes(b"image" * 209_715 + b"\0")
    return path
