# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract suites: plugins that keep the contract pass, and each way of breaking it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_core.api import OutputResult
from v2v_core.testing import FakeInput, FakeOutput, InputExample, InputPluginContract, OutputExample
from v2v_core.testing.output_contract import OutputPluginContract

pytest_plugins = ["pytester"]


class TestFakeInput(InputPluginContract):
    plugin_class = FakeInput
    needs_arguments = False

    @pytest.fixture
    def example(self, v2v_disk: Path) -> InputExample:
        return InputExample(arguments=(str(v2v_disk),), contents=(v2v_disk.read_bytes(),), files=(v2v_disk,))


class TestFakeOutput(OutputPluginContract):
    plugin_class = FakeOutput

    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        (tmp_path / "store").mkdir()
        return OutputExample(storage=str(tmp_path / "store"))

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return Path(result.created[index - 1]).read_bytes()


_INPUT = """
import pytest
from pathlib import Path
from v2v_core.api import *
from v2v_core.testing import *

class Broken(FakeInput):
{body}

class TestBroken(InputPluginContract):
    plugin_class = Broken
    needs_arguments = False
    @pytest.fixture
    def example(self, v2v_disk):
        return InputExample(arguments=(str(v2v_disk),), contents=(v2v_disk.read_bytes(),), files=(v2v_disk,))
{override}
"""
_OUTPUT = """
import os, pytest
from dataclasses import replace
from pathlib import Path
from v2v_core.api import *
from v2v_core.testing import *

memory = {{}}

class Broken(FakeOutput):
{body}

class TestBroken(OutputPluginContract):
    plugin_class = Broken
    @pytest.fixture
    def example(self, tmp_path):
        (tmp_path / "store").mkdir()
        return OutputExample(storage=str(tmp_path / "store"))
    def read_disk(self, example, result, index):
        return Path(result.created[index - 1]).read_bytes()
"""
_SETUP_INPUT = """
    @hookimpl
    def v2v_input_setup(self, request):
        result = FakeInput().v2v_input_setup(request)
        {change}
        return result
"""
_HOOK = """
    @hookimpl
    def v2v_output_{hook}(self, request):
        {before}
        result = FakeOutput().v2v_output_{hook}(request)
        {after}
        return result
"""

INPUTS = {
    "prints": (_SETUP_INPUT.format(change="print('hello')"), "test_setup_does_not_print"),
    "writes beside the source": (
        _SETUP_INPUT.format(change="(Path(request.arguments[0]).parent / 'trace').touch()"),
        "test_setup_writes_nothing_outside_its_directory",
    ),
    "touches the source": (
        _SETUP_INPUT.format(change="Path(request.arguments[0]).chmod(0o600)"),
        "test_setup_writes_nothing_outside_its_directory",
    ),
    "serves another disk": (
        _SETUP_INPUT.format(
            change="result = InputResult(guest=result.guest, disks=(NbdkitPlugin(name='memory', "
            "parameters=(('size', '1M'),)),))"
        ),
        "test_disks_are_served_with_their_size_and_content",
    ),
    "different every time": (
        _SETUP_INPUT.format(
            change="import time; result = InputResult(guest=Guest(name=str(time.time_ns()), disks=result.guest.disks), "
            "disks=result.disks)"
        ),
        "test_setup_can_be_run_again",
    ),
    "raises what core must wrap": (
        _SETUP_INPUT.format(change="").replace("result =", "open(request.arguments[0]); result ="),
        "test_guest_that_does_not_exist_is_an_error_of_one_line",
    ),
    "declares an option twice": (
        "    options = (PluginOption(name='a', help='x'), PluginOption(name='b', aliases=('a',), help='x'))",
        "test_options_are_declared_well",
    ),
    "declares an option without help": (
        "    options = (PluginOption(name='a', help=''),)",
        "test_options_are_declared_well",
    ),
    "shows a password": (
        "    options = (PluginOption(name='esx-password', help='x'),)",
        "test_secret_sounding_options_are_declared_secret",
    ),
    "keeps state in the class": (
        "    made = []\n    def __init__(self):\n        type(self).made = [*self.made, 1]",
        "test_making_the_plugin_needs_no_arguments_and_leaves_no_state_in_the_class",
    ),
    "says nothing about itself": ("    summary = ''", "test_plugin_says_what_it_is_in_one_line"),
}
OUTPUTS = {
    "check creates": (
        _HOOK.format(hook="check", before="(Path(request.settings.storage) / 'probe').touch()", after=""),
        "test_check_creates_nothing",
    ),
    "creates before it records": (
        _HOOK.format(
            hook="setup",
            before="(Path(request.settings.storage) / 'early').touch()",
            after="request.ledger.record('file', str(Path(request.settings.storage) / 'early'))",
        ),
        "test_what_is_created_was_recorded_before",
    ),
    "creates without a record": (
        _HOOK.format(hook="finalize", before="(Path(request.settings.storage) / 'extra').touch()", after=""),
        "test_what_is_created_was_recorded_before",
    ),
    "abort empties the directory": (
        _HOOK.format(hook="abort", before="[p.unlink() for p in Path(request.settings.storage).iterdir()]", after=""),
        "test_abort_after_setup_takes_everything_back",
    ),
    "abort does nothing": (
        "    @hookimpl\n    def v2v_output_abort(self, request):\n        pass",
        "test_abort_after_finalize_takes_everything_back",
    ),
    "abort needs the state": (
        _HOOK.format(hook="abort", before="request.state['images']", after=""),
        "test_abort_in_a_new_process_after_setup_was_killed",
    ),
    "abort works once": (
        _HOOK.format(hook="abort", before="[os.stat(thing.identity) for thing in request.owned]", after=""),
        "test_abort_twice_is_harmless",
    ),
    "keeps state in memory": (
        _HOOK.format(hook="setup", before="memory['here'] = True", after="")
        + _HOOK.format(hook="finalize", before="memory['here']", after=""),
        "test_steps_work_in_processes_of_their_own",
    ),
    "state is not JSON": (
        _HOOK.format(hook="setup", before="", after="result = replace(result, state={'images': ('a', 'b')})"),
        "test_state_is_json",
    ),
    "loses data": (
        _HOOK.format(hook="finalize", before="os.truncate(request.state['images'][1], 512)", after=""),
        "test_data_and_guest_arrive",
    ),
    "believes the name": (
        _HOOK.format(
            hook="setup",
            before="(Path(request.settings.storage) / request.settings.name).with_suffix('.tmp').touch()",
            after="",
        ),
        "test_name_stays_inside_the_destination",
    ),
    "overwrites an earlier guest": (
        "    @hookimpl\n    def v2v_output_check(self, request):\n        if request.settings.storage is None:\n"
        "            raise UsageError('x', hint='y')\n"
        + _HOOK.format(
            hook="setup",
            before="[(p.unlink(), request.ledger.record('file', str(p))) "
            "for p in Path(request.settings.storage).glob('*-disk?')]",
            after="",
        ),
        "test_guest_of_an_earlier_run_is_not_harmed",
    ),
    "prints": (_HOOK.format(hook="abort", before="print('bye')", after=""), "test_hooks_do_not_print"),
}


