# SPDX-License-Identifier: GPL-2.0-or-later
"""What the contract suites of all roles have in common."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, ClassVar

import pytest

from v2v_core.discovery import Role
from v2v_core.model import PluginOption
from v2v_core.plugins import LoadedPlugin, check_options, check_plugin
from v2v_core.testing.fakes import FakeReporter

_OPTION_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*", re.ASCII)
#: Prints the modules that the module of a plugin imports, except those that ``v2v_core.api`` has imported already.
_IMPORTS = """
import importlib, sys
import v2v_core.api
before = {name.partition(".")[0] for name in sys.modules}
importlib.import_module(sys.argv[1])
print(*sorted({name.partition(".")[0] for name in sys.modules} - before - set(sys.stdlib_module_names)))
"""


class PluginContract:
    """The base of the contract suites.

    Do not delete a contract test that a plugin cannot pass. Override it with a test that is marked
    ``pytest.mark.xfail(reason=…)``: the reason documents the difference.
    """

    role: ClassVar[Role]
    #: The class that the entry point names.
    plugin_class: ClassVar[type[Any]]
    #: The name of the entry point: ``foo`` for ``-i foo`` or ``-o foo``.
    mode: ClassVar[str] = "tested"
    #: Top-level modules, beside its own and the standard library, that the plugin may import at module level.
    imports_at_once: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture
    def plugin(self) -> LoadedPlugin:
        """Return the plugin, instantiated and checked as core does it."""
        return check_plugin(self.role, self.mode, self.plugin_class, f"{self.mode!r} of the distribution under test")

    @pytest.fixture
    def report(self) -> FakeReporter:
        """Return the reporter that the plugin gets."""
        return FakeReporter()

    def test_no_contract_test_is_overridden(self) -> None:
        """A contract test that is replaced by another one proves nothing."""
        gone = []
        for contract in type(self).__mro__:
            if not contract.__module__.startswith("v2v_core.testing."):
                continue
            for name, test in vars(contract).items():
                mine = getattr(type(self), name, None)
                if name.startswith("test_") and mine is not test and not _marked_xfail(mine):
                    gone.append(name)
        assert not gone, f"overridden without pytest.mark.xfail(reason=…): {', '.join(sorted(set(gone)))}"

    def test_plugin_has_the_hooks_of_its_role(self, plugin: LoadedPlugin) -> None:
        """``check_plugin`` raises otherwise."""
        assert plugin.role is self.role

    def test_plugin_says_what_it_is_in_one_line(self, plugin: LoadedPlugin) -> None:
        """``v2v plugins list`` shows it."""
        assert plugin.summary.strip(), "summary is empty"
        assert "\n" not in plugin.summary

    def test_making_the_plugin_needs_no_arguments_and_leaves_no_state_in_the_class(self) -> None:
        """Core instantiates the plugin for each step."""
        before = dict(vars(self.plugin_class))
        assert self.plugin_class() is not self.plugin_class()
        assert dict(vars(self.plugin_class)) == before

    def test_import_of_the_plugin_is_cheap(self) -> None:
        """SDKs are imported inside the hooks, so that ``--help`` and listings are fast and work without the SDK."""
        module = self.plugin_class.__module__
        done = subprocess.run(
            [sys.executable, "-P", "-c", _IMPORTS, module],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(word for word in sys.path if word)},
        )
        assert done.returncode == 0, done.stderr
        heavy = set(done.stdout.split()) - {module.partition(".")[0]} - self.imports_at_once
        assert not heavy, f"importing {module} imports {', '.join(sorted(heavy))}: do that inside the hooks"

    def test_options_are_declared_well(self, plugin: LoadedPlugin) -> None:
        """Each name is a lower-case word that is declared once, and has a help text."""
        spellings = [spelling for option in plugin.options for spelling in (option.name, *option.aliases)]
        assert len(spellings) == len(set(spellings)), f"declared twice: {spellings}"
        for option in plugin.options:
            for spelling in (option.name, *option.aliases):
                assert _OPTION_NAME.fullmatch(spelling), f"option {spelling!r}: lower case words with - between"
            assert option.help.strip(), f"option {option.name!r} has no help"
            assert not (option.flag and (option.secret or option.repeatable)), f"option {option.name!r} is a flag"

    def test_secret_sounding_options_are_declared_secret(self, plugin: LoadedPlugin) -> None:
        """Values of secret options are never shown."""
        for option in plugin.options:
            sounds = re.search(r"password|passphrase|secret|token", option.name)
            if sounds and not option.name.endswith("file"):
                assert option.secret, f"option {option.name!r} sounds like a secret and is not declared one"

    def test_every_declared_option_is_accepted_by_name(self, plugin: LoadedPlugin) -> None:
        """Core checks options against the declaration alone."""
        for option in plugin.options:
            others: tuple[PluginOption, ...] = tuple(other for other in plugin.options if other is option)
            values = check_options(self.mode, others, ((option.name, "true" if option.flag else "value"),))
            assert values.all(option.name), option.name


def _marked_xfail(test: object) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and str(mark.kwargs.get("reason", "")).strip() for mark in marks)


def hint_is_given(error: BaseException) -> bool:
    """Return whether an error says what to do next."""
    return bool(str(getattr(error, "hint", None) or "").strip())
