# SPDX-License-Identifier: GPL-2.0-or-later
"""A distribution could leave the repository by ``git mv``: its code and its tests need nothing that lies outside it."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packaging_site import MEMBERS, ROOT, Site

#: The settings of pytest that a plugin's own repository would have.
SETTINGS = """\
[pytest]
addopts = --import-mode=importlib --strict-markers
pythonpath = tests
markers =
    slow: real guests, or the appliance
    zoo: real guests of many kinds
"""


def imported(path: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def beside_the_tests(directory: Path) -> Iterator[str]:
    """Yield the names that are importable when a directory of tests is on ``sys.path``."""
    for path in directory.iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            yield path.stem


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_tests_import_nothing_from_the_tests_of_others(member: Path) -> None:
    own = set(beside_the_tests(member / "tests"))
    others = {
        name
        for directory in (ROOT / "tests", *(other / "tests" for other in MEMBERS if other != member))
        for name in beside_the_tests(directory)
    }
    foreign = {
        str(path.relative_to(ROOT)): sorted(used)
        for path in (member / "tests").rglob("*.py")
        if (used := imported(path) & (others - own) - sys.stdlib_module_names)
    }
    assert not foreign


def test_modules_beside_tests_have_names_of_their_own() -> None:
    names = [
        name
        for directory in (ROOT / "tests", *(member / "tests" for member in MEMBERS))
        for name in set(beside_the_tests(directory))
        if name != "conftest" and not name.startswith("test_")
    ]
    assert sorted(names) == sorted(set(names))


@pytest.mark.slow
@pytest.mark.parametrize("member", [m for m in MEMBERS if m.parent.name == "plugins"], ids=lambda member: member.name)
def test_tests_of_a_plugin_are_collected_elsewhere(site: Site, member: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(member / "tests", moved / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (moved / "pytest.ini").write_text(SETTINGS)
    listed = site.succeed(
        *("python", "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"),
        *("--rootdir", str(moved), "-c", str(moved / "pytest.ini"), str(moved / "tests")),
    )
    assert " tests collected" in listed, listed
