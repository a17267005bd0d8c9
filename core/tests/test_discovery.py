# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding plugins: only the one that was asked for is imported, and an error names the plugin."""

from __future__ import annotations

import shutil
import sys

import pytest

from v2v_core.discovery import Role, installed, load, modes
from v2v_core.errors import AmbiguousPlugin, PluginLoadError, PluginNotFound
from v2v_core.testing import forget_entry_points, write_distribution
from v2v_core.testing.fixtures import Install

GOOD = "class Good:\n    pass\n"


def test_asked_for_plugin_is_imported_and_a_broken_sibling_is_not(v2v_install: Install) -> None:
    v2v_install("v2v-output-good", {"v2v.output": {"t-good": "t_good:Good"}}, {"t_good": GOOD})
    v2v_install("v2v-output-broken", {"v2v.output": {"t-broken": "t_broken:B"}}, {"t_broken": "raise ImportError('x')"})
    assert load(Role.OUTPUT, "t-good").__name__ == "Good"
    assert "t_broken" not in sys.modules


def test_listing_imports_nothing_and_names_the_distribution(v2v_install: Install) -> None:
    v2v_install("v2v-output-broken", {"v2v.output": {"t-broken": "t_broken:B"}}, {"t_broken": "1/0"}, version="4.2")
    (found,) = (plugin for plugin in installed(Role.OUTPUT) if plugin.name == "t-broken")
    assert (found.distribution, found.version, found.target) == ("v2v-output-broken", "4.2", "t_broken:B")
    assert "t_broken" not in sys.modules


def test_same_name_in_another_role_is_another_plugin(v2v_install: Install) -> None:
    v2v_install("v2v-input-good", {"v2v.input": {"t-good": "t_good:Good"}}, {"t_good": GOOD})
    with pytest.raises(PluginNotFound):
        load(Role.OUTPUT, "t-good")


def test_unknown_mode_lists_what_is_installed(v2v_install: Install) -> None:
    v2v_install("v2v-fakes", {"v2v.observer": {"t-zzz": "m:C", "t-aaa": "m:D"}})
    with pytest.raises(PluginNotFound) as refused:
        load(Role.OBSERVER, "t-nope")
    assert refused.value.installed == ("t-aaa", "t-zzz")
    assert refused.value.message == "unknown observer mode 't-nope' (installed: t-aaa, t-zzz)"
    assert refused.value.hint == "'v2v plugins list' lists what is installed"


def test_hint_names_modes_that_are_nearly_the_same(v2v_install: Install) -> None:
    v2v_install("v2v-fakes", {"v2v.observer": {"t-upload": "m:C", "t-uploads": "m:D", "t-other": "m:E"}})
    with pytest.raises(PluginNotFound) as refused:
        load(Role.OBSERVER, "t-uplaod")
    assert refused.value.hint == "did you mean t-upload or t-uploads?"


def test_names_of_one_plugin_are_one_mode_whose_main_name_has_a_helper(v2v_install: Install) -> None:
    v2v_install(
        "v2v-fakes",
        {
            "v2v.observer": {"t-a": "m:C", "t-c": "m:C", "t-b": "m:C", "t-z": "m:D", "t-y": "m:D"},
            "console_scripts": {"helper-v2v-observer-t-b": "v2v_core.helper:main"},
        },
    )
    assert [mode.listed for mode in modes(Role.OBSERVER)] == ["t-b (t-a, t-c)", "t-y (t-z)"]
    with pytest.raises(PluginNotFound) as refused:
        load(Role.OBSERVER, "t-nope")
    assert "(installed: t-b (t-a, t-c), t-y (t-z))" in refused.value.message


def test_same_target_in_two_distributions_is_two_modes(v2v_install: Install) -> None:
    for distribution in ("v2v-one", "v2v-two"):
        v2v_install(distribution, {"v2v.observer": {"t-twin": "m:C"}})
    assert [mode.plugin.distribution for mode in modes(Role.OBSERVER)] == ["v2v-one", "v2v-two"]


def test_two_distributions_with_one_name_are_ambiguous(v2v_install: Install) -> None:
    v2v_install("v2v-output-one", {"v2v.output": {"t-twin": "t_one:Good"}}, {"t_one": GOOD})
    v2v_install("v2v-output-two", {"v2v.output": {"t-twin": "t_two:Good"}}, {"t_two": GOOD})
    with pytest.raises(AmbiguousPlugin) as refused:
        load(Role.OUTPUT, "t-twin")
    assert set(refused.value.targets) == {"t_one:Good", "t_two:Good"}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import no_such_module_of_the_sdk", "ModuleNotFoundError: No module named 'no_such_module_of_the_sdk'"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("assert False, 'wrong python'", "AssertionError: wrong python"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("", "AttributeError"),
    ],
    ids=["import", "syntax", "exception", "assertion", "exit", "no class"],
)
def test_plugin_that_cannot_be_imported_is_blamed(v2v_install: Install, source: str, named: str) -> None:
    v2v_install("v2v-output-broken", {"v2v.output": {"t-broken": "t_broken:Gone"}}, {"t_broken": source})
    with pytest.raises(PluginLoadError) as refused:
        load(Role.OUTPUT, "t-broken")
    assert "the output plugin 't-broken' (t_broken:Gone) cannot be loaded" in refused.value.message
    assert named in refused.value.message
    assert refused.value.__cause__ is not None
    assert refused.value.exit_code == 3


def test_entry_point_that_was_renamed_a_moment_ago_is_found(v2v_install: Install) -> None:
    """stevedore's cache on disk does not see it for two minutes: its key holds the time of change as 32-bit floats."""
    info = v2v_install("v2v-output-good", {"v2v.output": {"t-old": "t_good:Good"}}, {"t_good": GOOD})
    assert load(Role.OUTPUT, "t-old").__name__ == "Good"
    write_distribution(info.parent, "v2v-output-good", {"v2v.output": {"t-new": "t_good:Good"}})
    assert load(Role.OUTPUT, "t-new").__name__ == "Good"
    with pytest.raises(PluginNotFound):
        load(Role.OUTPUT, "t-old")


def test_distribution_that_is_uninstalled_while_the_program_runs_is_gone(v2v_install: Install) -> None:
    info = v2v_install("v2v-output-good", {"v2v.output": {"t-good": "t_good:Good"}}, {"t_good": GOOD})
    load(Role.OUTPUT, "t-good")
    shutil.rmtree(info)
    forget_entry_points()
    with pytest.raises(PluginNotFound):
        load(Role.OUTPUT, "t-good")


def test_distribution_without_metadata_is_listed_with_question_marks(v2v_install: Install) -> None:
    info = v2v_install("v2v-output-half", {"v2v.output": {"t-half": "t_half:Good"}}, {"t_half": GOOD})
    (info / "METADATA").unlink()
    (found,) = (plugin for plugin in installed(Role.OUTPUT) if plugin.name == "t-half")
    assert (found.distribution, found.version) == ("?", "?")
    assert load(Role.OUTPUT, "t-half").__name__ == "Good"
