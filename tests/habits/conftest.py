# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs of the commands with the fake converter: real outputs, without an appliance."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runs import Place
from v2v_core.testing.images import numbered_sectors

Convert = Callable[..., subprocess.CompletedProcess[str]]
FAKE = ("--converter", "fake")


@pytest.fixture
def out(place: Place) -> Path:
    directory = place.root / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def image(place: Place) -> Path:
    path = place.root / "web.img"
    path.write_bytes(numbered_sectors(1024 * 1024))
    return path


@pytest.fixture
def convert(place: Place, v2v_fakes: None, out: Path) -> Convert:
    """Return a function that runs ``v2v convert GUEST… --output local``."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return place.run("v2v", "convert", *FAKE, "--output", "local", "--output-storage", out, *words, timeout=120)

    return run
