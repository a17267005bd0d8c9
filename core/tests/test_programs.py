# SPDX-License-Identifier: GPL-2.0-or-later
"""External programs are found and run, and the error about a missing one names its package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core import packages
from v2v_core.errors import CommandError, V2VError
from v2v_core.packages import Family
from v2v_core.programs import PACKAGES, require_program, run_program

_SOURCES = Path(packages.__file__).parent


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


def test_the_path_of_a_program() -> None:
    assert Path(require_program("sh")).is_absolute()


@pytest.mark.usefixtures("no_programs")
@pytest.mark.parametrize(
    ("program", "family", "command"),
    [
        ("nbdinfo", Family.DEBIAN, "sudo apt-get install --no-install-recommends libnbd-bin"),
        ("nbdinfo", Family.FEDORA, "sudo dnf install libnbd"),
        ("umount", Family.DEBIAN, "sudo apt-get install --no-install-recommends mount"),
        ("umount", Family.FEDORA, "sudo dnf install util-linux"),
        ("qemu-nbd", Family.OTHER, "install qemu-utils (its name in Debian) or qemu-img (in Fedora)"),
        ("frobnicate", Family.DEBIAN, "install it, or add its directory to PATH"),
        ("frobnicate", Family.OTHER, "install it, or add its directory to PATH"),
    ],
)
def test_the_hint_names_packages_that_exist(
    program: str, family: Family, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "family", lambda: family)
    with pytest.raises(V2VError) as caught:
        require_program(program)
    assert caught.value.message == f"the program {program} is not installed or not on PATH"
    assert caught.value.hint == command


def test_every_program_that_core_starts_by_its_name_has_a_package() -> None:
    files = [file for file in _SOURCES.rglob("*.py") if "testing" not in file.parts]
    named = {name for file in files for name in _started(ast.parse(file.read_text(encoding="utf-8")))}
    assert {"nbdinfo", "nbdkit", "qemu-img", "umount"} <= named <= PACKAGES.keys()


def _started(tree: ast.AST) -> Iterator[str]:
    """Yield the names of programs that are literals in calls of the functions that find or start programs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if node.func.id in {"run_program", "run_copy_program"} and isinstance(first, ast.List):
                first = first.elts[0]
            elif node.func.id != "require_program":
                continue
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def test_the_output_of_a_program() -> None:
    assert run_program(["sh", "-c", "cat; echo $LC_ALL $ADDED"], stdin=b"in ", environment={"ADDED": "1"}) == "in C 1\n"


def test_a_program_that_fails() -> None:
    with pytest.raises(CommandError, match="sh failed with exit status 3: last") as caught:
        run_program(["sh", "-c", "echo first >&2; echo last >&2; exit 3"])
    assert caught.value.status == 3
    assert caught.value.stderr_tail == "first\nlast\n"


def test_a_program_that_takes_too_long() -> None:
    with pytest.raises(CommandError, match=r"no answer within 0\.1 seconds"):
        run_program(["sleep", "60"], timeout=0.1)


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="could not be started"):
        run_program([str(tmp_path / "missing")])


def test_what_is_not_utf8_is_replaced() -> None:
    assert run_program(["printf", r"\377"]) == "\ufffd"
