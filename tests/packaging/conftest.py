# SPDX-License-Identifier: GPL-2.0-or-later
"""A fresh virtual environment outside the checkout, with every distribution installed from its wheel."""

from __future__ import annotations

import os

import pytest

from packaging_site import MEMBERS, OUTSIDE, ROOT, Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Make the environment: core, the plugins, two from outside, and a broken one."""
    place = tmp_path_factory.mktemp("site")
    (place / "tmp").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "V2V_", "VIRTUAL_ENV"))},
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
    made = Site(place, environment)
    # Debian's bindings of libguestfs and libnbd must be seen, and these are for its own Python
    made.succeed("/usr/bin/python3", "-m", "venv", "--system-site-packages", str(place / "venv"))
    pip = (str(place / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check")
    made.succeed(*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), "hatchling")
    made.succeed(*pip, "wheel", "-q", "--no-deps", "-w", str(place / "wheels"), *map(str, (*MEMBERS, *OUTSIDE)))
    wheels = sorted(str(path) for path in (place / "wheels").glob("*.whl"))
    made.succeed(*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), "pytest", *wheels)
    return made
