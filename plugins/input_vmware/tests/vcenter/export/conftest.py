# SPDX-License-Identifier: GPL-2.0-or-later
"""The exported machine of these tests, and retries that are quick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from v2v_input_vmware.vcenter import download, lease
from vcenter_export import add_exported
from vcenter_simulator import Vcenter


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine with two disks and their streams, and return its moref."""
    return add_exported(vcenter, tmp_path_factory.mktemp("images"), "exported")


@pytest.fixture(autouse=True)
def without_faults(vcenter: Vcenter, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make retries quick, and take the faults of each test back."""
    monkeypatch.setattr(download, "DELAY", 0.05)
    monkeypatch.setattr(lease, "LOOK", 0.05)
    yield
    vcenter.control("export")
