# SPDX-License-Identifier: GPL-2.0-or-later
"""The page for plugin authors documents every hook, in the order of the calls, with every field of its request."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from v2v_core import api, hookspecs, output_files, testing
from v2v_core.discovery import Role
from v2v_core.plugins import check_plugin
from v2v_core.testing.fake_plugins import FakeConvert, FakeCopy, FakeInput, FakeObserver, FakeOutput

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
SPECS = (
    hookspecs.InputHooks,
    hookspecs.OutputHooks,
    hookspecs.ConvertHooks,
    hookspecs.CopyHooks,
    hookspecs.ObserverHooks,
)
HOOKS = {name: spec for specs in SPECS for name, spec in vars(specs).items() if name.startswith("v2v_")}
ORDER = [
    "v2v_convert_check",
    "v2v_output_precheck",
    "v2v_input_setup",
    "v2v_output_check",
    "v2v_inspect",
    "v2v_convert",
    "v2v_output_setup",
    "v2v_input_versions",
    "v2v_output_resume",
    "v2v_copy",
    "v2v_output_sink",
    "v2v_output_finalize",
    "v2v_output_abort",
    "v2v_input_abort",
    "v2v_first_boot",
    "v2v_event",
]


def section(hook: str) -> str:
    found = re.search(rf"^### {hook}\n(.*?)(?=^##)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE.name} has no section '### {hook}'"
    return found[1]


def test_hooks_have_a_section_each_in_the_order_in_which_they_are_called() -> None:
    assert set(HOOKS) == set(ORDER)
    assert re.findall(r"^### (v2v_\w+)$", PAGE.read_text(), re.MULTILINE) == ORDER


@pytest.mark.parametrize("hook", [hook for hook in ORDER if hook != "v2v_event"])
def test_section_names_every_field_of_the_request_and_the_result(hook: str) -> None:
    hints = typing.get_type_hints(HOOKS[hook])
    fields = [field.name for field in dataclasses.fields(hints["request"])]
    listed = re.search(r"^Request: (.*)\.$", section(hook), re.MULTILINE)
    assert listed, f"{hook}: no line 'Request: …'"
    assert re.findall(r"`(\w+)`", listed[1]) == fields
    for result in typing.get_args(hints["return"]) or (hints["return"],):
        if result is not type(None):
            assert f"`{result.__name__}`" in section(hook)


@pytest.mark.parametrize("hook", ORDER)
def test_section_says_the_role_and_hookspec_explains_itself(hook: str) -> None:
    (role,) = (specs.__doc__ for specs in SPECS if hook in vars(specs))
    word = re.search(r"role ``(\w+)``", role or "")
    assert word
    assert f"Role `{word[1]}`" in section(hook)
    assert HOOKS[hook].__doc__


def test_names_that_the_page_imports_are_public() -> None:
    modules = {"v2v_core.api": api, "v2v_core.output_files": output_files, "v2v_core.testing": testing}
    public = {name: module.__all__ for name, module in modules.items()}
    imports = re.findall(r"^from (v2v_core\.\w+) import (?:\(([^)]*)\)|([^\n(]*))$", PAGE.read_text(), re.MULTILINE)
    assert len(imports) >= 5
    for module, many, one in imports:
        assert {name.strip() for name in f"{many}{one}".split(",") if name.strip()} <= set(public[module])


@pytest.mark.parametrize("name", testing.__all__)
def test_public_names_of_the_kit_exist(name: str) -> None:
    assert getattr(testing, name) is not None


def test_unknown_name_of_the_kit_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        testing.nope  # noqa: B018


@pytest.mark.parametrize(
    ("role", "fake"),
    [
        (Role.INPUT, FakeInput),
        (Role.CONVERT, FakeConvert),
        (Role.COPY, FakeCopy),
        (Role.OUTPUT, FakeOutput),
        (Role.OBSERVER, FakeObserver),
    ],
)
def test_there_is_a_fake_of_every_role(role: Role, fake: type) -> None:
    assert check_plugin(role, "fake", fake, "the fake").summary
