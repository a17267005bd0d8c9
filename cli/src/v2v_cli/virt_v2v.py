# SPDX-License-Identifier: GPL-2.0-or-later
"""``virt-v2v``: the drop-in command. It starts here; ``virt_v2v_command`` has the options, and takes time to import."""

from __future__ import annotations

import sys

from v2v_core import __version__
from v2v_core.file_names import read_names_as_utf8
from v2v_core.standard_streams import print_alone

PROGRAM = "virt-v2v"


def main(argv: list[str] | None = None) -> int:
    """Run virt-v2v and return its exit code."""
    if argv is None:
        read_names_as_utf8()
    words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-V"]):
        # scripts run this often, so nothing is imported for it
        return print_alone(PROGRAM, f"{PROGRAM} {__version__}\n")
    from v2v_cli.exit import Session, guard

    session = Session(PROGRAM)

    def body() -> int | None:
        from v2v_cli.virt_v2v_command import command

        result: int | None = command.main(args=words, prog_name=PROGRAM, standalone_mode=False, obj=session)
        return result

    return guard(session, body)


if __name__ == "__main__":
    sys.exit(main())
