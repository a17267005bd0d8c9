# SPDX-License-Identifier: GPL-2.0-or-later
"""What README.md says about installing: packages of the system, extras of v2v-cli, the image of the Containerfile."""

from __future__ import annotations

import re
import tomllib

import pytest

from packaging_site import MEMBERS, ROOT

README = (ROOT / "README.md").read_text()
SETUP = (ROOT / "setup-system").read_text()
CONTAINERFILE = (ROOT / "Containerfile").read_text()
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
PLUGINS = {f"v2v-{member.name.replace('_', '-')}" for member in MEMBERS if member.parent.name == "plugins"}


def required(extra: str) -> set[str]:
    """Return the distributions that an extra of v2v-cli brings, those of the extras that it names included."""
    names: set[str] = set()
    for requirement in EXTRAS[extra]:
        own = re.fullmatch(r"v2v-cli\[([\w,]+)\]", requirement)
        if own:
            names = names.union(*map(required, own[1].split(",")))
        else:
            names.add(requirement.partition("~")[0])
    return names


def packages(variable: str, manager: str) -> set[str]:
    """Return a list of packages of ``setup-system``, for apt-get or dnf."""
    part = SETUP.split("command -v dnf")[0 if manager == "apt-get" else 1]
    found = re.search(rf'^    {variable}="([^"]*)"', part, re.MULTILINE)
    assert found, variable
    return set(found[1].split())


def test_extra_all_brings_every_plugin_of_the_repository() -> None:
    assert required("all") == PLUGINS


@pytest.mark.parametrize("extra", EXTRAS)
def test_no_extra_comes_without_the_converter(extra: str) -> None:
    assert "v2v-convert-guestfs" in required(extra)
    assert required(extra) <= PLUGINS


@pytest.mark.parametrize("extra", EXTRAS)
def test_readme_names_the_extra(extra: str) -> None:
    assert f"`[{extra}]`" in README


@pytest.mark.parametrize("manager", ["apt-get", "dnf"])
def test_readme_lists_the_packages_that_setup_system_installs(manager: str) -> None:
    commands = re.findall(rf"^    sudo {manager} install ((?:[^\n]*\\\n)*[^\n]*)$", README, re.MULTILINE)
    listed = [set(re.findall(r"(?<!\S)[a-z][\w-]*", command.partition("#")[0])) for command in commands]
    assert listed == [packages("use", manager), packages("build", manager)]


def test_image_gets_its_packages_from_setup_system() -> None:
    """No list of packages is in the Containerfile; the stage that compiles is not the one that is used."""
    build, use = CONTAINERFILE.split("\nFROM ")[1:] if CONTAINERFILE.startswith("#") else CONTAINERFILE.split("\nFROM ")
    assert re.search(r"^RUN .*/setup-system build\b", build, re.MULTILINE)
    assert re.search(r"^RUN .*/setup-system use\b", use, re.MULTILINE)
    assert "apt-get install" not in CONTAINERFILE
    assert "'v2v-cli[all]'" in use


def test_image_is_made_of_every_distribution() -> None:
    named = re.findall(r"\./([\w/]+)", re.search(r"pip wheel(.*?)\n(?=\S)", CONTAINERFILE, re.DOTALL)[1])  # type: ignore[index]
    assert sorted(named) == sorted(str(member.relative_to(ROOT)) for member in MEMBERS)
