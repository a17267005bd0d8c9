# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the copy: what reaches the copy step, and what is refused because it would have no effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from v2v_cli import step_commands
from v2v_cli.command import options_of, single_command
from v2v_cli.exit import Session
from v2v_cli.options.copying import Copying
from v2v_cli.v2v_application import v2v_command
from v2v_cli.virt_v2v_command import command as virt_v2v_command
from v2v_core.errors import UsageError
from v2v_core.settings import CopyChoice


def choice(*words: str) -> CopyChoice:
    """Return what the copy step is told."""
    seen: list[Copying] = []

    def command(session: Session, copying: Copying) -> int:
        seen.append(copying)
        return 0

    single_command(command).main(args=list(words), prog_name="p", standalone_mode=False, obj=Session("p"))
    return seen[0].choice()


def test_nothing_is_decided_that_was_not_asked_for() -> None:
    assert choice() == CopyChoice()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--parallel 4", CopyChoice(parallel=4)),
        ("--from base", CopyChoice(from_base=True)),
        ("--overlap", CopyChoice(overlap=True)),
        ("--no-overlap", CopyChoice(overlap=False)),
        ("--verify", CopyChoice(verify=True)),
        ("--hashes --verify", CopyChoice(hashing=True, verify=True)),
        ("--no-hashes", CopyChoice(hashing=False)),
        ("--bandwidth 10M", CopyChoice(bandwidth=10_000_000)),
        ("--bandwidth 50MB/s", CopyChoice(bandwidth=400_000_000)),
        ("--bandwidth 0", CopyChoice()),
        ("--request-timeout 20", CopyChoice(request_seconds=20.0)),
        ("--copier nbdcopy --connections 2", CopyChoice(mode="nbdcopy", connections=2)),
    ],
)
def test_choice_of_options(words: str, expected: CopyChoice) -> None:
    assert choice(*words.split()) == expected


def test_bandwidth_file_may_come_later_and_is_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choice("--bandwidth-file", "later").bandwidth_file == tmp_path / "later"
    (tmp_path / "now").write_text("10M")
    assert choice("--bandwidth-file", "now").bandwidth_file == tmp_path / "now"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--overlap --no-overlap", "--overlap and --no-overlap"),
        ("--hashes --no-hashes", "--hashes and --no-hashes"),
        ("--verify --no-hashes", "--verify and --no-hashes"),
        ("--from top", "unknown --from 'top'"),
        ("--bandwidth fast", "--bandwidth: 'fast' is not a rate"),
        ("--bandwidth 100", "--bandwidth: '100' is too low"),
        ("--bandwidth-file /dev/null", "/dev/null is not a regular file"),
        ("--bandwidth-file /", "/ is not a regular file"),
        ("--request-timeout 0", "--request-timeout must be at least 1"),
        ("--parallel 0", "--parallel must be at least 1"),
    ],
)
def test_what_cannot_be_used_is_refused(words: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choice(*words.split())
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "words",
    [
        *("--verify", "--hashes", "--overlap", "--from base", "--bandwidth 1M", "--bandwidth-file x"),
        "--request-timeout 5",
    ],
)
def test_another_program_is_not_told_what_it_cannot_do(words: str) -> None:
    with pytest.raises(UsageError, match=f"{words.split(maxsplit=1)[0]}.* has no effect on --copier nbdcopy"):
        choice("--copier", "nbdcopy", *words.split())


def names(command: Any) -> set[str]:
    return {name for option in options_of(command).values() for name in option.names}


def test_each_command_has_the_options_that_mean_something_there() -> None:
    of_virt_v2v = names(virt_v2v_command)
    assert {"--parallel", "--bandwidth", "--bandwidth-file"} <= of_virt_v2v
    assert not {"--verify", "--overlap", "--from", "--copier"} & of_virt_v2v
    of_convert = names(v2v_command().commands["convert"])
    assert {"--overlap", "--no-overlap", "--verify", "--bandwidth", "--request-timeout", "--hashes"} <= of_convert
    assert "--from" not in of_convert
    of_helper = names(step_commands.copy_command())
    assert {"--from", "--verify", "--bandwidth", "--request-timeout", "--no-hashes"} <= of_helper
    assert not {"--overlap", "--no-overlap"} & of_helper
