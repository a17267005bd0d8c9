# SPDX-License-Identifier: GPL-2.0-or-later
"""The distributions of this repository belong together."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import v2v_core
from v2v_cli.distributions import DISTRIBUTIONS

ROOT = Path(__file__).parents[2]
PROJECTS = {
    path.parent.name: tomllib.loads(path.read_text())
    for path in (
        ROOT / "core/pyproject.toml",
        ROOT / "cli/pyproject.toml",
        *sorted(ROOT.glob("plugins/*/pyproject.toml")),
    )
}
PLUGINS = [name for name in PROJECTS if name not in {"core", "cli"}]
DEPENDENTS = ["cli", *PLUGINS]


def test_versions_are_equal() -> None:
    assert {name: project["project"]["version"] for name, project in PROJECTS.items()} == dict.fromkeys(
        PROJECTS, v2v_core.__version__
    )


@pytest.mark.parametrize("name", DEPENDENTS)
def test_distribution_admits_this_core(name: str) -> None:
    from packaging.requirements import Requirement

    (core,) = (
        requirement
        for requirement in map(Requirement, PROJECTS[name]["project"]["dependencies"])
        if requirement.name == "v2v-core"
    )
    assert core.specifier.contains(v2v_core.__version__)
    assert not core.specifier.contains("99.0"), "a distribution says which later versions of core it does not work with"


@pytest.mark.parametrize("name", PROJECTS)
def test_directory_distribution_and_module_have_the_same_name(name: str) -> None:
    project = PROJECTS[name]
    assert project["project"]["name"] == f"v2v-{name.replace('_', '-')}"
    assert (directory(name) / "src" / f"v2v_{name}" / "py.typed").is_file()


@pytest.mark.parametrize("name", ["core", "cli"])
def test_neither_core_nor_the_command_line_depends_on_a_plugin(name: str) -> None:
    own = {word for word in PROJECTS[name]["project"]["dependencies"] if word.startswith("v2v")}
    assert {re.split(r"[~=<>]", word)[0] for word in own} <= {"v2v-core"} - {f"v2v-{name}"}


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_uses_public_names_only(name: str) -> None:
    public = {"v2v_core.api", "v2v_core.output_files", "v2v_core.testing"}
    assert not foreign_imports(name, allowed={f"v2v_{name}", *public})


def test_command_line_imports_no_plugin() -> None:
    assert not {
        path: names
        for path, modules in foreign_imports("cli", allowed={"v2v_cli"}).items()
        if (names := [module for module in modules if root_of(module) != "v2v_core"])
    }


def test_core_imports_no_plugin_and_nothing_of_the_command_line_but_in_one_place() -> None:
    imports = foreign_imports("core", allowed={"v2v_core"})
    assert imports == {"core/src/v2v_core/helper.py": ["v2v_cli"]}


def test_core_needs_neither_typer_nor_rich() -> None:
    own = PROJECTS["core"]["project"]["dependencies"]
    assert {re.split(r"[~=<>]", word)[0] for word in own}.isdisjoint({"typer", "rich"})
    used = {module for modules in imports_of("core").values() for module in modules}
    assert {root_of(module) for module in used}.isdisjoint({"typer", "rich"})


def test_hint_that_says_what_to_install_knows_every_mode_of_this_repository() -> None:
    provided: dict[str, dict[str, set[str]]] = {}
    for project in PROJECTS.values():
        for group, modes in project["project"].get("entry-points", {}).items():
            if group.startswith("v2v."):
                provided.setdefault(group.removeprefix("v2v."), {})[project["project"]["name"]] = set(modes)
    assert provided == {
        role: {name: set(modes) for name, modes in table.items()} for role, table in DISTRIBUTIONS.items()
    }


def directory(name: str) -> Path:
    """Return the directory of a distribution."""
    return ROOT / name if name in {"core", "cli"} else ROOT / "plugins" / name


def imports_of(name: str) -> dict[str, set[str]]:
    """Return the modules that the code of a distribution imports anywhere, by file."""
    found: dict[str, set[str]] = {}
    for path in (directory(name) / "src").rglob("*.py"):
        modules = found.setdefault(str(path.relative_to(ROOT)), set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} has a relative import"
                modules.add(node.module or "")
    return found


def foreign_imports(name: str, *, allowed: set[str]) -> dict[str, list[str]]:
    """Return what a distribution imports of this project besides ``allowed`` (a module, or a whole package)."""
    found = {
        path: sorted(m for m in modules if m.startswith("v2v_") and m not in allowed and root_of(m) not in allowed)
        for path, modules in imports_of(name).items()
    }
    return {path: modules for path, modules in found.items() if modules}


def root_of(module: str) -> str:
    """Return the package that a module is in."""
    return module.partition(".")[0]
