# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts that are installed without the rest: core needs no command line, and each part says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from packaging_site import Site

#: Imports every module of core but the test kit, which needs pytest, while what is named by the words cannot be found.
IMPORT_ALL = """\
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import v2v_core
names = [module.name for module in pkgutil.walk_packages(v2v_core.__path__, "v2v_core.")]
wanted = [name for name in names if not name.startswith("v2v_core.testing.")]
for name in wanted:
    importlib.import_module(name)
print(len(wanted))
"""
#: What core must do without: the command line and its libraries, and bindings that pip does not install.
ABSENT = ("typer", "rich", "click", "v2v_cli", "guestfs", "nbd", "hivex", "libvirt", "yaml", "pytest")


def test_core_is_imported_without_typer_and_rich() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *ABSENT], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


@pytest.mark.slow
def test_core_is_imported_where_only_core_is_installed(core_alone: Site) -> None:
    assert core_alone.run("python", "-c", "import typer").returncode == 1
    assert core_alone.run("python", "-c", "import rich").returncode == 1
    assert int(core_alone.succeed("python", "-c", IMPORT_ALL)) > 30


@pytest.mark.slow
def test_each_part_says_what_is_missing_until_it_is_there(core_alone: Site, wheels: Path) -> None:
    load = (
        "from v2v_core.discovery import Role\nfrom v2v_core.plugins import load_plugin\nload_plugin(Role.INPUT, 'disk')"
    )
    done = core_alone.run("python", "-c", load)
    assert done.stderr.splitlines()[-1] == (
        "v2v_core.errors.PluginNotFound: unknown input mode 'disk' (installed: none)"
    )

    core_alone.install("--no-index", "--find-links", str(wheels), "v2v-input-disk")
    core_alone.succeed("python", "-c", load)
    done = core_alone.run("helper-v2v-input-disk", "--dir", "d", "guest.img")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "helper-v2v-input-disk: error: the command lines are not installed",
        "hint: pip install v2v-cli",
    ]

    core_alone.install("--find-links", str(wheels), "v2v-cli")
    done = core_alone.run("virt-v2v", "-i", "disk", "guest.img", "-o", "local", "-os", "out")
    assert done.returncode == 3
    assert "unknown output mode 'local' (installed: none)" in done.stderr
    assert "pip install v2v-output-local" in done.stderr
