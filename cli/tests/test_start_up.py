# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands start fast, because they import only what they need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_NEVER = {"lxml", "stevedore", "pluggy", "pyVmomi", "ovirtsdk4", "openstack", "libvirt", "guestfs", "nbd"}
_SCRIPT = """
import json, sys
sys.stdout = open("/dev/null", "w")
from v2v_cli.{module} import main
code = main({words!r})
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""


def modules_after(module: str, words: list[str]) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(module=module, words=words)], capture_output=True, text=True, check=True
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    return set(modules)


@pytest.mark.parametrize("module", ["virt_v2v", "v2v"])
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_no_plugin_and_no_large_library_is_imported(module: str, word: str) -> None:
    modules = modules_after(module, [word])
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & _NEVER
    assert not [name for name in packages if name.startswith(("v2v_input", "v2v_output", "v2v_convert"))]


@pytest.mark.parametrize("module", ["virt_v2v", "v2v"])
def test_version_does_not_even_import_typer(module: str) -> None:
    assert not modules_after(module, ["--version"]) & {"typer", "rich", "v2v_core.errors"}