def outcomes(pytester: pytest.Pytester, sources: dict[str, str], tests: dict[str, str]) -> dict[str, set[str]]:
    """Run one test of each source in one pytest run. Return its outcomes, more than one if it is parametrized."""
    files = {name: f"test_broken{number}" for number, name in enumerate(sources)}
    pytester.makepyfile(**{files[name]: source for name, source in sources.items()})
    nodes = [f"{files[name]}.py::TestBroken::{test}" for name, test in tests.items()]
    run = pytester.inline_run(*nodes, "-p", "no:cacheprovider", "--import-mode=prepend", "-W", "error")
    seen: dict[str, set[str]] = {name: set() for name in sources}
    names = {file: name for name, file in files.items()}
    for report in run.getreports("pytest_runtest_logreport"):
        if report.when == "call" or report.outcome != "passed":
            outcome = f"{report.outcome} in {report.when}" if report.when != "call" else report.outcome
            seen[names[Path(report.nodeid.partition("::")[0]).stem]].add(outcome)
    return seen


@pytest.mark.parametrize(("template", "cases"), [(_INPUT, INPUTS), (_OUTPUT, OUTPUTS)], ids=["input", "output"])
def test_each_way_of_breaking_the_contract_is_found(
    pytester: pytest.Pytester, template: str, cases: dict[str, tuple[str, str]]
) -> None:
    sources = {name: template.format(body=body, override="") for name, (body, _test) in cases.items()}
    seen = outcomes(pytester, sources, {name: test for name, (_body, test) in cases.items()})
    missed = {
        name: outcome
        for name, outcome in seen.items()
        if "failed" not in outcome or not outcome <= {"failed", "passed"}
    }
    assert not missed


HOLES = {
    "deleted": "    test_setup_does_not_print = None",
    "replaced": "    def test_setup_does_not_print(self): pass",
    "skipped": "    @pytest.mark.skip(reason='no')\n    def test_setup_does_not_print(self): pass",
    "without reason": "    @pytest.mark.xfail\n    def test_setup_does_not_print(self): pass",
}
NO_HOLES = {
    "with reason": "    @pytest.mark.xfail(reason='prints a licence')\n    def test_setup_does_not_print(self): pass",
    "own test": "    def test_something_of_its_own(self): pass",
}


def test_suite_with_a_hole_is_found(pytester: pytest.Pytester) -> None:
    cases = {**HOLES, **NO_HOLES}
    sources = {name: _INPUT.format(body="    pass", override=override) for name, override in cases.items()}
    seen = outcomes(pytester, sources, dict.fromkeys(cases, "test_no_contract_test_is_overridden"))
    assert seen == {name: {"failed" if name in HOLES else "passed"} for name in cases}


def test_import_of_an_sdk_at_module_level_is_found(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        heavy_sdk="",
        heavy_plugin="import heavy_sdk\nfrom v2v_core.testing import FakeInput\nclass Heavy(FakeInput): pass\n",
        test_heavy=_INPUT.format(body="    pass", override="").replace(
            "plugin_class = Broken", "from heavy_plugin import Heavy as plugin_class"
        ),
    )
    result = pytester.runpytest_inprocess("-k", "import_of_the_plugin", "--import-mode=prepend")
    result.stdout.fnmatch_lines(["*importing heavy_plugin imports heavy_sdk: do that inside the hooks*"])
