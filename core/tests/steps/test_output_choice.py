# SPDX-License-Identifier: GPL-2.0-or-later
"""``--overwrite`` and ``-oo overwrite`` as the plugin of an output sees them."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_core.discovery import Role
from v2v_core.errors import OptionError
from v2v_core.model import PluginOption
from v2v_core.plugins import check_plugin
from v2v_core.settings import OutputChoice, RawOptions
from v2v_core.steps.output_choice import settings_of
from v2v_core.testing import FakeOutput


def plugin(*options: PluginOption) -> Any:
    return check_plugin(Role.OUTPUT, "foo", type("Foo", (FakeOutput,), {"options": options}), "'foo'")


@pytest.mark.parametrize(
    ("given", "overwrite", "expected"),
    [
        ((), False, False),
        ((), True, True),
        ((("overwrite", None),), False, True),
        ((("overwrite", "true"),), False, True),
        ((("overwrite", "false"),), False, False),
        ((("overwrite", "false"),), True, True),
    ],
)
def test_every_output_has_it(given: RawOptions, overwrite: bool, expected: bool) -> None:
    settings = settings_of(plugin(), OutputChoice(mode="foo", options=given, overwrite=overwrite), "g")
    assert settings.overwrite is expected
    assert settings.options.values == {}


def test_an_option_of_that_name_that_the_plugin_declares_is_the_plugins() -> None:
    own = plugin(PluginOption(name="overwrite", help="which ones"))
    settings = settings_of(own, OutputChoice(mode="foo", options=(("overwrite", "disks"),)), "g")
    assert settings.options.one("overwrite") == "disks"
    assert not settings.overwrite


@pytest.mark.parametrize("value", ["yes", "1", ""])
def test_a_value_that_is_neither_true_nor_false(value: str) -> None:
    with pytest.raises(OptionError, match="neither true nor false"):
        settings_of(plugin(), OutputChoice(mode="foo", options=(("overwrite", value),)), "g")
