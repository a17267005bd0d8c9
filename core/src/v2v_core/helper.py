# SPDX-License-Identifier: GPL-2.0-or-later
"""The entry point of a plugin's helper commands, ``helper-v2v-input-MODE`` and ``helper-v2v-output-MODE``.

The distribution of a plugin declares a script for each mode, and needs no code for it::

    [project.scripts]
    helper-v2v-output-foo = "v2v_core.helper:main"

The name of the script says the role and the mode. The command line is in ``v2v-cli``, which is imported only when the
script runs: a plugin depends on ``v2v-core`` alone.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from v2v_core.standard_streams import make_unfailing

_PREFIX = "helper-v2v-"


def main() -> int:
    """Run the step that this script is named after, and return its exit code."""
    make_unfailing()
    program = Path(sys.argv[0]).name
    role, _, mode = program.removeprefix(_PREFIX).partition("-")
    if not program.startswith(_PREFIX) or role not in {"input", "output"} or not mode:
        sys.stderr.write(f"{program}: error: a helper command is called {_PREFIX}input-MODE or {_PREFIX}output-MODE\n")
        return 2
    if find_spec("v2v_cli") is None:
        sys.stderr.write(f"{program}: error: the command lines are not installed\nhint: pip install v2v-cli\n")
        return 3
    from v2v_cli import helpers

    return helpers.input_helper(mode) if role == "input" else helpers.output_helper(mode)
