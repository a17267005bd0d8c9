# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard output, taken and given back. ``tests/habits`` shows it in whole runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os, subprocess, sys
from v2v_core import own_stdout

print("before")
stream = own_stdout.take()
assert own_stdout.take() is own_stdout.stdout() is stream
assert not os.get_inheritable(stream.fileno()), "a server would keep its reader waiting for the end"
print("printed")
os.write(1, b"written\\n")
subprocess.run(["echo", "child"], check=True)
stream.write("ours\\n")
own_stdout.give_back()
own_stdout.give_back()
assert own_stdout.stdout() is sys.stdout
print("after")
"""


def test_only_the_program_writes_to_standard_output() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "before\nours\nafter\n"
    assert done.stderr == "printed\nwritten\nchild\n"


def test_a_reader_that_has_gone_is_an_error_once() -> None:
    program = """
from v2v_core import own_stdout
own_stdout.take().write("x" * 100)
try:
    own_stdout.give_back()
except BrokenPipeError:
    raise SystemExit(3)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        # nothing about an exception that was ignored at the end of the interpreter
        assert process.stderr.read() == b""
    assert process.returncode == 3


def test_a_stream_of_a_test_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    from v2v_core import own_stdout

    assert own_stdout.take() is sys.stdout
    own_stdout.take().write("captured\n")
    own_stdout.give_back()
    assert capsys.readouterr().out == "captured\n"
