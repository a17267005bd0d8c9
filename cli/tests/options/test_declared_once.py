# SPDX-License-Identifier: GPL-2.0-or-later
"""Each option is declared in one place, and the help of each command has examples and sentences."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import v2v_cli
from v2v_cli import step_commands, v2v, virt_v2v
from v2v_cli.command import options_of
from v2v_cli.v2v_application import v2v_command
from v2v_cli.virt_v2v_command import command as virt_v2v_command

SOURCE = Path(v2v_cli.__file__).parent
#: What typer adds by itself.
OF_TYPER = {"--help", "-h", "--install-completion", "--show-completion"}


def declarations() -> Iterator[tuple[str, str]]:
    """Yield the names of options in the source, from calls of ``option`` and ``flag``, each with its file."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"option", "flag"}:
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{path}: a computed name of an option"
                    yield argument.value, path.name


@functools.cache
def commands() -> dict[str, Any]:
    """Return every command, by the words that start it."""
    v2v_group = v2v_command()
    found = {
        "virt-v2v": virt_v2v_command,
        **{f"v2v {name}": command for name, command in v2v_group.commands.items() if name != "plugins"},
        **{f"v2v plugins {name}": command for name, command in v2v_group.commands["plugins"].commands.items()},
        "helper-v2v-input-disk": step_commands.input_setup_command("disk"),
        "helper-v2v-convert": step_commands.convert_command(),
        "helper-v2v-output-local setup": step_commands.output_setup_command("local"),
        "helper-v2v-copy": step_commands.copy_command(),
        "helper-v2v-output-local final": step_commands.output_finalize_command("local"),
        "helper-v2v-cleanup": step_commands.cleanup_command(),
    }
    assert len(found) == 16
    return found


def test_each_name_of_an_option_is_declared_in_one_place() -> None:
    counted = Counter(name for name, _file in declarations())
    assert len(counted) > 60
    assert {name: count for name, count in counted.items() if count != 1} == {}


@pytest.mark.parametrize("words", commands())
def test_a_command_has_no_option_but_those_of_its_groups(words: str) -> None:
    command = commands()[words]
    offered = {name for parameter in command.params for name in parameter.opts if name.startswith("-")}
    assert offered - OF_TYPER <= {name for name, _file in declarations()}
    assert offered - OF_TYPER == {name for option in options_of(command).values() for name in option.names}


@pytest.mark.parametrize("words", [*commands(), "v2v", "v2v plugins"])
def test_help_has_examples_and_no_types(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    program, *rest = words.split()
    if program in {"v2v", "virt-v2v"}:
        main = v2v.main if program == "v2v" else virt_v2v.main
        assert main([*rest, "--help"]) == 0
    else:
        command = commands()[words]
        command.main(args=["--help"], prog_name=words, standalone_mode=False)
    out = capsys.readouterr().out
    assert f"$ {words}" in out
    assert "<" not in out
    assert ">" not in out


@pytest.mark.parametrize("words", commands())
def test_help_texts_are_sentences(words: str) -> None:
    for option in options_of(commands()[words]).values():
        assert option.help[0].isupper()
        assert option.help.endswith(".")
        assert len(option.help.split()) > 2
