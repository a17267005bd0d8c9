# SPDX-License-Identifier: GPL-2.0-or-later
"""Two runs in one process, each in a thread of its own: the programs of each carry only its own mark."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from pathlib import Path

import pytest

from v2v_core.environment import child_environment, programs_belong_to
from v2v_core.pipeline import run
from v2v_core.settings import RunChoice
from v2v_core.testing.fixtures import Install

#: Each hook waits until both runs are in it, and then runs a program that prints its environment.
_LOOKING = """
import json, threading
from pathlib import Path
from v2v_core.api import *
from v2v_core.testing import FakeCopy, FakeOutput

BOTH = threading.Barrier(2, timeout=60)
SEEN = []

def look(name, hook):
    BOTH.wait()
    words = run_program(["env", "-0"]).split("\\0")
    found = dict(word.split("=", 1) for word in words if word)
    SEEN.append((name, hook, found.get("V2V_DIRECTORY"), found.get("TMPDIR"), found.get("V2V_STEP")))

class Looking(FakeOutput):
    @hookimpl
    def v2v_output_check(self, request):
        look(request.settings.name, "check")

    @hookimpl
    def v2v_output_setup(self, request):
        look(request.settings.name, "setup")
        return super().v2v_output_setup(request)

class LookingCopy(FakeCopy):
    @hookimpl
    def v2v_copy(self, request):
        look(request.output_directory.parent.name, "copy")
        return super().v2v_copy(request)
"""


@pytest.fixture
def looking(v2v_install: Install) -> None:
    groups = {"v2v.output": {"t-looking": "t_looking:Looking"}, "v2v.copy": {"t-looking": "t_looking:LookingCopy"}}
    v2v_install("v2v-t-looking", groups, {"t_looking": _LOOKING})


def test_programs_of_two_runs_at_once_carry_their_own_mark(
    choice: RunChoice, looking: None, v2v_short_path: Path
) -> None:
    before = dict(os.environ)
    errors: list[BaseException] = []

    def convert(name: str) -> None:
        try:
            run(
                dataclasses.replace(
                    choice,
                    directory=v2v_short_path / name,
                    input=dataclasses.replace(choice.input, options=()),
                    output=dataclasses.replace(choice.output, mode="t-looking", name=name),
                    copy=dataclasses.replace(choice.copy, mode="t-looking"),
                )
            )
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=convert, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    import t_looking  # type: ignore[import-not-found]

    steps = {"check": "output_check", "setup": "output_setup", "copy": "copy"}
    assert sorted(t_looking.SEEN) == sorted(
        (name, hook, str(v2v_short_path / name), str(v2v_short_path / name / "tmp"), steps[hook])
        for name in ("one", "two")
        for hook in steps
    )
    assert dict(os.environ) == before


def test_variables_hold_for_the_block_and_the_context() -> None:
    assert "V2V_T" not in child_environment()
    with programs_belong_to({"V2V_T": "outer"}), programs_belong_to({"V2V_U": "inner"}):
        found = child_environment(V2V_T="mine")
        assert (found["V2V_T"], found["V2V_U"], child_environment()["V2V_T"]) == ("mine", "inner", "outer")
        elsewhere: list[str] = []
        other = threading.Thread(target=lambda: elsewhere.append(json.dumps(child_environment())))
        other.start()
        other.join()
        assert "V2V_T" not in json.loads(elsewhere[0])
    assert "V2V_U" not in child_environment()
