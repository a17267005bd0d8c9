# SPDX-License-Identifier: GPL-2.0-or-later
"""Fresh virtual environments outside the checkout, with distributions installed from their wheels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from packaging_site import OUTSIDE, ROOT, Site


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with what ``make wheels`` builds, and with wheels of the distributions from outside."""
    place = tmp_path_factory.mktemp("wheels")
    # the environment that the tests run in is as it is: nothing is installed into it
    make = ["make", "-C", str(ROOT), "--old-file", ".venv/installed", "wheels", f"WHEELS={place}"]
    pip = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    for argv in (make, [*pip, "--no-build-isolation", "-w", str(place), *map(str, OUTSIDE)]):
        built = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
        assert built.returncode == 0, f"{argv}: {built.stdout}\n{built.stderr}"
    return place


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Site:
    """Make an environment as README.md says, with every plugin, two plugins from outside, and a broken one."""
    made = new_site(tmp_path_factory.mktemp("site"))
    # Debian's bindings of libguestfs and libnbd must be seen, and these are for its own Python
    made.succeed("/usr/bin/python3", "-m", "venv", "--system-site-packages", str(made.place / "venv"))
    # what tests of plugins need beside the test kit, and what builds distributions that tests write
    more = ("pytest", "pytest-timeout", "hypothesis", "hatchling", *(path.name for path in OUTSIDE))
    made.install("--find-links", str(wheels), "v2v-cli[all]", *more)
    return made


@pytest.fixture(scope="session")
def core_alone(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Site:
    """Make an environment with v2v-core and what it depends on, and with nothing of the system's."""
    made = new_site(tmp_path_factory.mktemp("core"))
    made.succeed("/usr/bin/python3", "-m", "venv", str(made.place / "venv"))
    made.install("--find-links", str(wheels), "v2v-core")
    return made


def new_site(place: Path) -> Site:
    """Return a site without an environment yet."""
    (place / "tmp").mkdir()
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "V2V_", "VIRTUAL_ENV"))
    }
    environment = {
        **variables,
        "PATH": f"{place / 'venv/bin'}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(place / "cache"),
        "XDG_STATE_HOME": str(place / "state"),
        "TMPDIR": "/tmp",
        "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
        "COLUMNS": "200",
        # with hatchling from the environment nothing is downloaded for a build; a "0" is what switches isolation off,
        # pip reads the variable as the value of build_isolation (pip issue 5735)
        "PIP_NO_BUILD_ISOLATION": "0",
    }
    return Site(place, environment)
