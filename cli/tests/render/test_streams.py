# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text can be written to stdout and stderr, whatever their encoding is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: A path with a byte that is not UTF-8, and characters that Latin-1 and ASCII do not have.
PATH = os.fsdecode(b"/out/caf\xe9 \xe2\x82\xac")
WRITE = """
import sys
from v2v_cli.exit import Session, guard
from v2v_cli.render.streams import sanitize_created

def body():
    sys.stdout.write(sanitize_created(sys.argv[1], sys.stdout) + "\\n")
    sys.stderr.write("…" + sys.argv[1] + "\\n")

sys.exit(guard(Session("p"), body))
"""


def run(encoding: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    # strict, as in most locales: only in the C locale does Python itself choose another error handler
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    return subprocess.run([sys.executable, *argv], capture_output=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("encoding", "out", "err"),
    [
        ("utf-8", b"/out/caf\xe9 \xe2\x82\xac\n", b"\xe2\x80\xa6/out/caf\xe9 \xe2\x82\xac\n"),
        ("latin-1", b"/out/caf\xe9 \\u20ac\n", b"\\u2026/out/caf\xe9 \\u20ac\n"),
        ("ascii", b"/out/caf\xe9 \\u20ac\n", b"\\u2026/out/caf\xe9 \\u20ac\n"),
    ],
)
def test_every_text_can_be_written(encoding: str, out: bytes, err: bytes) -> None:
    done = run(encoding, "-c", WRITE, PATH)
    assert (done.returncode, done.stdout, done.stderr) == (0, out, err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_help_can_be_written(encoding: str) -> None:
    done = run(encoding, "-m", "v2v_cli.virt_v2v", "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--machine-readable" in done.stdout


def test_error_about_a_path_that_is_not_text_is_the_error() -> None:
    done = run("utf-8", "-m", "v2v_cli.virt_v2v", "-ip", PATH, "g")
    assert done.returncode == 2
    assert done.stderr.decode().startswith("virt-v2v: error: -ip: cannot read /out/caf\N{REPLACEMENT CHARACTER} €")
