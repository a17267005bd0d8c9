# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: an export domain with the guest of another user, and conversions into it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from export_domains import SERVER, Run, make_domain, simulate_mount
from v2v_core.api import mounts_below
from v2v_output_rhv.export_domain.plugin import ExportDomainOutput


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a place with an export domain in it."""
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        # pytest's directories are private, and some tests run as other users
        parent.chmod(0o755)
    (tmp_path / "esd").mkdir()
    make_domain(tmp_path / "esd")
    return tmp_path / "esd"


@pytest.fixture
def new_run(tmp_path: Path, place: Path) -> Callable[..., Run]:
    """Return the function that makes a conversion into that place."""

    def make(**more: Any) -> Run:
        return Run(ExportDomainOutput(), tmp_path / "private", **{"storage": str(place), **more})

    return make


@pytest.fixture
def nfs_run(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Make a conversion to a file server that exports the place. ``mount -t nfs`` is simulated."""
    simulate_mount(tmp_path / "bin", place)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    yield Run(ExportDomainOutput(), tmp_path / "private", storage=SERVER)
    for point in mounts_below(tmp_path):
        subprocess.run(["umount", "-l", point], check=True)
