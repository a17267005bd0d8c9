# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text can be written to stdout and stderr, whatever their encoding is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from v2v_core.conversion_dir import ConversionDir

#: A path with a byte that is not UTF-8, and characters that Latin-1 and ASCII do not have.
PATH = os.fsdecode(b"/out/caf\xe9 \xe2\x82\xac")
WRITE = """
import sys
import time
from pathlib import Path
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


NO_OUTPUT = {
    "closed": ">&-",
    "closed, and stderr too": ">&- 2>&-",
    "everything closed": "<&- >&- 2>&-",
    "a reader that has ended": "| true",
}


def shell(words: str, redirection: str, *, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of our modules as a shell would; ``words`` are a part of the command line."""
    script = f'"$PYTHON" -m {words} {redirection}; exit "${{PIPESTATUS[0]}}"'
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(
        ["bash", "-c", script], env=environment, cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("redirection", NO_OUTPUT.values(), ids=NO_OUTPUT.keys())
@pytest.mark.parametrize(
    "words", ["v2v_cli.virt_v2v --version", "v2v_cli.v2v --help", "v2v_core.step_command --version"]
)
def test_output_that_nobody_takes_is_no_failure(words: str, redirection: str) -> None:
    """pixelb/crudini#82: stdout is None where it was closed. aws/aws-cli#1113: a reader that has had enough is normal.

    forseti-security/terraform-google-forseti#479: a cleanup that is started with ``1>&-`` crashes, and cleans nothing.
    """
    done = shell(words, redirection)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("virt-v2v", "v2v_cli.virt_v2v --version"),
        ("v2v", "v2v_cli.v2v plugins list"),
        ("helper-v2v-step", "v2v_core.step_command --help"),
        ("virt-v2v", "v2v_cli.virt_v2v -i disk disk.img --print-source -q --memory 1G --vcpus 1 --nic none"),
    ],
)
def test_output_that_is_lost_is_an_error_where_it_is_the_result(program: str, words: str, tmp_path: Path) -> None:
    """openvax/mhctools#387 shows how to use the command instead."""
    with (tmp_path / "disk.img").open("wb") as stream:
        stream.truncate(1024 * 1024)
    done = shell(words, ">/dev/full", directory=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        f"{program}: error: the output cannot be written: No space left on device\n",
    )


def test_no_file_gets_the_number_of_a_stream_that_was_closed(tmp_path: Path) -> None:
    """streamlink/streamlink#6197: without stdout, ``>&-``, the first file that is opened would have its number."""
    script = (
        "from v2v_core.standard_streams import make_unfailing; import os, subprocess; make_unfailing(); "
        f"handle = os.open({str(tmp_path / 'image')!r}, os.O_RDWR | os.O_CREAT); print('spoilt', flush=True); "
        "subprocess.run(['echo', 'spoilt']); raise SystemExit(handle)"
    )
    done = shell(f'timeit -h >/dev/null; exec "$PYTHON" -c "{script}"', "<&- >&- 2>&-")
    assert done.returncode >= 3
    assert (tmp_path / "image").read_bytes() == b""


def test_a_terminal_that_does_not_wait_gets_everything() -> None:
    """ansible/ansible#77639: "write could not complete without blocking", where ssh has left the pipe like that."""
    script = (
        "import os, sys; os.set_blocking(1, False); from v2v_core.standard_streams import make_unfailing; "
        "make_unfailing(); sys.stdout.write('x' * 1_000_000); sys.stdout.flush()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(0.5)  # until the pipe is full
        out, err = process.communicate(timeout=60)
    assert (process.returncode, len(out), err) == (0, 1_000_000, b"")


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "2>&- >&-", "| true"])
def test_the_cleanup_cleans_up_even_so(tmp_path: Path, redirection: str) -> None:
    directory = ConversionDir.open_or_create(tmp_path / "run")
    done = shell(f"v2v_cli.helpers cleanup --dir {directory.path}", redirection)
    assert (done.returncode, done.stderr) == (0, "")
    assert not directory.path.exists()


@pytest.mark.parametrize("name", ["東京.img".encode(), b"caf\xe9.img", "Büro.img".encode()])
def test_a_disk_is_found_by_its_name_in_a_locale_that_is_not_utf8(tmp_path: Path, name: bytes) -> None:
    """libguestfs/virt-v2v#6 (a French locale): qemu takes a name for UTF-8, and Python for text of the locale.

    freedomofpress/dangerzone#768: nor may printing it fail afterwards.
    """
    image = tmp_path / os.fsdecode(name)
    with image.open("wb") as stream:
        stream.truncate(1024 * 1024)
    # neither is Python's own way out of the C locale open
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    hardware = ["--memory", "1G", "--vcpus", "1", "--nic", "none"]
    argv = [
        sys.executable,
        "-m",
        "v2v_cli.virt_v2v",
        "-i",
        "disk",
        os.fsencode(image),
        "--print-source",
        "-q",
        *hardware,
    ]
    done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"source name: " in done.stdout
    assert b"\\u6771\\u4eac" in done.stdout or "東京" not in image.name
