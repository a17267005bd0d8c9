# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated Windows for each test, copied from one that is made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from windows_first_boot.wine import SimulatedWindows, copied, new_prefix


@pytest.fixture(scope="session")
def windows_template(tmp_path_factory: pytest.TempPathFactory) -> SimulatedWindows:
    return new_prefix(tmp_path_factory.mktemp("wine") / "template")


@pytest.fixture
def windows(windows_template: SimulatedWindows) -> Iterator[SimulatedWindows]:
    """Yield a Windows with recording stand-ins for the programs that scripts call."""
    with copied(windows_template, windows_template.prefix.with_name("copy")) as made:
        yield made
