# SPDX-License-Identifier: GPL-2.0-or-later
"""Running programs of a virtual environment that has nothing to do with the checkout."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEMBERS = (ROOT / "core", ROOT / "cli", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")))
OUTSIDE = sorted(path.parent for path in (ROOT / "tests/packaging/outside").glob("*/pyproject.toml"))


@dataclass(frozen=True)
class Site:
    """A virtual environment in a directory of its own, which is also where its programs run."""

    place: Path
    environment: dict[str, str] = field(repr=False)

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, outside the checkout, for ten minutes at most."""
        return subprocess.run(
            argv,
            cwd=self.place,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )

    def succeed(self, *argv: str, **more: str) -> str:
        """Run a program that must succeed; return what it wrote to stdout."""
        done = self.run(*argv, **more)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, *words: str) -> None:
        """Run ``pip install`` in the environment, with the versions that the tests were made with."""
        pip = (str(self.place / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check")
        self.succeed(*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), *words)
