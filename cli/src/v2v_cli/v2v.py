# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v``: the command with subcommands, and with everything that virt-v2v's command line has no place for."""

from __future__ import annotations

import sys
from typing import Any

from v2v_core import __version__
from v2v_core.file_names import read_names_as_utf8
from v2v_core.standard_streams import print_alone

PROGRAM = "v2v"


def main(argv: list[str] | None = None) -> int:
    """Run v2v and return its exit code."""
    if argv is None:
        read_names_as_utf8()
    words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-V"], ["version"]):
        return print_alone(PROGRAM, f"{PROGRAM} {__version__}\n")
    from v2v_cli.exit import Session, guard

    session = Session(PROGRAM)

    def body() -> Any:
        from v2v_cli.v2v_application import v2v_command

        # without any word, show what v2v can do
        return v2v_command().main(args=words or ["--help"], prog_name=PROGRAM, standalone_mode=False, obj=session)

    return guard(session, body)


if __name__ == "__main__":
    sys.exit(main())
