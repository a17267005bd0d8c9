# SPDX-License-Identifier: GPL-2.0-or-later
"""The distributions of this repository belong together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import v2v_core

ROOT = Path(__file__).parents[2]
PROJECTS = {
    path.parent.name: tomllib.loads(path.read_text())
    for path in (ROOT / "core/pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml")))
}
PLUGINS = [name for name in PROJECTS if name != "core"]


def test_versions_are_equal() -> None:
    assert {name: project["project"]["version"] for name, project in PROJECTS.items()} == dict.fromkeys(
        PROJECTS, v2v_core.__version__
    )


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_admits_this_core(name: str) -> None:
    from packaging.requirements import Requirement

    (core,) = (
        requirement
        for requirement in map(Requirement, PROJECTS[name]["project"]["dependencies"])
        if requirement.name == "v2v-core"
    )
    assert core.specifier.contains(v2v_core.__version__)
    assert not core.specifier.contains("99.0"), "a plugin says how far it goes"


@pytest.mark.parametrize("name", PLUGINS)
def test_directory_distribution_and_module_have_the_same_name(name: str) -> None:
    project = PROJECTS[name]
    assert project["project"]["name"] == f"v2v-{name.replace('_', '-')}"
    assert (ROOT / "plugins" / name / "src" / f"v2v_{name}" / "py.typed").is_file()


def test_core_depends_on_no_plugin() -> None:
    assert not [word for word in PROJECTS["core"]["project"]["dependencies"] if word.startswith("v2v")]


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_uses_public_names_only(name: str) -> None:
    public = {"v2v_core.api", "v2v_core.output_files", "v2v_core.testing"}
    used = {}
    for path in (ROOT / "plugins" / name / "src").rglob("*.py"):
        modules = set(re.findall(r"^\s*(?:from|import) (v2v_core[\w.]*)", path.read_text(), re.MULTILINE))
        if modules - public:
            used[str(path.relative_to(ROOT))] = sorted(modules - public)
    assert not used
