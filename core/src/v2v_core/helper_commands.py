# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that a plugin distribution declares as its own scripts: one step, on a directory, in a process."""

from __future__ import annotations


def input_helper(mode: str) -> int:
    """Be ``helper-v2v-input-<mode>``: the step ``input_setup`` on ``--dir``. Gives the exit code."""
    from v2v_core.cli.helpers import input_helper as run_helper

    return run_helper(mode)


def output_helper(mode: str) -> int:
    """Be ``helper-v2v-output-<mode>``: ``setup`` (``output_check`` and ``output_setup``) or ``final`` on ``--dir``."""
    from v2v_core.cli.helpers import output_helper as run_helper

    return run_helper(mode)
